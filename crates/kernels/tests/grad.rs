//! Every backward definition is the derivative of its forward definition, over random shapes.
//!
//! The forward definition runs on complex numbers, the backward definition on f64. Fast paths are
//! compared with these definitions in `against_naive.rs`.

mod support;

use kernels::composed::naive as composed;
use kernels::cross_entropy::{IGNORE, naive as cross_entropy};
use kernels::dropout::{DropMask, naive as dropout};
use kernels::embedding::naive as embedding;
use kernels::gated_mlp::naive as gated_mlp;
use kernels::qk_norm::naive as qk_norm;
use kernels::rmsnorm::naive as rmsnorm;
use kernels::rope::{Heads, RopeTable, naive as rope};
use kernels::row_dot::naive as row_dot;
use kernels::row_sums::naive as row_sums;
use support::complex::{Complex, complex, derivatives, zeros};
use support::{Random, seed};

/// Shapes tried per kernel.
const N_SHAPES: usize = 250;

/// Largest accepted error of a derivative, relative to it.
const RELATIVE: f64 = 1e-6;

const EPS: f64 = 1e-5;

/// A gradient by the backward definition, and by complex step.
struct Gradient {
    what: &'static str,
    backward: Vec<f64>,
    step: Vec<f64>,
}

impl Gradient {
    /// The first element in which the two differ.
    ///
    /// Both are sums of some terms in f64: an element in which these cancel is as good as the
    /// roundings of its terms allow, and no term is larger than a thousand of the largest element.
    fn mismatch(&self) -> Option<String> {
        assert_eq!(self.backward.len(), self.step.len(), "{}", self.what);
        let largest = self.step.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        let floor = 1e3 * f64::EPSILON * largest;
        let pairs = self.backward.iter().zip(&self.step).enumerate();
        pairs
            .filter(|(_, (b, s))| !((*b - *s).abs() <= RELATIVE * s.abs() + floor))
            .map(|(i, (b, s))| format!("{}[{i}]: {b}, but the derivative is {s}", self.what))
            .next()
    }
}

/// Makes the gradients of one kernel for a random shape.
type Case = fn(&mut Random) -> Vec<Gradient>;

const CASES: [Case; 10] = [
    rmsnorm_case,
    qk_norm_case,
    rope_case,
    swiglu_case,
    embedding_case,
    row_dot_case,
    composed_case,
    row_sums_case,
    cross_entropy_case,
    dropout_case,
];

#[test]
fn backward_is_the_derivative_of_forward() {
    let seed = seed();
    for case in CASES {
        let mut random = Random(seed);
        for _ in 0..N_SHAPES {
            for gradient in case(&mut random) {
                assert_eq!(gradient.mismatch(), None);
            }
        }
    }
}

#[test]
fn an_error_of_a_thousandth_is_found_in_every_gradient() {
    let seed = seed();
    for case in CASES {
        let mut random = Random(seed);
        for _ in 0..N_SHAPES {
            for mut gradient in case(&mut random) {
                for i in 0..gradient.backward.len() {
                    let right = gradient.backward[i];
                    gradient.backward[i] *= 1.001;
                    let largest = gradient.step.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                    // Below this an element is nothing but the rounding of larger terms.
                    if right.abs() > 1e-8 * largest {
                        assert!(gradient.mismatch().is_some(), "{} passed", gradient.what);
                    }
                    gradient.backward[i] = right;
                }
            }
        }
    }
}

fn rmsnorm_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 4), random.between(1, 19));
    let n = rows * cols;
    let (x, weight, dy) = (random.f64s(n, 2.0), random.f64s(cols, 2.0), random.f64s(n, 1.0));
    let (mut y, mut rstd) = (vec![0.0; n], vec![0.0; rows]);
    rmsnorm::rmsnorm_forward(&mut y, &mut rstd, &x, &weight, EPS);
    let (mut dx, mut dweight) = (vec![0.0; n], vec![0.0; cols]);
    rmsnorm::rmsnorm_backward(&mut dx, &mut dweight, &dy, &x, &weight, &rstd);

    let forward = |x: &[Complex], weight: &[Complex]| {
        let (mut y, mut rstd) = (zeros(n), zeros(rows));
        rmsnorm::rmsnorm_forward(&mut y, &mut rstd, x, weight, EPS);
        y
    };
    let step_x = derivatives(&dy, &x, |x| forward(x, &complex(&weight)));
    let step_weight = derivatives(&dy, &weight, |weight| forward(&complex(&x), weight));
    vec![
        Gradient { what: "rmsnorm dx", backward: dx, step: step_x },
        Gradient { what: "rmsnorm dweight", backward: dweight, step: step_weight },
    ]
}

