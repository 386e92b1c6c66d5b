//! Time of every row kernel on every instruction set, in cache and beyond it.
//!
//! `cargo bench -p crystalline-kernels --bench rows [FILTER]` prints, per kernel, nanoseconds per
//! element and the traffic in GB/s, counting each number read or written once. One thread.

use kernels::adamw::{AdamwStep, IdleUpdates, adamw_idle, adamw_update};
use kernels::composed::{Composition, composed_backward, composed_forward};
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss, log_sum_exp};
use kernels::dropout::{DropMask, dropout_add, dropout_backward};
use kernels::embedding::embedding_backward;
use kernels::exp::exp_scaled;
use kernels::gated_mlp::{swiglu_backward, swiglu_forward};
use kernels::isa;
use kernels::qk_norm::{QkNormSaved, qk_norm_backward, qk_norm_forward};
use kernels::reduce::{add_into, all_finite, sum_squares};
use kernels::rmsnorm::{rmsnorm_backward, rmsnorm_forward};
use kernels::rope::{Heads, RopeTable, rope_forward, rope_forward_to};
use kernels::row_dot::row_dot_forward;
use kernels::row_sums::{row_sums_backward, row_sums_forward};
use kernels::rows::store_rows;
use kernels::{Accum, Isa, Rows, RowsMut};
use std::time::Instant;

/// Elements of the buffers that fit the second-level cache, and of those that fit no cache.
const IN_CACHE: usize = 48 << 10;
const IN_MEMORY: usize = 8 << 20;

/// Prints the best time of several runs of `kernel`, which moves `bytes` per element.
fn bench(isa: Isa, name: &str, n: usize, bytes: usize, mut kernel: impl FnMut()) {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    if filter.is_some_and(|f| !format!("{} {name}", isa.name()).contains(&f)) {
        return;
    }
    let mut seconds = |reps: usize| {
        let start = Instant::now();
        (0..reps).for_each(|_| kernel());
        start.elapsed().as_secs_f64() / reps as f64
    };
    let reps = (1e-3 / seconds(1)).clamp(1.0, 1e5) as usize;
    let best = (0..20).map(|_| seconds(reps)).fold(f64::MAX, f64::min);
    let (ns, gb) = (best * 1e9 / n as f64, (n * bytes) as f64 / best / 1e9);
    println!("{:<11} {name:<34} {ns:>7.4} ns/element {gb:>7.1} GB/s", isa.name());
}

/// Numbers in (-4, 4) that look random.
fn numbers(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 8) as f32 / 2f32.powi(21) - 4.0).collect()
}

fn main() {
    for isa in Isa::available() {
        isa::force(isa);
        elementwise(isa);
        for cols in [128, 384, 768] {
            norms(isa, cols);
        }
        rotation(isa, Heads { n_heads: 4, n_kv_heads: 4, head_dim: 32 });
        rotation(isa, Heads { n_heads: 6, n_kv_heads: 6, head_dim: 64 });
        for ffn_dim in [352, 1024] {
            gate(isa, ffn_dim);
        }
        for vocab_size in [4096, 33278, 50257] {
            loss(isa, vocab_size);
        }
        optimiser(isa, "in cache", 8 << 10);
        optimiser(isa, "in memory", IN_MEMORY);
    }
}

