//! Rotary position embedding tests: in place, out of place and backward.

use super::check::{Compared, Gradient, errors, gamma};
use super::inputs::{Cells, Random, numbers, wide};
use super::{IN_CACHE, Line, Op, line};
use kernels::complex::derivatives;
use kernels::rope::{Heads, RopeTable, naive, rope_backward, rope_forward, rope_forward_to};
use kernels::{Precision, RowsMut};

pub const OP: Op = Op { compare, gradients, shared: None, bench };

/// Random numbers of heads, of the usual widths and of others.
pub fn heads(random: &mut Random) -> Heads {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 3);
    let head_dim = [2, 10, 32, 64, 66, 128, 130][random.between(0, 6)];
    Heads { n_heads, n_kv_heads, head_dim }
}

/// Random numbers of heads, of width at most twice `half_max`.
pub fn small_heads(random: &mut Random, half_max: usize) -> Heads {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 2);
    Heads { n_heads, n_kv_heads, head_dim: 2 * random.between(1, half_max) }
}

/// Whether element `i` of fused rows belongs to a query or a key.
pub fn is_query_or_key(heads: Heads, i: usize) -> bool {
    i % heads.qkv_dim() < heads.n_query_key() * heads.head_dim
}

/// A first position; some are far into a long text.
fn position(random: &mut Random) -> usize {
    if random.between(0, 9) == 0 { random.between(2_000, 9_000) } else { random.between(0, 50) }
}

fn compare(random: &mut Random, precision: Precision) -> Vec<Compared> {
    let (heads, seq_len, start_pos) = (heads(random), random.between(1, 3), position(random));
    let n = seq_len * random.between(0, 2) * heads.qkv_dim();
    let table = RopeTable::new(start_pos + seq_len, heads.head_dim, 10_000.0);
    let qkv = random.f32s(n, 3.0);
    let (mut rotated, mut back) = (qkv.clone(), qkv.clone());
    rope_forward(&mut rotated, &table, heads, seq_len, start_pos);
    rope_backward(&mut back, &table, heads, seq_len, start_pos);
    let to = Cells::written(n, precision, |dst| {
        rope_forward_to(dst, &qkv, &table, heads, seq_len, start_pos);
    });

    let (mut rotated0, mut back0) = (wide(&qkv), wide(&qkv));
    naive::rope_forward(&mut rotated0, &table, heads, seq_len, start_pos);
    naive::rope_backward(&mut back0, &table, heads, seq_len, start_pos);
    // A product and a sum; |a cos| + |b sin| is no more than the length of (a, b), but for the
    // rounding of the table.
    let half = heads.head_dim / 2;
    let error = errors(n, |i| {
        let pair = if i % heads.head_dim < half { i + half } else { i.wrapping_sub(half) };
        let is_turned = is_query_or_key(heads, i);
        if is_turned { gamma(3) * f64::from(qkv[i]).hypot(qkv[pair].into()) } else { 0.0 }
    });
    vec![
        Compared::within("rope_forward qkv", &rotated, rotated0.clone(), error.clone()),
        Compared::within("rope_backward dqkv", &back, back0, error.clone()),
        Compared::rounded("rope_forward_to qkv", &to, rotated0, error),
    ]
}

fn gradients(random: &mut Random) -> Vec<Gradient> {
    let (heads, seq_len) = (small_heads(random, 6), random.between(1, 3));
    let (start_pos, rows) = (random.between(0, 50), seq_len * random.between(1, 2));
    let table = RopeTable::new(start_pos + seq_len, heads.head_dim, 10_000.0);
    let n = rows * heads.qkv_dim();
    let (x, dy) = (random.f64s(n, 2.0), random.f64s(n, 1.0));
    let mut dx = dy.clone();
    naive::rope_backward(&mut dx, &table, heads, seq_len, start_pos);
    let step = derivatives(&dy, &x, |x| {
        let mut y = x.to_vec();
        naive::rope_forward(&mut y, &table, heads, seq_len, start_pos);
        y
    });
    vec![Gradient { what: "rope_backward dqkv", backward: dx, step }]
}

/// Heads of the benchmark.
pub const BENCH_HEADS: [Heads; 2] = [
    Heads { n_heads: 4, n_kv_heads: 4, head_dim: 32 },
    Heads { n_heads: 6, n_kv_heads: 6, head_dim: 64 },
];

fn bench() -> Vec<Line> {
    BENCH_HEADS.into_iter().flat_map(bench_heads).collect()
}

fn bench_heads(heads: Heads) -> [Line; 3] {
    let (dim, seq_len) = (heads.head_dim, 32);
    let n = IN_CACHE / heads.qkv_dim() / seq_len * seq_len * heads.qkv_dim();
    // Two thirds of the numbers are rotated, with two products and a sum each.
    let flops = n / heads.qkv_dim() * heads.n_query_key() * dim * 3;
    let name = |what: &str| format!("{what} {} x {dim}", heads.n_heads);
    let table = move || RopeTable::new(seq_len, dim, 10_000.0);
    [
        line(name("rope_forward"), [flops, 8 * n], move || {
            let (table, mut qkv) = (table(), numbers(n));
            move || rope_forward(&mut qkv, &table, heads, seq_len, 0)
        }),
        line(name("rope_forward_to") + " bf16", [flops, 6 * n], move || {
            let (table, qkv, mut y) = (table(), numbers(n), vec![0; n]);
            move || rope_forward_to(RowsMut::Bf16(&mut y), &qkv, &table, heads, seq_len, 0)
        }),
        line(name("rope_backward"), [flops, 8 * n], move || {
            let (table, mut dqkv) = (table(), numbers(n));
            move || rope_backward(&mut dqkv, &table, heads, seq_len, 0)
        }),
    ]
}
