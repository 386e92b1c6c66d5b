//! wip
use kernels::*;
use std::time::Instant;
fn bench(name: &str, elems: usize, mut f: impl FnMut()) {
    let mut best = f64::MAX;
    let mut reps = 1usize;
    loop {
        let t = Instant::now();
        for _ in 0..reps {
            f();
        }
        let e = t.elapsed().as_secs_f64();
        if e > 0.002 {
            break;
        }
        reps *= 2;
    }
    for _ in 0..60 {
        let t = Instant::now();
        for _ in 0..reps {
            f();
        }
        best = best.min(t.elapsed().as_secs_f64() / reps as f64);
    }
    println!("{name:40} {:.4} ns/el", best * 1e9 / elems as f64);
}
fn main() {
    for isa in Isa::available() {
        isa::force(isa);
        println!("{}", isa.name());
        let n = 4096;
        let x: Vec<f32> =
            (0..n).map(|i| ((i * 7919) % 4096) as f32 / 4096.0 * 20.0 - 18.0).collect();
        let mut y = vec![0f32; n];
        bench("exp", n, || exp_all(&mut y, &x));
        for cols in [128, 384, 768, 390] {
            let rows = 49152 / cols; // 192KB
            let x: Vec<f32> =
                (0..rows * cols).map(|i| ((i * 7919) % 4096) as f32 / 4096.0 - 0.5).collect();
            let mut y = vec![0f32; rows * cols];
            let w = vec![1f32; cols];
            let mut r = vec![0f32; rows];
            let mut y16 = vec![0u16; rows * cols];
            bench(&format!("rms{cols} f32"), rows * cols, || {
                rmsnorm_forward(RowsMut::F32(&mut y), &mut r, &x, &w, 1e-5)
            });
            bench(&format!("rms{cols} bf16"), rows * cols, || {
                rmsnorm_forward(RowsMut::Bf16(&mut y16), &mut r, &x, &w, 1e-5)
            });
            let mut dw = vec![0f32; cols];
            let dy = x.clone();
            bench(&format!("rmsb{cols}"), rows * cols, || {
                rmsnorm_backward(&mut y, &mut dw, &dy, &x, &w, &r, Accum::Replace)
            });
        }
    }
}
