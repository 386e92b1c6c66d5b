//! Speed of attention in GFLOP/s, and as a share of what the registers alone can do.
//!
//! `cargo bench -p crystalline-kernels --bench attention [-- FILTER]`. Only the products on and
//! below the diagonal are counted: `2 T^2 H D` forward and `5 T^2 H D` backward. Best of many runs.

use kernels::attention::{
    AttentionShape, CacheShape, attention_append, attention_backward, attention_cached,
    attention_cached_scratch_len, attention_forward, attention_scratch_len,
};
use kernels::rows::store_rows;
use kernels::{AlignedVec, Isa, Precision, Rows, RowsMut, isa};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Shortest time of `work` within a quarter of a second.
fn best_seconds(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed() < Duration::from_millis(250) {
        let run = Instant::now();
        work();
        best = best.min(run.elapsed().as_secs_f64());
    }
    best
}

/// GFLOP/s of independent multiply-adds that never leave the registers.
fn peak(isa: Isa, precision: Precision) -> f64 {
    const STEPS: usize = 20_000;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        macro_rules! probe {
            ($features:literal, $lanes:expr, $v:ident => $step:expr, $zero:expr) => {{
                #[target_feature(enable = $features)]
                fn probe() -> usize {
                    let mut acc = [$zero; 12];
                    for _ in 0..STEPS {
                        for $v in &mut acc {
                            *$v = $step;
                        }
                        black_box(&mut acc[0]);
                    }
                    black_box(acc);
                    12 * STEPS * $lanes
                }
                // SAFETY: the caller asks only for instructions that the processor has.
                probe as unsafe fn() -> usize
            }};
        }
        let run: unsafe fn() -> usize = match (isa, precision) {
            (Isa::Portable, _) => return f64::NAN,
            (Isa::Avx2, _) => {
                probe!("avx2,fma", 16, v => _mm256_fmadd_ps(*v, *v, *v), _mm256_setzero_ps())
            }
            (Isa::Avx512Bf16, Precision::Bf16) => probe!(
                "avx512f,avx512bf16", 64,
                // SAFETY: both types are 64 plain bytes.
                v => { let b = unsafe { std::mem::transmute::<__m512, __m512bh>(*v) };
                       _mm512_dpbf16_ps(*v, b, b) },
                _mm512_setzero_ps()
            ),
            _ => probe!("avx512f", 32, v => _mm512_fmadd_ps(*v, *v, *v), _mm512_setzero_ps()),
        };
        let mut flops = 0;
        // SAFETY: `isa` is one of `Isa::available()`.
        let seconds = best_seconds(|| flops = unsafe { run() });
        flops as f64 / seconds / 1e9
    }
    #[cfg(not(target_arch = "x86_64"))]
    f64::NAN
}

/// Numbers in [-1, 1) that look random.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// `x` in a format, on cache lines.
enum Buffer {
    F32(AlignedVec<f32>),
    Bf16(AlignedVec<u16>),
}

impl Buffer {
    fn new(x: &[f32], precision: Precision) -> Buffer {
        match precision {
            Precision::F32 => {
                let mut buffer = AlignedVec::zeroed(x.len());
                buffer.copy_from_slice(x);
                Buffer::F32(buffer)
            }
            Precision::Bf16 => {
                let mut buffer = AlignedVec::zeroed(x.len());
                store_rows(RowsMut::Bf16(&mut buffer), x);
                Buffer::Bf16(buffer)
            }
        }
    }
    fn rows(&self) -> Rows<'_> {
        match self {
            Buffer::F32(x) => Rows::F32(x),
            Buffer::Bf16(x) => Rows::Bf16(x),
        }
    }
    fn rows_mut(&mut self) -> RowsMut<'_> {
        match self {
            Buffer::F32(x) => RowsMut::F32(x),
            Buffer::Bf16(x) => RowsMut::Bf16(x),
        }
    }
}

