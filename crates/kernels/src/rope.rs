//! Rotary position embedding: pairs `(i, i + D/2)` of each head turn by an angle growing with time.
//!
//! Su et al., 2021, arXiv:2104.09864, with the pairing ("rotate half") of the Llama checkpoints.

/// The heads in one row of a fused projection: H query heads, K key heads, K value heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// H, the number of query heads.
    pub n_heads: usize,
    /// K, the number of key heads, and of value heads.
    pub n_kv_heads: usize,
    /// D, the width of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Width of a fused row: `(H + 2K) * D`.
    pub fn qkv_dim(self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Number of heads that are rotated and normalised: `H + K`.
    pub fn n_query_key(self) -> usize {
        self.n_heads + self.n_kv_heads
    }
}

/// Cosines and sines of every angle, `(max_T, D/2)` each.
#[derive(Clone, Debug)]
pub struct RopeTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// The table for positions `0..max_seq_len`, with frequencies `theta^(-2i/D)`.
    ///
    /// Frequencies and angles are rounded to f32 as the reference implementations round them, so
    /// that a model exported to them computes the same function at long distances too.
    ///
    /// # Panics
    /// If `head_dim` is odd or zero.
    pub fn new(max_seq_len: usize, head_dim: usize, theta: f64) -> RopeTable {
        assert!(
            head_dim > 0 && head_dim.is_multiple_of(2),
            "RopeTable::new: head_dim {head_dim} is odd"
        );
        let half = head_dim / 2;
        let freq: Vec<f32> =
            (0..half).map(|i| 1.0 / theta.powf((2 * i) as f64 / head_dim as f64) as f32).collect();
        let angles = (0..max_seq_len).flat_map(|t| freq.iter().map(move |f| t as f32 * f));
        let (sin, cos) =
            angles.map(|a| (a as f64).sin_cos()).map(|(s, c)| (s as f32, c as f32)).unzip();
        RopeTable { cos, sin, half }
    }

    /// D, the width of the heads that it serves.
    pub fn head_dim(&self) -> usize {
        2 * self.half
    }

    /// Number of positions in the table.
    pub fn max_seq_len(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Rotates the query and key heads of `qkv` (N, (H+2K)·D) in place; values stay as they are.
///
/// Row `r` has position `start_pos + r % seq_len`: rows are sequences of `seq_len` one after another.
pub fn rope_forward(
    qkv: &mut [f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
) {
    rotate(qkv, table, heads, seq_len, start_pos, 1.0);
}

/// Backward of [`rope_forward`], in place: the rotation by the opposite angle.
pub fn rope_backward(
    dqkv: &mut [f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
) {
    rotate(dqkv, table, heads, seq_len, start_pos, -1.0);
}

fn rotate(
    qkv: &mut [f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
    sign: f32,
) {
    let (half, width) = (table.half, heads.qkv_dim());
    assert_eq!(heads.head_dim, 2 * half, "rope: the table is for another head_dim");
    assert_eq!(qkv.len() % width, 0, "rope: qkv is not (N, (H+2K)*D)");
    assert!(
        start_pos + seq_len.min(qkv.len() / width) <= table.max_seq_len(),
        "rope: position beyond the table"
    );
    for (r, row) in qkv.chunks_exact_mut(width).enumerate() {
        let at = (start_pos + r % seq_len) * half;
        for head in row.chunks_exact_mut(heads.head_dim).take(heads.n_query_key()) {
            for i in 0..half {
                let (a, b) = (head[i], head[i + half]);
                let (cos, sin) = (table.cos[at + i], sign * table.sin[at + i]);
                head[i] = a * cos - b * sin;
                head[i + half] = b * cos + a * sin;
            }
        }
    }
}
