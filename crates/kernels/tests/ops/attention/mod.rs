//! Attention tests: causal forward and backward passes, and attention against a key/value cache.

pub mod bounds;

use super::check::{Compared, Gradient, planted};
use super::inputs::{Cells, Random, numbers, wide};
use super::{Line, Op, line};
use bounds::{backward_bound, forward_bound};
use kernels::attention::{
    AttentionShape, CacheShape, attention_append, attention_backward, attention_cached,
    attention_cached_scratch_len, attention_forward, attention_scratch_len, naive,
};
use kernels::complex::{derivatives, zeros};
use kernels::{AlignedVec, Pool, Precision, Rows, RowsMut};
use std::ops::Range;

pub const OP: Op = Op { compare, gradients, shared: Some(shared), bench };

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 3);
    let head_dim = [1, 4, 8, 15, 16, 17, 20, 32][random.between(0, 7)];
    let seq_len = [1, 2, 15, 16, 17, 33, 48, 49][random.between(0, 7)];
    let shape = AttentionShape { n_heads, n_kv_heads, head_dim, seq_len };
    let qkv = Cells::new(&random.f32s(seq_len * shape.qkv_dim(), 2.0), precision);
    let (y, lse) = forward(&qkv, shape);

    let mut text = Text::new(shape, precision);
    let cut = random.between(0, seq_len);
    text.feed(qkv.rows(), 0..cut);
    text.feed(qkv.rows(), cut..seq_len);
    let cached = Cells::new(&text.y, precision).wide();
    let mut once = Text::new(shape, precision);
    attention_append(&mut once.cache, qkv.rows(), once.cache_shape, 0);
    let words = |words: &[u32]| words.iter().map(|word| f64::from(*word)).collect();
    let case = BackwardCase::new(random, shape, precision);
    let mut outputs = Vec::from(forward_outputs(&qkv, &y, &lse, shape));
    outputs.push(case.output(&case.run()));
    // Any division of the positions into calls gives the bits of a single call.
    outputs.push(Compared::exact("attention_cached y", cached, y.wide()));
    outputs.push(Compared::exact("attention_append cache", words(&text.cache), words(&once.cache)));
    outputs
}

/// The forward pass, with NaN in all memory that it must not read.
pub fn forward(qkv: &Cells, shape: AttentionShape) -> (Cells, Vec<f32>) {
    let precision = qkv.rows().precision();
    let mut lse = vec![f32::NAN; shape.n_heads * shape.seq_len];
    let mut scratch = vec![f32::NAN; attention_scratch_len(shape, precision)];
    let y = Cells::written(shape.seq_len * shape.y_dim(), precision, |y| {
        attention_forward(y, &mut lse, qkv.rows(), shape, &mut scratch);
    });
    (y, lse)
}

/// Outputs of a forward pass and of the definition.
///
/// With bf16 operands an element is a sum of rounded terms, most of them larger than the sum: errors
/// below a tenth of an output, or half of a gradient, may come from rounding.
pub fn forward_outputs(
    qkv: &Cells,
    y: &Cells,
    lse: &[f32],
    shape: AttentionShape,
) -> [Compared; 2] {
    let precision = qkv.rows().precision();
    let (mut y0, mut lse0) = (vec![0.0; y.rows().len()], vec![0.0; lse.len()]);
    naive::forward(&mut y0, &mut lse0, &qkv.wide(), shape);
    let (y_bound, lse_bound) = forward_bound(&qkv.wide(), shape, precision);
    let planted_y = if precision == Precision::F32 { planted(precision) } else { 0.1 };
    let y = Compared {
        what: "attention_forward y",
        got: y.wide(),
        expected: y0,
        bound: y_bound,
        planted: planted_y,
    };
    let lse = Compared {
        what: "attention_forward lse",
        got: wide(lse),
        expected: lse0,
        bound: lse_bound,
        planted: planted(precision),
    };
    [y, lse]
}

/// Inputs of a backward pass: `y` and `lse` are those of the definition, rounded.
pub struct BackwardCase {
    pub shape: AttentionShape,
    pub qkv: Cells,
    pub dy: Vec<f32>,
    pub y: Cells,
    pub lse: Vec<f32>,
}