fn elementwise(isa: Isa) {
    for (place, n) in [("in cache", IN_CACHE), ("in memory", IN_MEMORY)] {
        let (x, mut y, mut words) = (numbers(n), numbers(n), vec![0; n]);
        let name = |what: &str| format!("{what}, {place}");
        bench(isa, &name("sum_squares"), n, 4, || assert!(sum_squares(&x) > 0.0));
        bench(isa, &name("all_finite"), n, 4, || assert!(all_finite(&x)));
        bench(isa, &name("add_into"), n, 12, || add_into(&mut y, &x));
        bench(isa, &name("store_rows bf16"), n, 6, || store_rows(RowsMut::Bf16(&mut words), &x));
        let mask = DropMask { key: 7, rate: 0.1 };
        bench(isa, &name("dropout_backward"), n, 8, || dropout_backward(&mut y, &x, mask));
    }
    let (x, z, mut y) = (numbers(IN_CACHE), numbers(IN_CACHE), numbers(IN_CACHE));
    let mask = DropMask { key: 7, rate: 0.1 };
    bench(isa, "dropout_add, in cache", IN_CACHE, 12, || dropout_add(&mut y, &x, &z, mask));
    bench(isa, "exp_scaled, in cache", IN_CACHE, 8, || exp_scaled(&mut y, &x, 0.8, 1.0));
    let tokens: Vec<u32> = (0..IN_CACHE as u32 / 128).map(|i| i * 7919 % 300).collect();
    let mut table = vec![0.0; 300 * 128];
    bench(isa, "embedding_backward 128", IN_CACHE, 12, || {
        embedding_backward(&mut table, &x, &tokens);
    });
    let mut dots = vec![0.0; tokens.len()];
    bench(isa, "row_dot_forward 128", IN_CACHE, 8, || {
        row_dot_forward(&mut dots, Rows::F32(&x), &table, &tokens);
    });
    // Three parts each: of x one row is copied and three are added, of the gradient four added.
    let (own, starts): (Vec<u32>, Vec<u32>) = (0..300).map(|i| (i, 3 * i)).unzip();
    let starts = [&starts[..], &[900]].concat();
    let parts: Vec<u32> = (0..900).map(|i| i * 7919 % 200).collect();
    let of = Composition { own: &own, starts: &starts, parts: &parts };
    let (rows, mut drows, mut y) = (numbers(300 * 128), numbers(200 * 128), numbers(IN_CACHE));
    bench(isa, "composed_forward 128", IN_CACHE, 44, || {
        composed_forward(&mut y, &table, &rows, of, &tokens);
    });
    bench(isa, "composed_backward 128", IN_CACHE, 48, || {
        composed_backward(&mut table, &mut drows, &x, of, &tokens);
    });
    // Four n-grams each.
    let of: Vec<u32> = (0..4 * tokens.len() as u32).map(|i| i * 7919 % 300).collect();
    bench(isa, "row_sums_forward 128", IN_CACHE, 48, || row_sums_forward(&mut y, &rows, &of, 4));
    bench(isa, "row_sums_backward 128", IN_CACHE, 48, || {
        row_sums_backward(&mut table, &x, &of, 4);
    });
}

fn norms(isa: Isa, cols: usize) {
    let rows = IN_CACHE / cols;
    let n = rows * cols;
    let (x, dy, weight) = (numbers(n), numbers(n), numbers(cols));
    let (mut y, mut words, mut rstd) = (vec![0.0; n], vec![0; n], vec![0.0; rows]);
    let mut dweight = vec![0.0; cols];
    bench(isa, &format!("rmsnorm_forward {cols}"), n, 8, || {
        rmsnorm_forward(RowsMut::F32(&mut y), &mut rstd, &x, &weight, 1e-5);
    });
    bench(isa, &format!("rmsnorm_forward {cols} bf16"), n, 6, || {
        rmsnorm_forward(RowsMut::Bf16(&mut words), &mut rstd, &x, &weight, 1e-5);
    });
    bench(isa, &format!("rmsnorm_backward {cols}"), n, 12, || {
        rmsnorm_backward(&mut y, &mut dweight, &dy, &x, &weight, &rstd, Accum::Replace);
    });
    bench(isa, &format!("rmsnorm_backward {cols} plus"), n, 16, || {
        rmsnorm_backward(&mut y, &mut dweight, &dy, &x, &weight, &rstd, Accum::Plus(&dy));
    });
}

