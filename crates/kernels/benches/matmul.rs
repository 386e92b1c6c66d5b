//! Speed of the matrix products on one thread, as a share of the peak measured beside them.
//!
//! ```text
//! cargo bench -p crystalline-kernels --bench matmul -- forward wgrad bf16 m512 128x384
//! ```
//!
//! Words narrow the sweep: kinds (forward, dgrad, wgrad, pack, decode), precisions, rows, layers
//! as KxN. `CRYSTALLINE_ISA` picks the instruction set. Every call is timed next to a burst of the
//! probe, and a share is the median of the calls over the median of the bursts, so that whatever
//! slows the core for a while slows both. Time is the thread's own: a shared core is no matter.

use kernels::matmul::{
    MatmulShape, Packed, matmul, matmul_wgrad, pack_straight, pack_transposed, packed_len,
    wgrad_scratch_len,
};
use kernels::probe::{peak_flops, read_bandwidth};
use kernels::{Accum, AlignedVec, Isa, Precision, Rows, RowsMut, rows};
use std::time::Instant;

/// (K, N) of the layers of models from 128 to 768 wide, and of their output layers.
const LAYERS: [(usize, usize); 13] = [
    (128, 384),
    (128, 704),
    (352, 128),
    (384, 1152),
    (384, 2048),
    (1024, 384),
    (768, 2304),
    (768, 4096),
    (2048, 768),
    (128, 4096),
    (128, 33278),
    (384, 8192),
    (768, 50257),
];

/// Rows in a call.
const ROWS: [usize; 5] = [128, 256, 512, 1024, 2048];

/// Outputs of a call, at most: 240 MB.
const MAX_LOGITS: usize = 60_000_000;

/// Seconds spent on a line of the table, but for calls that take longer.
const SECONDS: f64 = 0.25;

/// Numbers in a precision, owned.
enum Matrix {
    F32(AlignedVec<f32>),
    Bf16(AlignedVec<u16>),
}

impl Matrix {
    fn filled(len: usize, precision: Precision) -> Matrix {
        let mut values = AlignedVec::<f32>::zeroed(len);
        for (i, x) in values.iter_mut().enumerate() {
            *x = ((i * 2_654_435_761) % 1009) as f32 / 1009.0 - 0.5;
        }
        match precision {
            Precision::F32 => Matrix::F32(values),
            Precision::Bf16 => {
                let mut rounded = AlignedVec::zeroed(len);
                rows::store_rows(RowsMut::Bf16(&mut rounded), &values);
                Matrix::Bf16(rounded)
            }
        }
    }

    fn rows(&self) -> Rows<'_> {
        match self {
            Matrix::F32(x) => Rows::F32(x),
            Matrix::Bf16(x) => Rows::Bf16(x),
        }
    }
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

/// Seconds that this thread has run: a core shared with others must not count their time.
#[cfg(target_os = "linux")]
fn thread_seconds() -> f64 {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = [0; 2];
    // SAFETY: it writes the two 64-bit fields of a `timespec`, seconds and nanoseconds.
    let failed = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "no clock of the thread's own time");
    time[0] as f64 + time[1] as f64 / 1e9
}