impl BackwardCase {
    pub fn new(random: &mut Random, shape: AttentionShape, precision: Precision) -> BackwardCase {
        let qkv = Cells::new(&random.f32s(shape.seq_len * shape.qkv_dim(), 2.0), precision);
        let dy = random.f32s(shape.seq_len * shape.y_dim(), 2.0);
        let mut y = vec![0.0; shape.seq_len * shape.y_dim()];
        let mut lse = vec![0.0; shape.n_heads * shape.seq_len];
        naive::forward(&mut y, &mut lse, &qkv.wide(), shape);
        let y: Vec<f32> = y.iter().map(|y| *y as f32).collect();
        let lse = lse.iter().map(|lse| *lse as f32).collect();
        BackwardCase { shape, qkv, dy, y: Cells::new(&y, precision), lse }
    }

    /// The gradient of the kernel.
    pub fn run(&self) -> Vec<f32> {
        let (shape, precision) = (self.shape, self.qkv.rows().precision());
        let mut dqkv = vec![f32::NAN; shape.seq_len * shape.qkv_dim()];
        let mut scratch = vec![f32::NAN; attention_scratch_len(shape, precision)];
        let (y, qkv) = (self.y.rows(), self.qkv.rows());
        attention_backward(&mut dqkv, &self.dy, y, qkv, &self.lse, shape, &mut scratch);
        dqkv
    }

    /// A gradient of the kernel and of the definition.
    pub fn output(&self, dqkv: &[f32]) -> Compared {
        let (qkv, dy, y, lse) = (self.qkv.wide(), wide(&self.dy), self.y.wide(), wide(&self.lse));
        let mut expected = vec![0.0; dqkv.len()];
        naive::backward(&mut expected, &dy, &y, &qkv, &lse, self.shape);
        let precision = self.qkv.rows().precision();
        let bound = backward_bound(&dy, &y, &qkv, &lse, self.shape, precision);
        let planted = if precision == Precision::F32 { planted(precision) } else { 0.5 };
        let what = "attention_backward dqkv";
        Compared { what, got: wide(dqkv), expected, bound, planted }
    }
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 2);
    let (head_dim, seq_len) = (random.between(1, 4), random.between(1, 5));
    vec![gradient(random, AttentionShape { n_heads, n_kv_heads, head_dim, seq_len }, 1.0)]
}

/// The gradient of the fused rows, with the outputs that backward reads scaled by `scale_y`.
pub fn gradient(random: &mut Random, shape: AttentionShape, scale_y: f64) -> Gradient {
    let qkv = random.f64s(shape.seq_len * shape.qkv_dim(), 2.0);
    let dy = random.f64s(shape.seq_len * shape.y_dim(), 2.0);
    let mut y = vec![0.0; dy.len()];
    let mut lse = vec![0.0; shape.n_heads * shape.seq_len];
    naive::forward(&mut y, &mut lse, &qkv, shape);
    y.iter_mut().for_each(|y| *y *= scale_y);
    let mut dqkv = vec![f64::NAN; qkv.len()];
    naive::backward(&mut dqkv, &dy, &y, &qkv, &lse, shape);
    let step = derivatives(&dy, &qkv, |qkv| {
        let (mut y, mut lse) = (zeros(dy.len()), zeros(lse.len()));
        naive::forward(&mut y, &mut lse, qkv, shape);
        y
    });
    Gradient { what: "attention_backward dqkv", backward: dqkv, step }
}

/// A sequence that is fed to a cache in pieces.
pub struct Text {
    pub shape: AttentionShape,
    pub cache_shape: CacheShape,
    pub cache: Vec<u32>,
    pub y: Vec<f32>,
}

impl Text {
    pub fn new(shape: AttentionShape, precision: Precision) -> Text {
        let cache_shape = CacheShape {
            n_heads: shape.n_heads,
            n_kv_heads: shape.n_kv_heads,
            head_dim: shape.head_dim,
            max_len: shape.seq_len + 3,
            precision,
        };
        let y = vec![f32::NAN; shape.seq_len * shape.y_dim()];
        Text { shape, cache_shape, cache: vec![0; cache_shape.cache_words()], y }
    }

