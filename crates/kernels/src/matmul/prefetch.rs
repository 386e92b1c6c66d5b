//! Cache lines to ask for before they are needed, one at each step of a tile.
//!
//! A tile reads the panel of B at every step, but C, and what comes after it, only at its end.
//! Asking for that memory a line at a time hides its latency; asking for all of it at once holds
//! up the loads of B (measured: `bench/record/matmul-zen5.md`).

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// The lines of a slice, or the first few of each row of a matrix.
///
/// Addresses are only ever prefetched, so they may lie anywhere.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    start: *const u8,
    /// Bytes from a row to the next.
    stride: usize,
    /// The lines of a row are 2 to this power.
    per_row_log2: u32,
    /// The lines meant, counted from `start`.
    first: usize,
    end: usize,
}

impl Lines {
    /// The lines of a slice.
    pub fn of<T>(slice: &[T]) -> Lines {
        let end = size_of_val(slice).div_ceil(LINE);
        let (start, per_row_log2) = (slice.as_ptr().cast(), usize::BITS - 1);
        Lines { start, stride: 0, per_row_log2, first: 0, end }
    }

    /// From `start` on, the lines of `rows` rows of `row_len` elements, `stride` elements apart;
    /// of a row at least so many, up to a power of two.
    #[inline(always)]
    pub fn of_rows<T>(start: *const T, stride: usize, rows: usize, row_len: usize) -> Lines {
        let per_row = (row_len * size_of::<T>()).div_ceil(LINE).max(1).next_power_of_two();
        Lines {
            start: start.cast(),
            stride: stride * size_of::<T>(),
            per_row_log2: per_row.ilog2(),
            first: 0,
            end: rows * per_row,
        }
    }

    /// Part `i` of `n` about equal parts.
    pub fn part(self, i: usize, n: usize) -> Lines {
        let len = self.len().div_ceil(n);
        let first = self.end.min(self.first + i * len);
        Lines { first, end: self.end.min(first + len), ..self }
    }

    /// How many they are.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.end - self.first
    }

    /// Line `i`, if there are so many.
    #[inline(always)]
    pub fn get(&self, i: usize) -> Option<*const u8> {
        let i = self.first + i;
        let (row, line) = (i >> self.per_row_log2, i & ((1 << self.per_row_log2) - 1));
        let at = self.start.wrapping_add(row * self.stride + line * LINE);
        (i < self.end).then_some(at)
    }
}
