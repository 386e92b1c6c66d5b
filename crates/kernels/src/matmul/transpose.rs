//! Transpose of a 16 by 16 block of words: the shuffle step of packing.

/// Rows and columns of a block.
pub(super) const BLOCK: usize = 16;

/// `dst[j·stride + i] = src[i][j]` for the rows that `dst` has: the definition.
///
/// `dst` may have fewer than 16 rows, but each of its rows is complete.
#[inline(always)]
pub(super) fn transpose(src: &[[u32; BLOCK]; BLOCK], dst: &mut [u32], stride: usize) {
    for (j, row) in dst.chunks_mut(stride).take(BLOCK).enumerate() {
        for i in 0..BLOCK {
            row[i] = src[i][j];
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{transpose_avx2, transpose_avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Shuffle network: at each stage neighbours twice as far apart exchange halves.

    use super::BLOCK;
    use std::arch::x86_64::*;

    /// [`super::transpose`], 16 words at a time.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn transpose_avx512(src: &[[u32; BLOCK]; BLOCK], dst: &mut [u32], stride: usize) {
        let mut x = [_mm512_setzero_si512(); BLOCK];
        for i in 0..BLOCK {
            // SAFETY: a row of the block is 64 bytes.
            x[i] = unsafe { _mm512_loadu_si512(src[i].as_ptr().cast()) };
        }
        let mut y = x;
        for i in (0..BLOCK).step_by(2) {
            y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
            y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
        }
        // x[4q + i] holds, in lane l, column 4l + i of rows 4q..4q + 4.
        for q in (0..BLOCK).step_by(4) {
            x[q] = _mm512_unpacklo_epi64(y[q], y[q + 2]);
            x[q + 1] = _mm512_unpackhi_epi64(y[q], y[q + 2]);
            x[q + 2] = _mm512_unpacklo_epi64(y[q + 1], y[q + 3]);
            x[q + 3] = _mm512_unpackhi_epi64(y[q + 1], y[q + 3]);
        }
        // Four lanes from each of four rows of lanes: a 4 by 4 transpose of lanes.
        for i in 0..4 {
            let ab02 = _mm512_shuffle_i32x4::<0b10_00_10_00>(x[i], x[i + 4]);
            let ab13 = _mm512_shuffle_i32x4::<0b11_01_11_01>(x[i], x[i + 4]);
            let cd02 = _mm512_shuffle_i32x4::<0b10_00_10_00>(x[i + 8], x[i + 12]);
            let cd13 = _mm512_shuffle_i32x4::<0b11_01_11_01>(x[i + 8], x[i + 12]);
            y[i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab02, cd02);
            y[i + 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab13, cd13);
            y[i + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab02, cd02);
            y[i + 12] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab13, cd13);
        }
        for (j, row) in dst.chunks_mut(stride).take(BLOCK).enumerate() {
            let row = &mut row[..BLOCK];
            // SAFETY: the slice just made is 64 bytes.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), y[j]) };
        }
    }

    /// [`super::transpose`], 8 words at a time: four blocks of 8 by 8.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn transpose_avx2(src: &[[u32; BLOCK]; BLOCK], dst: &mut [u32], stride: usize) {
        for half in 0..2 {
            for from in [0, 8] {
                let mut x = [_mm256_setzero_si256(); 8];
                for i in 0..8 {
                    let row = src[from + i].as_chunks::<8>().0[half].as_ptr();
                    // SAFETY: eight words are 32 bytes.
                    x[i] = unsafe { _mm256_loadu_si256(row.cast()) };
                }
                let y = transpose_8(x);
                let rows = dst.chunks_mut(stride).skip(8 * half).take(8);
                for (j, row) in rows.enumerate() {
                    let row = &mut row[from..from + 8];
                    // SAFETY: the slice just made is 32 bytes.
                    unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), y[j]) };
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn transpose_8(mut x: [__m256i; 8]) -> [__m256i; 8] {
        let mut y = x;
        for i in (0..8).step_by(2) {
            y[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
            y[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
        }
        for q in (0..8).step_by(4) {
            x[q] = _mm256_unpacklo_epi64(y[q], y[q + 2]);
            x[q + 1] = _mm256_unpackhi_epi64(y[q], y[q + 2]);
            x[q + 2] = _mm256_unpacklo_epi64(y[q + 1], y[q + 3]);
            x[q + 3] = _mm256_unpackhi_epi64(y[q + 1], y[q + 3]);
        }
        for i in 0..4 {
            y[i] = _mm256_permute2x128_si256::<0x20>(x[i], x[i + 4]);
            y[i + 4] = _mm256_permute2x128_si256::<0x31>(x[i], x[i + 4]);
        }
        y
    }
}
