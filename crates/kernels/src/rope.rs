//! Rotary position embedding (RoPE): rotates pairs `(i, i + D/2)` of each head by position.
//!
//! Su et al., 2021, arXiv:2104.09864, with the pairing ("rotate half") of the Llama checkpoints.

use crate::RowsMut;
use crate::arch::{Arch, BLOCK, dispatch};
use crate::loops::Cell;

/// Heads in one row of a fused projection: H query heads, K key heads, K value heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// H, the number of query heads.
    pub n_heads: usize,
    /// K, the number of key heads and of value heads.
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

/// Cosines and sines of all angles, (max_T, D/2) each: computed once, shared by all layers.
#[derive(Clone, Debug)]
pub struct RopeTable {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl RopeTable {
    /// The table for positions `0..max_seq_len`, with frequencies `theta^(-2i/D)`.
    ///
    /// Frequencies and angles are rounded to f32 exactly as in the reference implementations, so that
    /// an exported model computes the same function at large positions too.
    ///
    /// # Panics
    /// If `head_dim` is odd or zero.
    pub fn new(max_seq_len: usize, head_dim: usize, theta: f64) -> RopeTable {
        let is_even = head_dim > 0 && head_dim.is_multiple_of(2);
        assert!(is_even, "RopeTable::new: head_dim {head_dim} is odd or zero");
        let half = head_dim / 2;
        let freq: Vec<f32> =
            (0..half).map(|i| 1.0 / theta.powf((2 * i) as f64 / head_dim as f64) as f32).collect();
        let angles = (0..max_seq_len).flat_map(|t| freq.iter().map(move |f| t as f32 * f));
        let (sin, cos) =
            angles.map(|a| (a as f64).sin_cos()).map(|(s, c)| (s as f32, c as f32)).unzip();
        RopeTable { cos, sin, half }
    }

    /// D, the head width that the table was made for.
    pub fn head_dim(&self) -> usize {
        2 * self.half
    }

