//! Prefetch lists: cache lines to fetch ahead of use, one line per step of a tile.
//!
//! A tile reads the panel of B at every step, but C, and the data that follows, only at its end.
//! Prefetching that memory one line at a time hides its latency; prefetching all of it at once delays
//! the loads of B (measured on Zen 5).

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// The cache lines of a slice, or the first few lines of each row of a matrix.
///
/// Addresses are only prefetched, never read, so they may be invalid.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    start: *const u8,
    /// Bytes between rows.
    stride: usize,
    /// Base-2 logarithm of the lines per row.
    per_row_log2: u32,
    /// The selected lines, counted from `start`.
    first: usize,
    end: usize,
}

impl Lines {
    /// All lines of a slice.
    pub fn of<T>(slice: &[T]) -> Lines {
        let end = size_of_val(slice).div_ceil(LINE);
        let (start, per_row_log2) = (slice.as_ptr().cast(), usize::BITS - 1);
        Lines { start, stride: 0, per_row_log2, first: 0, end }
    }

    /// The lines of `rows` rows of `row_len` elements, `stride` elements apart, from `start` on. The
    /// lines per row are rounded up to a power of two.
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

    /// Part `i` of `n` parts of about equal size.
    pub fn part(self, i: usize, n: usize) -> Lines {
        let len = self.len().div_ceil(n);
        let first = self.end.min(self.first + i * len);
        Lines { first, end: self.end.min(first + len), ..self }
    }

    /// Number of lines.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.end - self.first
    }

    /// Line `i`, or `None` beyond the last.
    #[inline(always)]
    pub fn get(&self, i: usize) -> Option<*const u8> {
        let i = self.first + i;
        let (row, line) = (i >> self.per_row_log2, i & ((1 << self.per_row_log2) - 1));
        let at = self.start.wrapping_add(row * self.stride + line * LINE);
        (i < self.end).then_some(at)
    }
}
