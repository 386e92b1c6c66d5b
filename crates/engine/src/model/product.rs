//! Shared product: one matrix product computed by all threads of a pool.

use kernels::accum::Accum;
use kernels::matmul::{Packed, matmul, matmul_panels, n_panels, panel_columns};
use kernels::{Pool, Rows};
use std::ops::Range;

/// Fewest rows of a thread, for its products to run near their peak.
const ROWS_EACH: usize = 8;

/// Splits products among threads, by rows if there are many (prefill) and by panels of the weight
/// if there are few (decoding of one or some texts). The split changes no bits. Allocates on first
/// use, and again for a larger product of few rows.
#[derive(Debug, Default)]
pub(crate) struct SharedProduct {
    ranges: Vec<Range<usize>>,
    /// Each thread's columns of all rows, thread by thread.
    columns: Vec<f32>,
}

impl SharedProduct {
    /// `c = a·b`, or `c += a·b` if `add`; `c` is (rows, outputs) and `a` (rows, inputs).
    pub fn run(&mut self, pool: &mut Pool, c: &mut [f32], a: Rows, b: Packed, add: bool) {
        let accum = if add { Accum::Add } else { Accum::Replace };
        let (n_rows, threads) = (c.len() / b.n, pool.threads());
        if n_rows == 1 {
            let part = |i: usize| part(i, threads, b);
            self.ranges.clear();
            self.ranges.extend((0..threads).map(|i| panel_columns(b.n, part(i))));
            pool.for_each_range([c], &self.ranges, |i, [c]| {
                matmul_panels(c, a, b, part(i), accum);
            });
        } else if n_rows < ROWS_EACH * threads {
            self.by_panels(pool, c, a, b, accum);
        } else {
            let (n, k) = (b.n, b.k);
            let step = n_rows.div_ceil(threads).next_multiple_of(ROWS_EACH);
            let ranges = (0..n_rows).step_by(step).map(|r| r * n..(r + step).min(n_rows) * n);
            self.ranges.clear();
            self.ranges.extend(ranges);
            pool.for_each_range([c], &self.ranges, |i, [c]| {
                let first = i * step * k;
                matmul(c, a.slice(first..first + c.len() / n * k), b, accum);
            });
        }
    }

    /// Splits a product of several rows by panels. A thread's columns are not contiguous in `c`, so
    /// they are computed in a buffer.
    fn by_panels(&mut self, pool: &mut Pool, c: &mut [f32], a: Rows, b: Packed, accum: Accum) {
        let (n, threads) = (b.n, pool.threads());
        let n_rows = c.len() / n;
        let columns = |i: usize| panel_columns(n, part(i, threads, b));
        let SharedProduct { ranges, columns: apart } = self;
        ranges.clear();
        ranges.extend((0..threads).map(|i| columns(i).start * n_rows..columns(i).end * n_rows));
        if apart.len() < c.len() {
            apart.resize(c.len(), 0.0);
        }
        let apart = &mut apart[..c.len()];
        let before = &*c;
        pool.for_each_range([&mut *apart], ranges, |i, [apart]| {
            let columns = columns(i);
            if matches!(accum, Accum::Add) && !columns.is_empty() {
                let rows = apart.chunks_exact_mut(columns.len()).zip(before.chunks_exact(n));
                rows.for_each(|(apart, before)| apart.copy_from_slice(&before[columns.clone()]));
            }
            matmul_panels(apart, a, b, part(i, threads, b), accum);
        });
        for (i, range) in ranges.iter().enumerate().filter(|(_, range)| !range.is_empty()) {
            let columns = columns(i);
            let rows = apart[range.clone()].chunks_exact(columns.len()).zip(c.chunks_exact_mut(n));
            rows.for_each(|(apart, c)| c[columns.clone()].copy_from_slice(apart));
        }
    }
}

/// Panels of thread `i`.
fn part(i: usize, threads: usize, b: Packed) -> Range<usize> {
    let panels = n_panels(b.n);
    i * panels / threads..(i + 1) * panels / threads
}