    /// Appends `positions` and computes attention for them.
    pub fn feed(&mut self, qkv: Rows, positions: Range<usize>) {
        let dim = self.shape.qkv_dim();
        let rows = qkv.slice(positions.start * dim..positions.end * dim);
        attention_append(&mut self.cache, rows, self.cache_shape, positions.start);
        let y_dim = self.shape.y_dim();
        let y = &mut self.y[positions.start * y_dim..positions.end * y_dim];
        attend(y, rows, &self.cache, self.cache_shape, positions.start);
    }
}

/// Attention against a cache, with NaN-filled scratch.
pub fn attend(y: &mut [f32], q: Rows, cache: &[u32], shape: CacheShape, start_pos: usize) {
    let mut scratch = vec![f32::NAN; attention_cached_scratch_len(shape)];
    attention_cached(RowsMut::F32(y), q, cache, shape, start_pos, &mut scratch);
}

/// Queries of one position split by key/value heads, then those of all positions split by rows.
fn shared(pool: &mut Pool, precision: Precision) -> Vec<f32> {
    let shape = AttentionShape { n_heads: 6, n_kv_heads: 3, head_dim: 24, seq_len: 100 };
    let mut random = Random(13);
    let qkv = Cells::new(&random.f32s(shape.seq_len * shape.qkv_dim(), 2.0), precision);
    let mut text = Text::new(shape, precision);
    attention_append(&mut text.cache, qkv.rows(), text.cache_shape, 0);
    let (cache, y_dim) = (&text.cache, shape.y_dim());
    let mut y = vec![f32::NAN; (1 + shape.seq_len) * y_dim];
    let (last, rows) = y.split_at_mut(y_dim);

    let n_shares = pool.threads().min(shape.n_kv_heads);
    let per_share = shape.n_kv_heads.div_ceil(n_shares);
    let firsts: Vec<_> = (0..shape.n_kv_heads).step_by(per_share).collect();
    let group_dim = shape.group() * shape.head_dim;
    let heads = |first: usize| first..shape.n_kv_heads.min(first + per_share);
    let columns = |h: Range<usize>| h.start * group_dim..h.end * group_dim;
    let ranges: Vec<_> = firsts.iter().map(|first| columns(heads(*first))).collect();
    pool.for_each_range([last], &ranges, |i, [y]| {
        let heads = heads(firsts[i]);
        let n_kv_heads = heads.len();
        let n_heads = n_kv_heads * shape.group();
        let part = CacheShape { n_heads, n_kv_heads, ..text.cache_shape };
        let row = (shape.seq_len - 1) * shape.qkv_dim();
        let q = qkv.rows().slice(row + ranges[i].start..row + ranges[i].end);
        let words = &cache[heads.start * part.head_words()..heads.end * part.head_words()];
        attend(y, q, words, part, shape.seq_len - 1);
    });

    let n_rows = shape.seq_len.div_ceil(pool.threads());
    let firsts = (0..shape.seq_len).step_by(n_rows);
    let ranges: Vec<_> = firsts.map(|t| t * y_dim..shape.seq_len.min(t + n_rows) * y_dim).collect();
    pool.for_each_range([rows], &ranges, |i, [y]| {
        let start = ranges[i].start / y_dim;
        let end = start + y.len() / y_dim;
        let q = qkv.rows().slice(start * shape.qkv_dim()..end * shape.qkv_dim());
        attend(y, q, cache, text.cache_shape, start);
    });
    y
}

