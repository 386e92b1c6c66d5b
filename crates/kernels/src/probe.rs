//! What the machine can do: peak arithmetic in registers and the bandwidth of reading memory.
//!
//! A figure of a benchmark means something only as a share of these, measured beside it.

use crate::isa::Isa;
use crate::rows::Precision;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of multiply-adds in a burst: some tens of microseconds, less than a scheduler's slice.
const ROUNDS: usize = 10_000;

/// The fastest rate of multiply-adds that the active instruction set reached on this thread.
///
/// Operands stay in registers, so that nothing but the arithmetic units limits it. In flops per
/// second, a multiply-add being two; for bf16 on an instruction set without products of bf16
/// pairs it is the rate of f32, to which the operands are widened. Bursts are repeated for about
/// `seconds`, at least once, and the best one counts: others shared the core with somebody.
pub fn peak_flops(precision: Precision, seconds: f64) -> f64 {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut best = 0.0f64;
    loop {
        let start = Instant::now();
        let flops = burst(Isa::active(), precision);
        best = best.max(flops as f64 / start.elapsed().as_secs_f64());
        if Instant::now() >= until {
            return best;
        }
    }
}

/// Runs one burst and says how many flops it had.
fn burst(isa: Isa, precision: Precision) -> usize {
    match (isa, precision) {
        // SAFETY: the active instruction set is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Precision::Bf16) => unsafe { x86::burst_avx512_bf16() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Bf16, _) => unsafe { x86::burst_avx512() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => unsafe { x86::burst_avx2() },
        _ => burst_portable(),
    }
}

/// Eight vectors of four lanes: what the registers of a 128-bit instruction set hold twice over.
fn burst_portable() -> usize {
    let (scale, shift) = (black_box(0.999f32), black_box(0.001f32));
    let mut sum = [[black_box(1f32); 4]; 8];
    for _ in 0..ROUNDS {
        for sum in sum.iter_mut().flatten() {
            *sum = *sum * scale + shift;
        }
    }
    black_box(sum);
    ROUNDS * 8 * 4 * 2
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! One function per instruction set, with as many sums as its register tile.

    use super::ROUNDS;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx2,fma")]
    pub fn burst_avx2() -> usize {
        let (scale, shift) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sum = [shift; 12];
        for _ in 0..ROUNDS {
            for sum in &mut sum {
                *sum = _mm256_fmadd_ps(*sum, scale, shift);
            }
        }
        black_box(sum);
        ROUNDS * 12 * 8 * 2
    }

    #[target_feature(enable = "avx512f")]
    pub fn burst_avx512() -> usize {
        let (scale, shift) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(0.001)));
        let mut sum = [shift; 24];
        for _ in 0..ROUNDS {
            for sum in &mut sum {
                *sum = _mm512_fmadd_ps(*sum, scale, shift);
            }
        }
        black_box(sum);
        ROUNDS * 24 * 16 * 2
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn burst_avx512_bf16() -> usize {
        let zero = _mm512_setzero_ps();
        // SAFETY: both are 64 bytes of plain numbers.
        let (a, b) = black_box(unsafe {
            (
                std::mem::transmute::<__m512, __m512bh>(zero),
                std::mem::transmute::<__m512, __m512bh>(zero),
            )
        });
        let mut sum = [zero; 24];
        for _ in 0..ROUNDS {
            for sum in &mut sum {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sum);
        ROUNDS * 24 * 32 * 2
    }
}

/// Sums `buffer` once and returns the rate, in bytes per second, at which this thread read it.
///
/// With a buffer far larger than the caches this is the bandwidth of memory; to load all of a
/// machine's channels call it from several threads, each with a buffer of its own.
pub fn read_bandwidth(buffer: &[u64]) -> f64 {
    let start = Instant::now();
    black_box(buffer.iter().fold(0u64, |sum, x| sum.wrapping_add(*x)));
    size_of_val(buffer) as f64 / start.elapsed().as_secs_f64()
}
