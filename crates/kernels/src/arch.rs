//! Instruction-set tokens: one generic row kernel, compiled for each instruction path.
//!
//! A kernel is an `#[inline(always)]` function, generic over [`Arch`], built from the loops of
//! [`crate::loops`]. [`dispatch!`], called once per tensor, inlines it into a function compiled with
//! `#[target_feature]` for the active path, and the compiler vectorises its loops. Four operations on
//! blocks that the compiler does not vectorise reliably are written here with intrinsics; the row
//! kernels themselves contain no `unsafe`.
//!
//! Avx2 and the two Avx512 paths are bit-identical; Portable differs where it cannot fuse a
//! multiplication with an addition.

use crate::Isa;
use crate::rows::bf16_from_f32;

/// Elements in a block of a loop: long enough for the compiler's loop vectoriser. Loops of 16 are
/// unrolled before it sees them, and stayed scalar in some kernels.
pub(crate) const BLOCK: usize = 64;

/// Partial results of a fold: two AVX-512 vectors, so that consecutive operations are independent.
pub(crate) const LANES: usize = 32;

/// An instruction set as a token: a value proves that the processor supports it.
pub(crate) trait Arch: Copy {
    /// Whether a multiply-add is one instruction with a single rounding.
    const FMA: bool;

    /// Runs `kernel`, which must be `#[inline(always)]`, compiled for this instruction set.
    fn run<R>(self, kernel: impl FnOnce(Self) -> R) -> R;

    /// `a * b + c`, fused where the path has an instruction for it.
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        if Self::FMA { a.mul_add(b, c) } else { a * b + c }
    }

    /// Adds a block into partial sums, [`LANES`] elements at a time.
    #[inline(always)]
    fn add_block(self, acc: &mut [f32; LANES], block: &[f32; BLOCK]) {
        for part in block.as_chunks::<LANES>().0 {
            for l in 0..LANES {
                acc[l] += part[l];
            }
        }
    }

    /// Updates each partial maximum with its elements of the block; NaN is ignored.
    #[inline(always)]
    fn max_block(self, acc: &mut [f32; LANES], block: &[f32; BLOCK]) {
        for part in block.as_chunks::<LANES>().0 {
            for l in 0..LANES {
                acc[l] = larger(acc[l], part[l]);
            }
        }
    }

    /// Rounds to bf16 as [`bf16_from_f32`] does; the lengths must be equal.
    #[inline(always)]
    fn to_bf16(self, dst: &mut [u16], src: &[f32]) {
        for (d, s) in dst.iter_mut().zip(src) {
            *d = bf16_from_f32(*s);
        }
    }
}