fn training(isa: Isa, precision: Precision, shape: AttentionShape) {
    let t = shape.seq_len;
    let qkv = Buffer::new(&noise(t * shape.qkv_dim(), 1), precision);
    let mut y = Buffer::new(&vec![0.0; t * shape.y_dim()], precision);
    let dy = noise(t * shape.y_dim(), 2);
    let mut lse = vec![0.0; shape.n_heads * t];
    let mut dqkv = AlignedVec::zeroed(t * shape.qkv_dim());
    let mut scratch = AlignedVec::zeroed(attention_scratch_len(shape, precision));

    let peak = peak(isa, precision);
    let forward = best_seconds(|| {
        attention_forward(y.rows_mut(), &mut lse, qkv.rows(), shape, &mut scratch);
    });
    let backward = best_seconds(|| {
        attention_backward(&mut dqkv, &dy, y.rows(), qkv.rows(), &lse, shape, &mut scratch);
    });
    let unit = (t * t * shape.n_heads * shape.head_dim) as f64 / 1e9;
    let (f, b) = (2.0 * unit / forward, 5.0 * unit / backward);
    println!(
        "{:10} {:4} T={t:<5} D={:<4} H={:<3} K={:<3} peak {peak:6.1} | forward {:9.1} us {f:6.1} \
         GFLOP/s {:3.0} % | backward {:9.1} us {b:6.1} GFLOP/s {:3.0} %",
        isa.name(),
        precision.name(),
        shape.head_dim,
        shape.n_heads,
        shape.n_kv_heads,
        forward * 1e6,
        100.0 * f / peak,
        backward * 1e6,
        100.0 * b / peak,
    );
}

/// `n_new` queries at the end of a cache that holds `len` positions.
fn cached(isa: Isa, shape: CacheShape, len: usize, n_new: usize) {
    let qkv_dim = (shape.n_heads + 2 * shape.n_kv_heads) * shape.head_dim;
    let qkv = noise(len * qkv_dim, 1);
    let mut cache = AlignedVec::zeroed(shape.cache_words());
    attention_append(&mut cache, Rows::F32(&qkv), shape, 0);
    let mut y = vec![0.0; n_new * shape.n_heads * shape.head_dim];
    let mut scratch = AlignedVec::zeroed(attention_cached_scratch_len(shape));
    let start = len - n_new;
    let q = Rows::F32(&qkv[start * qkv_dim..]);
    let seconds = best_seconds(|| {
        attention_cached(RowsMut::F32(&mut y), q, &cache, shape, start, &mut scratch);
    });
    let last = Rows::F32(&qkv[start * qkv_dim..]);
    let append = best_seconds(|| attention_append(&mut cache, last, shape, start));
    let bytes = (2 * len * shape.n_kv_heads * shape.head_dim) as f64
        * if shape.precision == Precision::F32 { 4.0 } else { 2.0 };
    let pairs = (n_new * start + n_new * (n_new + 1) / 2) as f64;
    let flops = 4.0 * pairs * (shape.n_heads * shape.head_dim) as f64;
    println!(
        "{:10} {:4} cached {n_new:>4} of {len:<5} D={:<4} H={:<3} K={:<3} {:9.1} us {:6.1} GFLOP/s \
         {:6.1} GB/s of cache, append {:7.1} us",
        isa.name(),
        shape.precision.name(),
        shape.head_dim,
        shape.n_heads,
        shape.n_kv_heads,
        seconds * 1e6,
        flops / seconds / 1e9,
        bytes / seconds / 1e9,
        append * 1e6,
    );
}

fn main() {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    for isa in Isa::available().collect::<Vec<_>>().into_iter().rev() {
        isa::force(isa);
        for precision in [Precision::Bf16, Precision::F32] {
            let name = format!("{} {}", isa.name(), precision.name());
            if !name.contains(&filter) {
                continue;
            }
            for (t, d, h, k) in [
                (128, 32, 4, 4),
                (256, 64, 6, 6),
                (256, 64, 12, 12),
                (256, 64, 12, 4),
                (256, 48, 8, 8),
                (1024, 64, 4, 4),
                (2048, 128, 2, 2),
            ] {
                let shape = AttentionShape { n_heads: h, n_kv_heads: k, head_dim: d, seq_len: t };
                training(isa, precision, shape);
            }
            for (len, n_new) in [(128, 1), (1024, 1), (4096, 1), (512, 512), (1024, 128)] {
                let (n_heads, n_kv_heads, head_dim, max_len) = (12, 12, 64, 4096);
                let shape = CacheShape { n_heads, n_kv_heads, head_dim, max_len, precision };
                cached(isa, shape, len, n_new);
            }
        }
    }
}