fn rotation(isa: Isa, heads: Heads) {
    let (dim, seq_len) = (heads.head_dim, 32);
    let rows = IN_CACHE / heads.qkv_dim() / seq_len * seq_len;
    let n = rows * heads.qkv_dim();
    let table = RopeTable::new(seq_len, dim, 10_000.0);
    let (mut qkv, mut words, weight) = (numbers(n), vec![0; n], numbers(dim));
    let name = |what: &str| format!("{what} {} x {dim}", heads.n_heads);
    bench(isa, &name("rope_forward"), n, 8, || rope_forward(&mut qkv, &table, heads, seq_len, 0));
    bench(isa, &name("rope_forward_to bf16"), n, 6, || {
        rope_forward_to(RowsMut::Bf16(&mut words), &qkv, &table, heads, seq_len, 0);
    });
    let n_normed = rows * heads.n_query_key();
    let (mut normed, mut rstd) = (vec![0.0; n_normed * dim], vec![0.0; n_normed]);
    bench(isa, &name("qk_norm_forward"), n, 12, || {
        let saved = QkNormSaved { normed: RowsMut::F32(&mut normed), rstd: &mut rstd };
        qk_norm_forward(&mut qkv, Some(saved), [&weight, &weight], heads, 1e-5);
    });
    let (mut dq, mut dk) = (vec![0.0; dim], vec![0.0; dim]);
    bench(isa, &name("qk_norm_backward"), n, 12, || {
        let (normed, dweight) = (Rows::F32(&normed), [&mut dq[..], &mut dk[..]]);
        qk_norm_backward(&mut qkv, dweight, normed, &rstd, [&weight, &weight], heads);
    });
}

fn gate(isa: Isa, ffn_dim: usize) {
    let n = IN_CACHE / ffn_dim * ffn_dim;
    let (gate_up, dh) = (numbers(2 * n), numbers(n));
    let (mut h, mut dgate_up) = (vec![0.0; n], vec![0.0; 2 * n]);
    let (mut h16, mut saved16, mut dgate_up16) = (vec![0; n], vec![0; 2 * n], vec![0; 2 * n]);
    bench(isa, &format!("swiglu_forward {ffn_dim}"), n, 12, || {
        swiglu_forward(RowsMut::F32(&mut h), None, &gate_up, ffn_dim);
    });
    bench(isa, &format!("swiglu_forward {ffn_dim} bf16 saved"), n, 14, || {
        let (h, saved) = (RowsMut::Bf16(&mut h16), Some(RowsMut::Bf16(&mut saved16)));
        swiglu_forward(h, saved, &gate_up, ffn_dim);
    });
    bench(isa, &format!("swiglu_backward {ffn_dim}"), n, 20, || {
        swiglu_backward(RowsMut::F32(&mut dgate_up), &dh, Rows::F32(&gate_up), ffn_dim);
    });
    bench(isa, &format!("swiglu_backward {ffn_dim} bf16"), n, 12, || {
        swiglu_backward(RowsMut::Bf16(&mut dgate_up16), &dh, Rows::Bf16(&saved16), ffn_dim);
    });
}

fn loss(isa: Isa, vocab_size: usize) {
    let rows = (256 << 10) / vocab_size;
    let n = rows * vocab_size;
    let (logits, targets, mut loss) = (numbers(n), vec![17; rows], vec![0.0; rows]);
    let (mut dlogits, mut words) = (vec![0.0; n], vec![0; n]);
    bench(isa, &format!("cross_entropy_loss {vocab_size}"), n, 4, || {
        cross_entropy_loss(&mut loss, &logits, &targets);
    });
    bench(isa, &format!("log_sum_exp {vocab_size}"), n, 4, || log_sum_exp(&mut loss, &logits));
    bench(isa, &format!("cross_entropy {vocab_size}"), n, 8, || {
        cross_entropy(RowsMut::F32(&mut dlogits), &mut loss, &logits, &targets, 0.1);
    });
    bench(isa, &format!("cross_entropy {vocab_size} bf16"), n, 6, || {
        cross_entropy(RowsMut::Bf16(&mut words), &mut loss, &logits, &targets, 0.1);
    });
}

fn optimiser(isa: Isa, place: &str, n: usize) {
    let (mut p, mut m, mut v, g) = (numbers(n), vec![0.0; n], vec![0.0; n], numbers(n));
    let step = AdamwStep {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        bias1: 0.1,
        bias2: 0.05,
        grad_scale: 0.5,
        idle1: 1.0,
        idle2: 1.0,
    };
    bench(isa, &format!("adamw_update, {place}"), n, 28, || {
        adamw_update(&mut p, &mut m, &mut v, &g, &step);
    });
    let idle = IdleUpdates { decay: -1e-4, drift: 1e-3, eps: 1e-8 };
    bench(isa, &format!("adamw_idle, {place}"), n, 16, || adamw_idle(&mut p, &m, &v, idle));
}