/// Random head counts, with heads of at most twice `half_max`.
fn heads(random: &mut Random, half_max: usize) -> Heads {
    let n_kv_heads = random.between(1, 2);
    let n_heads = n_kv_heads * random.between(1, 2);
    Heads { n_heads, n_kv_heads, head_dim: 2 * random.between(1, half_max) }
}

fn qk_norm_case(random: &mut Random) -> Vec<Gradient> {
    let (heads, rows) = (heads(random, 5), random.between(1, 2));
    let (dim, n) = (heads.head_dim, rows * heads.qkv_dim());
    let n_normed = rows * heads.n_query_key();
    let (x, dy) = (random.f64s(n, 2.0), random.f64s(n, 1.0));
    let (wq, wk) = (random.f64s(dim, 2.0), random.f64s(dim, 2.0));

    let (mut y, mut normed, mut rstd) = (x.clone(), vec![0.0; n_normed * dim], vec![0.0; n_normed]);
    qk_norm::qk_norm_forward(&mut y, &mut normed, &mut rstd, [&wq, &wk], heads, EPS);
    let (mut dx, mut dwq, mut dwk) = (dy.clone(), vec![0.0; dim], vec![0.0; dim]);
    let dweight = [&mut dwq[..], &mut dwk[..]];
    qk_norm::qk_norm_backward(&mut dx, dweight, &normed, &rstd, [&wq, &wk], heads);

    let forward = |x: &[Complex], wq: &[Complex], wk: &[Complex]| {
        let (mut y, mut normed, mut rstd) = (x.to_vec(), zeros(n_normed * dim), zeros(n_normed));
        qk_norm::qk_norm_forward(&mut y, &mut normed, &mut rstd, [wq, wk], heads, EPS);
        y
    };
    let (cx, cq, ck) = (complex(&x), complex(&wq), complex(&wk));
    let step_x = derivatives(&dy, &x, |x| forward(x, &cq, &ck));
    let step_q = derivatives(&dy, &wq, |wq| forward(&cx, wq, &ck));
    let step_k = derivatives(&dy, &wk, |wk| forward(&cx, &cq, wk));
    vec![
        Gradient { what: "qk_norm dqkv", backward: dx, step: step_x },
        Gradient { what: "qk_norm query gain", backward: dwq, step: step_q },
        Gradient { what: "qk_norm key gain", backward: dwk, step: step_k },
    ]
}

fn rope_case(random: &mut Random) -> Vec<Gradient> {
    let (heads, seq_len) = (heads(random, 6), random.between(1, 3));
    let (start_pos, rows) = (random.between(0, 50), seq_len * random.between(1, 2));
    let table = RopeTable::new(start_pos + seq_len, heads.head_dim, 10_000.0);
    let n = rows * heads.qkv_dim();
    let (x, dy) = (random.f64s(n, 2.0), random.f64s(n, 1.0));
    let mut dx = dy.clone();
    rope::rope_backward(&mut dx, &table, heads, seq_len, start_pos);
    let step = derivatives(&dy, &x, |x| {
        let mut y = x.to_vec();
        rope::rope_forward(&mut y, &table, heads, seq_len, start_pos);
        y
    });
    vec![Gradient { what: "rope dqkv", backward: dx, step }]
}

fn swiglu_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, ffn_dim) = (random.between(1, 3), random.between(1, 19));
    let n = rows * ffn_dim;
    let (gate_up, dh) = (random.f64s(2 * n, 8.0), random.f64s(n, 1.0));
    let mut dgate_up = vec![0.0; 2 * n];
    gated_mlp::swiglu_backward(&mut dgate_up, &dh, &gate_up, ffn_dim);
    let step = derivatives(&dh, &gate_up, |gate_up| {
        let mut h = zeros(n);
        gated_mlp::swiglu_forward(&mut h, gate_up, ffn_dim);
        h
    });
    vec![Gradient { what: "swiglu dgate_up", backward: dgate_up, step }]
}

fn embedding_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols, vocab_size) =
        (random.between(1, 9), random.between(1, 7), random.between(1, 5));
    let tokens: Vec<u32> = (0..rows).map(|_| random.between(0, vocab_size - 1) as u32).collect();
    let (table, dx) = (random.f64s(vocab_size * cols, 1.0), random.f64s(rows * cols, 1.0));
    let mut dtable = vec![0.0; table.len()];
    embedding::embedding_backward(&mut dtable, &dx, &tokens);
    let step = derivatives(&dx, &table, |table| {
        let mut x = zeros(rows * cols);
        embedding::embedding_forward(&mut x, table, &tokens);
        x
    });
    vec![Gradient { what: "embedding dtable", backward: dtable, step }]
}

