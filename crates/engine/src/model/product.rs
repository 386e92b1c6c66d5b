//! Shared product: one matrix product done by all threads of a pool.

use kernels::accum::Accum;
use kernels::matmul::{Packed, matmul, matmul_panels, n_panels, panel_columns};
use kernels::{Pool, Rows};
use std::ops::Range;

/// Shares products among threads, by rows where there are many (prefill) and by panels of the weight
/// where there is one (decoding). Sharing changes no bits. It allocates when it is first used.
#[derive(Debug, Default)]
pub(crate) struct SharedProduct {
    ranges: Vec<Range<usize>>,
}

impl SharedProduct {
    /// `c = a·b`, or `c += a·b` if `add`; `c` is (rows, outputs) and `a` (rows, inputs).
    pub fn run(&mut self, pool: &mut Pool, c: &mut [f32], a: Rows, b: Packed, add: bool) {
        let accum = if add { Accum::Add } else { Accum::Replace };
        let (n, k) = (b.n, b.k);
        let (n_rows, threads) = (c.len() / n, pool.threads());
        let ranges = &mut self.ranges;
        ranges.clear();
        if n_rows == 1 {
            let panels = n_panels(n);
            let part = |i: usize| i * panels / threads..(i + 1) * panels / threads;
            ranges.extend((0..threads).map(|i| panel_columns(n, part(i))));
            pool.for_each_range([c], ranges, |i, [c]| matmul_panels(c, a, b, part(i), accum));
        } else {
            let step = n_rows.div_ceil(threads).next_multiple_of(8);
            ranges.extend((0..n_rows).step_by(step).map(|r| r * n..(r + step).min(n_rows) * n));
            pool.for_each_range([c], ranges, |i, [c]| {
                let first = i * step * k;
                matmul(c, a.slice(first..first + c.len() / n * k), b, accum);
            });
        }
    }
}
