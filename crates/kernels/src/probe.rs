//! Machine limits: peak floating-point rate in registers and memory read bandwidth.
//!
//! Benchmark figures are reported as shares of these limits, measured alongside.

use crate::isa::Isa;
use crate::rows::Precision;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of multiply-adds per burst: some tens of microseconds, less than a scheduler time slice.
const ROUNDS: usize = 10_000;

/// Peak rate of multiply-adds of the active instruction set on this thread, in flops per second.
///
/// Operands stay in registers, so only the arithmetic units limit the rate. A multiply-add counts as
/// two flops. For bf16 on an instruction set without bf16 pair products the result is the rate of
/// f32, to which operands are widened. Bursts are repeated for about `seconds`, at least once, and
/// the best one counts: slower ones shared the core with other work.
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

/// Runs one burst and returns its flops.
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

/// Eight vectors of four lanes: half of the registers of a 128-bit instruction set.
fn burst_portable() -> usize {
    let (scale, shift) = (black_box(0.999f32), black_box(0.001f32));
    let mut sum = black_box([[1f32; 4]; 8]);
    for _ in 0..ROUNDS {
        for v in 0..8 {
            for lane in 0..4 {
                sum[v][lane] = sum[v][lane] * scale + shift;
            }
        }
    }
    black_box(sum);
    ROUNDS * 8 * 4 * 2
}

/// Streams read at once: the hardware prefetcher follows several, each to the end of its page.
const STREAMS: usize = 4;

/// Numbers of each stream read between two clock readings: 256 KiB per stream.
const CHUNK: usize = 32 << 10;

/// The rate, in bytes per second, at which this thread reads `buffer` once from end to end.
///
/// It is the median over pieces of 1 MiB, so pieces during which another program had the core do not
/// count. For a buffer several times larger than the caches this is the memory bandwidth available to
/// one thread. For the bandwidth of the machine, run it on several threads at once, each with its own
/// buffer, and add the results.
///
/// # Panics
/// If `buffer` is smaller than 1 MiB.
pub fn read_bandwidth(buffer: &[u64]) -> f64 {
    let part = buffer.len() / STREAMS;
    assert!(part >= CHUNK, "read_bandwidth: argument buffer is smaller than 1 MiB");
    let mut seconds = [f64::INFINITY; 4096];
    let n_pieces = (part / CHUNK).min(seconds.len());
    for (i, seconds) in seconds[..n_pieces].iter_mut().enumerate() {
        let streams = std::array::from_fn(|s| &buffer[s * part + i * CHUNK..][..CHUNK]);
        let start = Instant::now();
        black_box(sum_streams(streams));
        *seconds = start.elapsed().as_secs_f64();
    }
    let seconds = &mut seconds[..n_pieces];
    seconds.sort_by(f64::total_cmp);
    (STREAMS * CHUNK * size_of::<u64>()) as f64 / seconds[n_pieces / 2]
}

/// Sums all numbers, with whole cache lines per load where the instruction set allows.
fn sum_streams(streams: [&[u64]; STREAMS]) -> u64 {
    match Isa::active() {
        // SAFETY: the active instruction set is one that the processor has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { x86::sum_streams_avx512(streams) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::sum_streams_avx2(streams) },
        _ => sum_one_by_one(streams),
    }
}

/// [`sum_streams`] on any processor.
fn sum_one_by_one(streams: [&[u64]; STREAMS]) -> u64 {
    streams.iter().copied().flatten().fold(0, |sum, x| sum.wrapping_add(*x))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Bursts: one function per instruction set, with as many sums as its register tile.

    use super::{ROUNDS, STREAMS};
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

    #[target_feature(enable = "avx512f")]
    pub fn sum_streams_avx512(streams: [&[u64]; STREAMS]) -> u64 {
        let mut sum = [_mm512_setzero_si512(); STREAMS];
        let [a, b, c, d] = streams.map(|stream| stream.as_chunks::<8>().0);
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            for (sum, line) in sum.iter_mut().zip([a, b, c, d]) {
                // SAFETY: eight numbers are 64 bytes.
                let line = unsafe { _mm512_loadu_si512(line.as_ptr().cast()) };
                *sum = _mm512_add_epi64(*sum, line);
            }
        }
        sum.iter().fold(0, |all, sum| all.wrapping_add(_mm512_reduce_add_epi64(*sum) as u64))
    }

    #[target_feature(enable = "avx2")]
    pub fn sum_streams_avx2(streams: [&[u64]; STREAMS]) -> u64 {
        let mut sum = [_mm256_setzero_si256(); STREAMS];
        let [a, b, c, d] = streams.map(|stream| stream.as_chunks::<8>().0);
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            for (sum, line) in sum.iter_mut().zip([a, b, c, d]) {
                for half in line.as_chunks::<4>().0 {
                    // SAFETY: four numbers are 32 bytes.
                    let half = unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
                    *sum = _mm256_add_epi64(*sum, half);
                }
            }
        }
        let mut lanes = [[0u64; 4]; STREAMS];
        for (lanes, sum) in lanes.iter_mut().zip(sum) {
            // SAFETY: four numbers are 32 bytes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sum) };
        }
        lanes.iter().flatten().fold(0, |all, lane| all.wrapping_add(*lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_measures_something() {
        let buffer = vec![1u64; STREAMS * CHUNK];
        for isa in crate::isa::testing::paths() {
            for precision in [Precision::F32, Precision::Bf16] {
                assert!(burst(isa, precision) > 0);
            }
        }
        assert!(peak_flops(Precision::F32, 0.0) > 1e6);
        assert!(read_bandwidth(&buffer) > 1e6);
    }

    #[test]
    fn streams_are_read_to_their_ends() {
        let buffer: Vec<u64> = (0..STREAMS as u64 * 64).collect();
        let streams = std::array::from_fn(|s| &buffer[s * 64..][..64]);
        assert_eq!(sum_streams(streams), buffer.iter().sum());
        assert_eq!(sum_one_by_one(streams), buffer.iter().sum());
    }
}