#[cfg(not(target_os = "linux"))]
fn thread_seconds() -> f64 {
    use std::sync::LazyLock;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// Median and best seconds of `run`, and the median peak of the bursts between the runs.
fn timed(precision: Precision, mut run: impl FnMut()) -> (f64, f64, f64) {
    run();
    let (mut seconds, mut peaks) = (vec![], vec![]);
    let start = Instant::now();
    while seconds.len() < 5 || start.elapsed().as_secs_f64() < SECONDS {
        peaks.push(peak_flops(precision, 2e-4));
        let start = thread_seconds();
        run();
        seconds.push(thread_seconds() - start);
    }
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    (median(seconds), best, median(peaks))
}

fn line(what: &str, precision: Precision, shape: MatmulShape, run: impl FnMut()) {
    let MatmulShape { m, n, k } = shape;
    let flops = 2.0 * (m * n * k) as f64;
    let (seconds, best, peak) = timed(precision, run);
    println!(
        "{what:8} {:4} {m:5} {k:5} {n:6} {:10.1} us {:7.1} GFLOP/s {:6.1} % (best {:5.1} %)",
        precision.name(),
        seconds * 1e6,
        flops / seconds / 1e9,
        100.0 * flops / seconds / peak,
        100.0 * flops / best / peak,
    );
}

fn forward(what: &str, precision: Precision, shape: MatmulShape) {
    let MatmulShape { m, n, k } = shape;
    let a = Matrix::filled(m * k, precision);
    let mut words = AlignedVec::zeroed(packed_len(precision, k, n));
    pack_straight(&mut words, &vec![0.5; k * n], k, n, precision);
    let mut c = AlignedVec::zeroed(m * n);
    line(what, precision, shape, || {
        let b = Packed { words: &words, precision, k, n };
        matmul(&mut c, a.rows(), b, Accum::Replace);
    });
}

fn wgrad(precision: Precision, shape: MatmulShape) {
    let MatmulShape { m, n, k } = shape;
    let dy = Matrix::filled(m * n, precision);
    let x = Matrix::filled(m * k, precision);
    let mut dw = AlignedVec::zeroed(n * k);
    let mut scratch = AlignedVec::zeroed(wgrad_scratch_len(shape, precision));
    line("wgrad", precision, shape, || {
        matmul_wgrad(&mut dw, dy.rows(), x.rows(), shape, Accum::Add, &mut scratch);
    });
}

fn pack(precision: Precision, k: usize, n: usize) {
    let w = vec![0.5; k * n];
    let mut words = AlignedVec::zeroed(packed_len(precision, k, n));
    let bytes = (4 * (w.len() + words.len())) as f64;
    let (transposed, ..) = timed(precision, || pack_transposed(&mut words, &w, k, n, precision));
    let (straight, ..) = timed(precision, || pack_straight(&mut words, &w, k, n, precision));
    println!(
        "pack     {:4}       {k:5} {n:6} transposed {:8.1} us {:5.1} GB/s   straight {:8.1} us {:5.1} GB/s",
        precision.name(),
        transposed * 1e6,
        bytes / transposed / 1e9,
        straight * 1e6,
        bytes / straight / 1e9,
    );
}

/// Few rows by weights that no cache holds, as a share of the bandwidth of reading.
fn decode(precision: Precision) {
    let (k, n) = (768, 50257);
    let memory = vec![1u64; 16 << 20];
    let mut words = AlignedVec::zeroed(packed_len(precision, k, n));
    pack_straight(&mut words, &vec![0.5; k * n], k, n, precision);
    for m in [1, 2, 4, 8] {
        let a = Matrix::filled(m * k, precision);
        let mut c = vec![0.0; m * n];
        let (mut seconds, mut bandwidths) = (vec![], vec![]);
        for _ in 0..9 {
            bandwidths.push(read_bandwidth(&memory));
            let start = thread_seconds();
            let b = Packed { words: &words, precision, k, n };
            matmul(&mut c, a.rows(), b, Accum::Replace);
            seconds.push(thread_seconds() - start);
        }
        let (seconds, bandwidth) = (median(seconds), median(bandwidths));
        let rate = (4 * words.len()) as f64 / seconds;
        println!(
            "decode   {:4} {m:5} {k:5} {n:6} {:10.1} us {:6.1} GB/s of weights, probe {:5.1} GB/s: {:5.1} %",
            precision.name(),
            seconds * 1e6,
            rate / 1e9,
            bandwidth / 1e9,
            100.0 * rate / bandwidth,
        );
    }
}

/// The words of the command line, which narrow the sweep.
struct Words(Vec<String>);

impl Words {
    /// Whether `word` is wanted: it was named, or none of its `group` was.
    fn want(&self, word: &str, group: &[&str]) -> bool {
        let named = |word: &str| self.0.iter().any(|w| w == word);
        named(word) || !group.iter().any(|word| named(word))
    }

    /// The same for a group that is known by its looks.
    fn want_like(&self, word: &str, is_like: impl Fn(&str) -> bool) -> bool {
        let group: Vec<&str> = self.0.iter().map(String::as_str).filter(|w| is_like(w)).collect();
        self.want(word, &group)
    }
}

fn main() {
    let words = Words(std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect());
    let want_kind = |kind| words.want(kind, &["forward", "dgrad", "wgrad", "pack", "decode"]);
    println!(
        "{}: kind, precision, M, K, N, median time, rate, share of peak",
        Isa::active().name()
    );
    for precision in [Precision::F32, Precision::Bf16] {
        if !words.want(precision.name(), &["f32", "bf16"]) {
            continue;
        }
        println!("{} peak {:.1} GFLOP/s", precision.name(), peak_flops(precision, 0.1) / 1e9);
        for (k, n) in LAYERS {
            if !words.want_like(&format!("{k}x{n}"), |w| w.contains('x')) {
                continue;
            }
            for m in ROWS {
                let shape = MatmulShape { m, n, k };
                if !words.want_like(&format!("m{m}"), |w| w.starts_with('m')) || m * n > MAX_LOGITS
                {
                    continue;
                }
                if want_kind("forward") {
                    forward("forward", precision, shape);
                }
                if want_kind("dgrad") {
                    forward("dgrad", precision, MatmulShape { m, n: k, k: n });
                }
                if want_kind("wgrad") {
                    wgrad(precision, shape);
                }
            }
            if want_kind("pack") {
                pack(precision, k, n);
            }
        }
        if want_kind("decode") {
            decode(precision);
        }
    }
}
