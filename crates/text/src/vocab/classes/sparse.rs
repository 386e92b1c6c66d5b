//! Sparse matrix with a multi-threaded product by a dense matrix.

use kernels::Pool;
use std::ops::Range;

/// Number of tasks of a product; more than threads, to balance the load.
const N_TASKS: usize = 32;

/// A matrix in compressed sparse row format.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    n_cols: usize,
    /// (rows + 1) offsets of each row's entries.
    starts: Vec<usize>,
    /// (column, value), row after row.
    entries: Vec<(u32, f32)>,
}

impl Sparse {
    /// A matrix of `n_cols` columns and no rows.
    pub fn new(n_cols: usize) -> Sparse {
        Sparse { n_cols, starts: vec![0], entries: Vec::new() }
    }

    /// Adds a row of (column, value).
    pub fn push_row(&mut self, entries: impl Iterator<Item = (u32, f32)>) {
        self.entries.extend(entries);
        self.starts.push(self.entries.len());
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    fn row(&self, i: usize) -> &[(u32, f32)] {
        &self.entries[self.starts[i]..self.starts[i + 1]]
    }

    /// The transpose; entries of a row are by ascending column.
    pub fn transposed(&self) -> Sparse {
        let mut starts = vec![0; self.n_cols + 1];
        self.entries.iter().for_each(|(column, _)| starts[*column as usize + 1] += 1);
        for i in 0..self.n_cols {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); self.entries.len()];
        for row in 0..self.n_rows() {
            for &(column, value) in self.row(row) {
                entries[next[column as usize]] = (row as u32, value);
                next[column as usize] += 1;
            }
        }
        Sparse { n_cols: self.n_rows(), starts, entries }
    }

    /// `out = self * dense`, `dense` being (columns, width) and `out` (rows, width). Each element
    /// is summed in the order of the row's entries.
    ///
    /// # Panics
    /// If a length disagrees with its shape.
    pub fn multiply(&self, out: &mut [f32], dense: &[f32], width: usize, pool: &mut Pool) {
        assert_eq!(out.len(), self.n_rows() * width, "Sparse::multiply: out is not (rows, width)");
        assert_eq!(
            dense.len(),
            self.n_cols * width,
            "Sparse::multiply: dense is not (cols, width)"
        );
        let rows = self.row_ranges();
        let parts: Vec<_> = rows.iter().map(|r| r.start * width..r.end * width).collect();
        pool.for_each_range([out], &parts, |i, [out]| {
            for (row, out) in rows[i].clone().zip(out.chunks_exact_mut(width)) {
                out.fill(0.0);
                for &(column, value) in self.row(row) {
                    let dense = &dense[column as usize * width..][..width];
                    out.iter_mut().zip(dense).for_each(|(out, x)| *out += value * x);
                }
            }
        });
    }

    /// Ranges of rows with about equal numbers of entries.
    fn row_ranges(&self) -> Vec<Range<usize>> {
        let mut ends: Vec<usize> = (1..=N_TASKS)
            .map(|i| self.starts.partition_point(|s| *s < self.entries.len() * i / N_TASKS))
            .map(|end| end.min(self.n_rows()))
            .collect();
        ends[N_TASKS - 1] = self.n_rows();
        let starts = [0].into_iter().chain(ends.iter().copied());
        starts.zip(ends.iter().copied()).map(|(start, end)| start..end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::{Purpose, Rng};

    /// A matrix with a full row, empty rows and rows of a few entries; and the same held densely.
    fn example(n_rows: usize, n_cols: usize) -> (Sparse, Vec<f32>) {
        let rng = Rng::new(8, Purpose::Test, n_rows as u64);
        let mut sparse = Sparse::new(n_cols);
        let mut dense = vec![0.0; n_rows * n_cols];
        for row in 0..n_rows {
            let is_held = |c: &usize| row == 1 || (row % 3 != 0 && (row + c).is_multiple_of(5));
            // Quarters of small whole numbers: sums and products are exact in any order.
            let value = |c| (1 + rng.below_at((row * n_cols + c) as u64, 40)) as f32 / 4.0;
            let columns: Vec<usize> = (0..n_cols).filter(is_held).collect();
            columns.iter().for_each(|c| dense[row * n_cols + c] = value(*c));
            sparse.push_row(columns.iter().map(|c| (*c as u32, value(*c))));
        }
        (sparse, dense)
    }

    #[test]
    fn products_are_those_of_the_dense_matrix() {
        for (n_rows, n_cols, width) in [(0, 3, 2), (1, 1, 1), (57, 23, 5), (200, 31, 64)] {
            let (sparse, dense) = example(n_rows, n_cols);
            let x: Vec<f32> = (0..n_cols * width).map(|i| (i % 13) as f32 - 6.0).collect();
            let mut expected = vec![0.0; n_rows * width];
            for (i, sum) in expected.iter_mut().enumerate() {
                let (row, column) = (i / width, i % width);
                let term = |c| dense[row * n_cols + c] * x[c * width + column];
                *sum = (0..n_cols).map(term).sum();
            }
            for threads in [1, 2, 3] {
                let mut out = vec![f32::NAN; n_rows * width];
                sparse.multiply(&mut out, &x, width, &mut Pool::new(threads));
                assert_eq!(out, expected);
            }
        }
    }

    #[test]
    fn transposing_swaps_rows_and_columns() {
        let (sparse, dense) = example(57, 23);
        let transpose = sparse.transposed();
        assert_eq!((transpose.n_rows(), transpose.n_cols()), (23, 57));
        for row in 0..23 {
            for &(column, value) in transpose.row(row) {
                assert_eq!(value, dense[column as usize * 23 + row]);
            }
        }
        assert_eq!(transpose.entries.len(), dense.iter().filter(|x| **x != 0.0).count());
        assert_eq!(transpose.transposed(), sparse);
    }
}
