//! Kernel benchmark: time on one thread, as a share of the core's peak rate and bandwidth.
//!
//! ```text
//! cargo bench -p crystalline-kernels -- matmul_wgrad bf16 m512
//! ```
//!
//! Arguments filter the lines: each must occur in the name. `CRYSTALLINE_ISA` selects the instruction
//! set. Every call is timed next to a burst of the probe. The share of the peak is the median of the
//! calls over the median of the bursts, so a temporary slow-down of the core affects both. Time is the
//! thread's own CPU time where the system reports it, so sharing the core does not matter.

#[path = "../tests/ops/mod.rs"]
mod ops;

use kernels::probe::{peak_flops, read_bandwidth};
use kernels::{Isa, Precision};
use ops::Line;

/// Seconds spent on a line, unless a single call takes longer.
const SECONDS: f64 = 0.25;

/// Shortest time between two clock readings: shorter calls are repeated.
const SHORTEST: f64 = 1e-4;

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

/// CPU seconds of this thread.
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
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// Seconds of `n` calls.
fn seconds_of(n: usize, call: &mut dyn FnMut()) -> f64 {
    let start = thread_seconds();
    (0..n).for_each(|_| call());
    thread_seconds() - start
}

/// Times a line and prints it.
fn measure(line: Line) {
    let Line { name, flops, bytes, set_up } = line;
    let precision = if name.contains("bf16") { Precision::Bf16 } else { Precision::F32 };
    let mut call = set_up();
    let n = (SHORTEST / seconds_of(1, &mut *call)).clamp(1.0, 1e5) as usize;
    let (mut seconds, mut peaks) = (vec![], vec![]);
    let start = thread_seconds();
    while seconds.len() < 5 || thread_seconds() - start < SECONDS {
        peaks.push(peak_flops(precision, 2e-4));
        seconds.push(seconds_of(n, &mut *call) / n as f64);
    }
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let (middle, peak) = (median(seconds), median(peaks));
    println!(
        "{name:<52} {:>11.2} us (best {:>11.2}) {:>7.1} GB/s {:>7.1} GFLOP/s {:>5.1} %",
        middle * 1e6,
        best * 1e6,
        bytes as f64 / middle / 1e9,
        flops as f64 / middle / 1e9,
        100.0 * flops as f64 / middle / peak,
    );
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let memory = vec![1u64; 16 << 20];
    println!(
        "{}: reads {:.1} GB/s, peak {:.1} GFLOP/s in f32, {:.1} in bf16; the last column is a share \
         of the peak",
        Isa::active().name(),
        median((0..5).map(|_| read_bandwidth(&memory)).collect()) / 1e9,
        peak_flops(Precision::F32, 0.1) / 1e9,
        peak_flops(Precision::Bf16, 0.1) / 1e9,
    );
    for line in ops::ALL.iter().flat_map(|op| (op.bench)()) {
        if words.iter().all(|word| line.name.contains(word)) {
            measure(line);
        }
    }
}