    /// Number of positions in the table.
    pub fn max_seq_len(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Positions of the rows of a fused projection: consecutive sequences of `seq_len` rows each.
#[derive(Clone, Copy, Debug)]
struct RowPositions {
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
}

/// Rotates the query and key heads of `qkv` in place; value heads are unchanged.
///
/// | argument    | shape         | meaning                                                       |
/// |-------------|---------------|---------------------------------------------------------------|
/// | `qkv`       | (N, (H+2K)·D) | rows of query, key and value heads, rotated in place          |
/// | `table`     |               | angles for heads of width D                                   |
/// | `heads`     |               | H, K and D                                                    |
/// | `seq_len`   |               | T: the rows are sequences of T, one after another             |
/// | `start_pos` |               | position of the first row of a sequence: 0 when training      |
///
/// A pair (a, b) becomes (a cos - b sin, b cos + a sin). Cost: 3 flops per rotated element.
///
/// # Panics
/// If a length disagrees with its shape, D with the table, or a position exceeds the table.
pub fn rope_forward(
    qkv: &mut [f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
) {
    let positions = RowPositions { heads, seq_len, start_pos };
    check("rope_forward", qkv.len(), table, positions);
    dispatch!(arch => rotate_in_place(arch, qkv, table, positions, 1.0))
}

/// As [`rope_forward`], but out of place: writes the rotated rows, values included, to `dst`.
///
/// # Panics
/// As [`rope_forward`], or if `dst` and `qkv` differ in length.
pub fn rope_forward_to(
    dst: RowsMut,
    qkv: &[f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
) {
    let positions = RowPositions { heads, seq_len, start_pos };
    check("rope_forward_to", qkv.len(), table, positions);
    assert_eq!(dst.len(), qkv.len(), "rope_forward_to: dst and qkv differ in length");
    dispatch!(arch => match dst {
        RowsMut::F32(dst) => rotate_to(arch, dst, qkv, table, positions),
        RowsMut::Bf16(dst) => rotate_to(arch, dst, qkv, table, positions),
    })
}

/// Backward of [`rope_forward`], in place: the rotation by the opposite angle.
///
/// # Panics
/// As [`rope_forward`].
pub fn rope_backward(
    dqkv: &mut [f32],
    table: &RopeTable,
    heads: Heads,
    seq_len: usize,
    start_pos: usize,
) {
    let positions = RowPositions { heads, seq_len, start_pos };
    check("rope_backward", dqkv.len(), table, positions);
    dispatch!(arch => rotate_in_place(arch, dqkv, table, positions, -1.0))
}

fn check(name: &str, len: usize, table: &RopeTable, at: RowPositions) {
    let (width, dim) = (at.heads.qkv_dim(), at.heads.head_dim);
    assert_eq!(dim, table.head_dim(), "{name}: head_dim is not that of the table");
    assert!(len.is_multiple_of(width), "{name}: qkv is not (N, (H+2K)*D)");
    let end = at.start_pos + at.seq_len.min(len / width);
    assert!(end <= table.max_seq_len(), "{name}: position {end} is beyond the table");
    assert!(at.seq_len > 0 || len == 0, "{name}: seq_len is 0");
}

/// The pairs `start..start + width` of heads of width 2 * `half`; at most one block of pairs.
///
/// A block holds these pairs of several heads next to each other: one loop over the block
/// vectorises, a loop over the 16 pairs of a narrow head does not.
#[derive(Clone, Copy)]
struct PairRange {
    half: usize,
    start: usize,
    width: usize,
}

impl PairRange {
    /// Elements of the whole heads that fit in one block.
    #[inline(always)]
    fn span(self) -> usize {
        BLOCK / self.width * 2 * self.half
    }

    /// The first halves and the second halves of some heads, each contiguous.
    #[inline(always)]
    fn gather(self, heads: &[f32]) -> [[f32; BLOCK]; 2] {
        let PairRange { half, start, width } = self;
        let (mut a, mut b) = ([0.0; BLOCK], [0.0; BLOCK]);
        let sides = a.chunks_exact_mut(width).zip(b.chunks_exact_mut(width));
        for (head, (a, b)) in heads.chunks_exact(2 * half).zip(sides) {
            a.copy_from_slice(&head[start..start + width]);
            b.copy_from_slice(&head[half + start..half + start + width]);
        }
        [a, b]
    }

    /// Inverse of `gather`.
    #[inline(always)]
    fn scatter<C: Copy>(self, heads: &mut [C], [a, b]: &[[C; BLOCK]; 2]) {
        let PairRange { half, start, width } = self;
        let sides = a.chunks_exact(width).zip(b.chunks_exact(width));
        for (head, (a, b)) in heads.chunks_exact_mut(2 * half).zip(sides) {
            head[start..start + width].copy_from_slice(a);
            head[half + start..half + start + width].copy_from_slice(b);
        }
    }
}

/// Cosines and sines for one [`PairRange`] of one row, repeated over a block.
struct Angles {
    cos: [f32; BLOCK],
    sin: [f32; BLOCK],
}

impl Angles {
    /// The angles of row `r`, with the sines multiplied by `sign`.
    #[inline(always)]
    fn new(table: &RopeTable, at: RowPositions, r: usize, part: PairRange, sign: f32) -> Angles {
        let start = (at.start_pos + r % at.seq_len) * part.half + part.start;
        let mut angles = Angles { cos: [0.0; BLOCK], sin: [0.0; BLOCK] };
        for cos in angles.cos.chunks_exact_mut(part.width) {
            cos.copy_from_slice(&table.cos[start..start + part.width]);
        }
        for sin in angles.sin.chunks_exact_mut(part.width) {
            sin.copy_from_slice(&table.sin[start..start + part.width]);
        }
        for sin in &mut angles.sin {
            *sin *= sign;
        }
        angles
    }

    /// Rotates a block of pairs.
    #[inline(always)]
    fn rotate<A: Arch>(&self, arch: A, [mut a, mut b]: [[f32; BLOCK]; 2]) -> [[f32; BLOCK]; 2] {
        for i in 0..BLOCK {
            let (x, y, cos, sin) = (a[i], b[i], self.cos[i], self.sin[i]);
            a[i] = arch.mul_add(x, cos, -(y * sin));
            b[i] = arch.mul_add(y, cos, x * sin);
        }
        [a, b]
    }
}

/// Runs the body for each [`PairRange`] of the heads. For the usual head widths the width is a
/// compile-time constant: copies of such a length are a few instructions, others are calls.
macro_rules! for_each_pair_range {
    ($half:expr, $part:ident => $body:expr) => {
        match $half {
            16 => {
                let $part = PairRange { half: 16, start: 0, width: 16 };
                $body
            }
            32 => {
                let $part = PairRange { half: 32, start: 0, width: 32 };
                $body
            }
            64 => {
                let $part = PairRange { half: 64, start: 0, width: 64 };
                $body
            }
            half => {
                for start in (0..half).step_by(BLOCK) {
                    let $part = PairRange { half, start, width: BLOCK.min(half - start) };
                    $body
                }
            }
        }
    };
}

#[inline(always)]
fn rotate_in_place<A: Arch>(
    arch: A,
    qkv: &mut [f32],
    table: &RopeTable,
    at: RowPositions,
    sign: f32,
) {
    let (width, n_rotated) = (at.heads.qkv_dim(), at.heads.n_query_key() * at.heads.head_dim);
    for_each_pair_range!(table.half, part => {
        for (r, row) in qkv.chunks_exact_mut(width).enumerate() {
            let angles = Angles::new(table, at, r, part, sign);
            for heads in row[..n_rotated].chunks_mut(part.span()) {
                part.scatter(heads, &angles.rotate(arch, part.gather(heads)));
            }
        }
    });
}

#[inline(always)]
fn rotate_to<A: Arch, C: Cell>(
    arch: A,
    dst: &mut [C],
    qkv: &[f32],
    table: &RopeTable,
    at: RowPositions,
) {
    let (width, n_rotated) = (at.heads.qkv_dim(), at.heads.n_query_key() * at.heads.head_dim);
    for_each_pair_range!(table.half, part => {
        for (r, dst) in dst.chunks_exact_mut(width).enumerate() {
            let angles = Angles::new(table, at, r, part, 1.0);
            let (row, values) = qkv[r * width..][..width].split_at(n_rotated);
            let (dst, dst_values) = dst.split_at_mut(n_rotated);
            for (dst, heads) in dst.chunks_mut(part.span()).zip(row.chunks(part.span())) {
                let rotated = angles.rotate(arch, part.gather(heads));
                let mut cells = [[C::default(); BLOCK]; 2];
                C::store(arch, &mut cells[0], &rotated[0]);
                C::store(arch, &mut cells[1], &rotated[1]);
                part.scatter(dst, &cells);
            }
            C::store(arch, dst_values, values);
        }
    });
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::{Heads, RopeTable};
    use crate::scalar::Scalar;

    /// Definition of [`super::rope_forward`].
    pub fn rope_forward<S: Scalar>(
        qkv: &mut [S],
        table: &RopeTable,
        heads: Heads,
        seq_len: usize,
        start_pos: usize,
    ) {
        rotate(qkv, table, heads, |r| start_pos + r % seq_len, 1.0);
    }

    /// Definition of [`super::rope_backward`].
    pub fn rope_backward<S: Scalar>(
        dqkv: &mut [S],
        table: &RopeTable,
        heads: Heads,
        seq_len: usize,
        start_pos: usize,
    ) {
        rotate(dqkv, table, heads, |r| start_pos + r % seq_len, -1.0);
    }

    fn rotate<S: Scalar>(
        qkv: &mut [S],
        table: &RopeTable,
        heads: Heads,
        position: impl Fn(usize) -> usize,
        sign: f64,
    ) {
        let half = heads.head_dim / 2;
        for (r, row) in qkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
            for head in row.chunks_exact_mut(heads.head_dim).take(heads.n_query_key()) {
                for i in 0..half {
                    let at = position(r) * half + i;
                    let cos = S::from_f64(table.cos[at] as f64);
                    let sin = S::from_f64(sign * table.sin[at] as f64);
                    let (a, b) = (head[i], head[i + half]);
                    head[i] = a * cos - b * sin;
                    head[i + half] = b * cos + a * sin;
                }
            }
        }
    }
}