fn bench() -> Vec<Line> {
    let mut lines = Vec::new();
    for precision in [Precision::Bf16, Precision::F32] {
        for (seq_len, head_dim, n_heads, n_kv_heads) in [
            (128, 32, 4, 4),
            (256, 64, 6, 6),
            (256, 64, 12, 12),
            (256, 64, 12, 4),
            (256, 48, 8, 8),
            (1024, 64, 4, 4),
            (2048, 128, 2, 2),
        ] {
            let shape = AttentionShape { n_heads, n_kv_heads, head_dim, seq_len };
            lines.extend(bench_training(shape, precision));
        }
        for (len, n_new) in [(128, 1), (1024, 1), (4096, 1), (512, 512), (1024, 128)] {
            lines.extend(bench_cached(precision, len, n_new));
        }
    }
    lines
}

/// Only the products on and below the diagonal are counted.
fn bench_training(shape: AttentionShape, precision: Precision) -> [Line; 2] {
    let AttentionShape { n_heads, n_kv_heads, head_dim, seq_len } = shape;
    let size = if precision == Precision::F32 { 4 } else { 2 };
    let (n_y, n_qkv) = (seq_len * shape.y_dim(), seq_len * shape.qkv_dim());
    let products = seq_len * seq_len * n_heads * head_dim;
    let name = |what: &str| {
        let precision = precision.name();
        format!("{what} {precision} T={seq_len} D={head_dim} H={n_heads} K={n_kv_heads}")
    };
    let buffers = move || {
        let qkv = Cells::new(&numbers(n_qkv), precision);
        let lse = vec![0.0; n_heads * seq_len];
        let y = Cells::new(&vec![0.0; n_y], precision);
        (qkv, y, lse, AlignedVec::zeroed(attention_scratch_len(shape, precision)))
    };
    let bytes = size * (n_qkv + n_y);
    [
        line(name("attention_forward"), [2 * products, bytes], move || {
            let (qkv, mut y, mut lse, mut scratch) = buffers();
            move || attention_forward(y.rows_mut(), &mut lse, qkv.rows(), shape, &mut scratch)
        }),
        line(name("attention_backward"), [5 * products, bytes + 4 * (n_y + n_qkv)], move || {
            let (qkv, mut y, mut lse, mut scratch) = buffers();
            attention_forward(y.rows_mut(), &mut lse, qkv.rows(), shape, &mut scratch);
            let (dy, mut dqkv) = (numbers(n_y), AlignedVec::zeroed(n_qkv));
            move || {
                let (y, qkv) = (y.rows(), qkv.rows());
                attention_backward(&mut dqkv, &dy, y, qkv, &lse, shape, &mut scratch);
            }
        }),
    ]
}

/// `n_new` queries at the end of a cache that holds `len` positions.
fn bench_cached(precision: Precision, len: usize, n_new: usize) -> [Line; 2] {
    let (n_heads, head_dim, start) = (12, 64, len - n_new);
    let shape = CacheShape { n_heads, n_kv_heads: n_heads, head_dim, max_len: 4096, precision };
    let (y_dim, qkv_dim) = (n_heads * head_dim, 3 * n_heads * head_dim);
    let size = if precision == Precision::F32 { 4 } else { 2 };
    let pairs = n_new * start + n_new * (n_new + 1) / 2;
    let name = |what: &str| format!("{what} {} {n_new} of {len}", precision.name());
    let buffers = move || {
        let (qkv, mut cache) = (numbers(len * qkv_dim), AlignedVec::zeroed(shape.cache_words()));
        attention_append(&mut cache, Rows::F32(&qkv), shape, 0);
        (qkv[start * qkv_dim..].to_vec(), cache)
    };
    [
        line(name("attention_cached"), [4 * pairs * y_dim, 2 * size * len * y_dim], move || {
            let ((q, cache), mut y) = (buffers(), vec![0.0; n_new * y_dim]);
            let mut scratch = AlignedVec::zeroed(attention_cached_scratch_len(shape));
            move || {
                let (y, q) = (RowsMut::F32(&mut y), Rows::F32(&q));
                attention_cached(y, q, &cache, shape, start, &mut scratch);
            }
        }),
        line(name("attention_append"), [0, (4 + size) * 2 * n_new * y_dim], move || {
            let (qkv, mut cache) = buffers();
            move || attention_append(&mut cache, Rows::F32(&qkv), shape, start)
        }),
    ]
}
