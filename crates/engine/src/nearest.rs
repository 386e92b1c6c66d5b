//! Nearest rows of a table to a vector: exact dot products with all of them.

use kernels::matmul::{Packed, matmul, pack_transposed, packed_len};
use kernels::rows::store_rows;
use kernels::{Accum, AlignedVec, Precision, Rows, RowsMut};

/// Rows packed for the kernels' matrix products.
#[derive(Debug)]
pub struct DotTable {
    words: AlignedVec<u32>,
    precision: Precision,
    n: usize,
    dim: usize,
    products: AlignedVec<f32>,
}

impl DotTable {
    /// Table of `rows` (n, dim), stored in `precision`, in which products are computed.
    pub fn new(rows: &[f32], dim: usize, precision: Precision) -> DotTable {
        let n = rows.len() / dim;
        let mut words = AlignedVec::zeroed(packed_len(precision, dim, n));
        pack_transposed(&mut words, rows, dim, n, precision);
        DotTable { words, precision, n, dim, products: AlignedVec::zeroed(n) }
    }

    /// Table of the normalised `rows` (n, dim): products with unit vectors are cosines.
    pub fn of_directions(rows: &[f32], dim: usize) -> DotTable {
        let mut directions = rows.to_vec();
        directions.chunks_exact_mut(dim).for_each(normalise);
        DotTable::new(&directions, dim, Precision::F32)
    }

    /// (m, n) products of each of `queries` (m, dim) with every row.
    pub fn products(&mut self, queries: &[f32]) -> &[f32] {
        let (precision, k, n) = (self.precision, self.dim, self.n);
        let len = queries.len() / k * n;
        self.products.reserve_zeroed(len);
        let packed = Packed { words: &self.words, precision, k, n };
        let products = &mut self.products[..len];
        match precision {
            Precision::F32 => matmul(products, Rows::F32(queries), packed, Accum::Replace),
            Precision::Bf16 => {
                let mut rounded = vec![0; queries.len()];
                store_rows(RowsMut::Bf16(&mut rounded), queries);
                matmul(products, Rows::Bf16(&rounded), packed, Accum::Replace);
            }
        }
        products
    }

    /// The `k` rows with the largest products, in descending order.
    pub fn nearest(&mut self, query: &[f32], k: usize) -> Vec<(u32, f32)> {
        largest(self.products(query), k)
    }
}

/// Scales a vector to length 1, unless it is zero.
pub fn normalise(vector: &mut [f32]) {
    let square: f32 = vector.iter().map(|x| x * x).sum();
    if square > 0.0 {
        vector.iter_mut().for_each(|x| *x /= square.sqrt());
    }
}

/// Indices and values of the `k` largest numbers, in descending order; ties by ascending index.
pub fn largest(numbers: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut best: Vec<(u32, f32)> = Vec::with_capacity(k + 1);
    let mut least = f32::NEG_INFINITY;
    for (i, &x) in (0..).zip(numbers) {
        if x > least || best.len() < k {
            let place = best.partition_point(|&(_, other)| other >= x);
            best.insert(place, (i, x));
            best.truncate(k);
            if best.len() == k {
                least = best.last().map_or(f32::INFINITY, |last| last.1);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_ties_by_index() {
        let numbers = [0.5, -1.0, 2.0, 0.5, 2.0, 1.0];
        assert_eq!(largest(&numbers, 4), [(2, 2.0), (4, 2.0), (5, 1.0), (0, 0.5)]);
        assert_eq!(largest(&numbers, 0), []);
        assert_eq!(largest(&numbers, 9).len(), 6);
    }

    #[test]
    fn the_nearest_directions_match_the_definition() {
        let (n, dim) = (101, 24);
        let rows: Vec<f32> =
            (0..n * dim).map(|i| ((i * 7919 % 1009) as f32 / 500.0) - 1.0).collect();
        let mut table = DotTable::of_directions(&rows, dim);
        let mut query = rows[5 * dim..6 * dim].to_vec();
        normalise(&mut query);
        let found = table.nearest(&query, 3);
        assert_eq!(found[0].0, 5);
        let cosine = |row: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(row, &query) / dot(row, row).sqrt()
        };
        let all: Vec<f32> = rows.chunks_exact(dim).map(cosine).collect();
        for ((place, product), (expected, value)) in found.iter().zip(largest(&all, 3)) {
            assert_eq!(*place, expected);
            assert!((product - value).abs() < 4.0 * dim as f32 * f32::EPSILON);
        }
        let mut zero = [0.0; 4];
        normalise(&mut zero);
        assert_eq!(zero, [0.0; 4]);
    }
}