fn row_dot_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols, n) = (random.between(1, 9), random.between(1, 7), random.between(1, 5));
    let ids: Vec<u32> = (0..rows).map(|_| random.between(0, n) as u32).collect();
    let ids: Vec<u32> = ids.iter().map(|id| if *id == n as u32 { IGNORE } else { *id }).collect();
    let (x, table) = (random.f64s(rows * cols, 1.0), random.f64s(n * cols, 1.0));
    let dy = random.f64s(rows, 1.0);
    let (mut dx, mut dtable) = (vec![0.0; x.len()], vec![0.0; table.len()]);
    row_dot::row_dot_backward_rows(&mut dx, &dy, &table, &ids);
    row_dot::row_dot_backward_table(&mut dtable, &dy, &x, &ids);
    let forward = |x: &[Complex], table: &[Complex]| {
        let mut y = zeros(rows);
        row_dot::row_dot_forward(&mut y, x, table, &ids);
        y
    };
    let by_rows = derivatives(&dy, &x, |x| forward(x, &complex(&table)));
    let by_table = derivatives(&dy, &table, |table| forward(&complex(&x), table));
    vec![
        Gradient { what: "row_dot dx", backward: dx, step: by_rows },
        Gradient { what: "row_dot dtable", backward: dtable, step: by_table },
    ]
}

fn composed_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 9), random.between(1, 7));
    let made = support::Made::random(random);
    let (of, inputs) = (made.composition(), made.inputs(random, rows));
    let (table, parts) =
        (random.f64s(made.n_own * cols, 1.0), random.f64s(made.n_parts * cols, 1.0));
    let dx = random.f64s(rows * cols, 1.0);
    let (mut dtable, mut dparts) = (vec![0.0; table.len()], vec![0.0; parts.len()]);
    composed::composed_backward(&mut dtable, &mut dparts, &dx, of, &inputs);
    let forward = |table: &[Complex], parts: &[Complex]| {
        let mut x = zeros(rows * cols);
        composed::composed_forward(&mut x, table, parts, of, &inputs);
        x
    };
    let of_table = derivatives(&dx, &table, |table| forward(table, &complex(&parts)));
    let of_parts = derivatives(&dx, &parts, |parts| forward(&complex(&table), parts));
    vec![
        Gradient { what: "composed dtable", backward: dtable, step: of_table },
        Gradient { what: "composed dparts", backward: dparts, step: of_parts },
    ]
}

fn row_sums_case(random: &mut Random) -> Vec<Gradient> {
    let [n, k, cols, n_rows] = [9, 3, 7, 5].map(|max| random.between(1, max));
    let rows = support::some_rows(random, n * k, n_rows);
    let (x, table) = (random.f64s(n * cols, 1.0), random.f64s(n_rows * cols, 1.0));
    let dx = random.f64s(n * cols, 1.0);
    let mut dtable = vec![0.0; table.len()];
    row_sums::row_sums_backward(&mut dtable, &dx, &rows, k);
    let step = derivatives(&dx, &table, |table| {
        let mut x = complex(&x);
        row_sums::row_sums_forward(&mut x, table, &rows, k);
        x
    });
    vec![Gradient { what: "row_sums dtable", backward: dtable, step }]
}

fn cross_entropy_case(random: &mut Random) -> Vec<Gradient> {
    let (rows, cols) = (random.between(1, 4), random.between(1, 23));
    let logits = random.f64s(rows * cols, 10.0);
    let targets: Vec<u32> = (0..rows)
        .map(
            |_| if random.between(0, 4) == 0 { IGNORE } else { random.between(0, cols - 1) as u32 },
        )
        .collect();
    let mut dlogits = vec![0.0; logits.len()];
    cross_entropy::cross_entropy_gradient(&mut dlogits, &logits, &targets, 0.37);
    let step = derivatives(&vec![0.37; rows], &logits, |logits| {
        let mut loss = zeros(rows);
        cross_entropy::cross_entropy_loss(&mut loss, logits, &targets);
        loss
    });
    vec![Gradient { what: "cross_entropy dlogits", backward: dlogits, step }]
}

fn dropout_case(random: &mut Random) -> Vec<Gradient> {
    let n = random.between(1, 40);
    let mask = DropMask { key: random.bits(), rate: random.between(0, 9) as f32 / 10.0 };
    let (x, branch, dy) = (random.f64s(n, 1.0), random.f64s(n, 1.0), random.f64s(n, 1.0));
    let mut dbranch = vec![0.0; n];
    dropout::dropout_backward(&mut dbranch, &dy, mask);
    let step = derivatives(&dy, &branch, |branch| {
        let mut out = zeros(n);
        dropout::dropout_add(&mut out, &complex(&x), branch, mask);
        out
    });
    vec![Gradient { what: "dropout dbranch", backward: dbranch, step }]
}