/// The larger of two numbers; `a` if `b` is NaN.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Any processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Arch for Portable {
    // All 64-bit Arm processors have fused multiply-add.
    const FMA: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn run<R>(self, kernel: impl FnOnce(Self) -> R) -> R {
        kernel(self)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use super::{Arch, BLOCK, LANES};
    use std::arch::x86_64::*;

    /// Defines the token of one instruction set with its intrinsics.
    macro_rules! token {
        ($name:ident, $features:literal, $add:path, $max:path, $($method:item)?) => {
            #[derive(Clone, Copy)]
            pub(crate) struct $name(());

            impl $name {
                /// # Safety
                /// The processor must have the instructions.
                pub(super) unsafe fn new() -> $name {
                    $name(())
                }
            }

            // SAFETY, of every block in it: a token is made by `new` only, whose caller vouches
            // for the instructions.
            impl Arch for $name {
                const FMA: bool = true;

                #[inline(always)]
                fn run<R>(self, kernel: impl FnOnce(Self) -> R) -> R {
                    #[target_feature(enable = $features)]
                    fn compiled<R>(token: $name, kernel: impl FnOnce($name) -> R) -> R {
                        kernel(token)
                    }
                    // SAFETY: the token is the proof that the processor has the instructions.
                    unsafe { compiled(self, kernel) }
                }

                #[inline(always)]
                fn add_block(self, acc: &mut [f32; LANES], block: &[f32; BLOCK]) {
                    // SAFETY: the token is the proof that the processor has the instructions.
                    unsafe { $add(acc, block) }
                }

                #[inline(always)]
                fn max_block(self, acc: &mut [f32; LANES], block: &[f32; BLOCK]) {
                    // SAFETY: the token is the proof that the processor has the instructions.
                    unsafe { $max(acc, block) }
                }

                $($method)?
            }
        };
    }

    /// Folds a block into partial results with one vector instruction.
    macro_rules! fold {
        ($name:ident, $features:literal, $width:literal, $op:ident, $load:ident, $store:ident) => {
            #[target_feature(enable = $features)]
            #[inline]
            fn $name(acc: &mut [f32; LANES], block: &[f32; BLOCK]) {
                let (acc, _) = acc.as_chunks_mut::<$width>();
                let (block, _) = block.as_chunks::<$width>();
                for (i, x) in block.iter().enumerate() {
                    let acc = &mut acc[i % (LANES / $width)];
                    // SAFETY: each load and store is of an array of just as many elements.
                    unsafe {
                        // The maximum instruction returns its second operand if either is NaN.
                        let new = $op($load(x.as_ptr()), $load(acc.as_ptr()));
                        $store(acc.as_mut_ptr(), new);
                    }
                }
            }
        };
    }

    fold!(add_avx2, "avx2", 8, _mm256_add_ps, _mm256_loadu_ps, _mm256_storeu_ps);
    fold!(max_avx2, "avx2", 8, _mm256_max_ps, _mm256_loadu_ps, _mm256_storeu_ps);
    fold!(add_avx512, "avx512f", 16, _mm512_add_ps, _mm512_loadu_ps, _mm512_storeu_ps);
    fold!(max_avx512, "avx512f", 16, _mm512_max_ps, _mm512_loadu_ps, _mm512_storeu_ps);

    token!(Avx2, "avx2,fma", add_avx2, max_avx2,);
    token!(Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", add_avx512, max_avx512,);
    token!(
        Avx512Bf16,
        "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
        add_avx512,
        max_avx512,
        #[inline(always)]
        fn to_bf16(self, dst: &mut [u16], src: &[f32]) {
            let (dst, dst_end) = dst.as_chunks_mut::<16>();
            let (src, src_end) = src.as_chunks::<16>();
            for (d, s) in dst.iter_mut().zip(src) {
                // SAFETY: the token is the proof that the processor has the instructions.
                *d = unsafe { round(s) };
            }
            if !src_end.is_empty() {
                let mut block = [0.0; 16];
                block[..src_end.len()].copy_from_slice(src_end);
                // SAFETY: as above.
                let block = unsafe { round(&block) };
                dst_end.copy_from_slice(&block[..dst_end.len()]);
            }
        }
    );

    #[target_feature(enable = "avx512bf16,avx512f")]
    #[inline]
    fn round(x: &[f32; 16]) -> [u16; 16] {
        // SAFETY: the load reads the 16 elements of `x`, and both types of the transmutation are
        // 32 bytes in which every pattern is valid.
        unsafe { std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(x.as_ptr()))) }
    }
}

/// Token of the active path, for [`dispatch!`].
pub(crate) enum Active {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(x86::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(x86::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(x86::Avx512Bf16),
}

/// The active path: [`Isa::active`] as a token.
pub(crate) fn active() -> Active {
    match Isa::active() {
        // SAFETY: `Isa::active` returns only paths whose instructions the processor has.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Active::Avx2(unsafe { x86::Avx2::new() }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => Active::Avx512(unsafe { x86::Avx512::new() }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 => Active::Avx512Bf16(unsafe { x86::Avx512Bf16::new() }),
        _ => Active::Portable(Portable),
    }
}

/// `dispatch!(arch => body)`: evaluates `body` compiled for the active path, whose token is `arch`.
///
/// The body should be a call of one `#[inline(always)]` function. It cannot `return`.
macro_rules! dispatch {
    ($arch:ident => $body:expr) => {{
        use $crate::arch::{Active, Arch};
        match $crate::arch::active() {
            Active::Portable(token) => token.run(
                #[inline(always)]
                |$arch| $body,
            ),
            #[cfg(target_arch = "x86_64")]
            Active::Avx2(token) => token.run(
                #[inline(always)]
                |$arch| $body,
            ),
            #[cfg(target_arch = "x86_64")]
            Active::Avx512(token) => token.run(
                #[inline(always)]
                |$arch| $body,
            ),
            #[cfg(target_arch = "x86_64")]
            Active::Avx512Bf16(token) => token.run(
                #[inline(always)]
                |$arch| $body,
            ),
        }
    }};
}
pub(crate) use dispatch;
