//! K-means initialisation: centres that are far apart, by greedy k-means++.
//!
//! Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007; greedy as
//! in its section 6: the best of several points drawn becomes the next centre. The products of all
//! points with the drawn ones are one matrix product.

use super::kmeans::{Points, cut};
use super::vectors::WORD_DIM;
use kernels::matmul::{Packed, matmul, pack_transposed, packed_len};
use kernels::rng::Rng;
use kernels::{Accum, Pool, Precision, Rows};
use std::ops::Range;

/// Points drawn for each centre: with fewer, planted clusters of equal size were often merged.
const N_TRIALS: usize = 8;

/// Number of points of a task.
const TASK_LEN: usize = 2048;

/// The points of a task against the points drawn.
struct Trials {
    range: Range<usize>,
    /// (points of the range, [`N_TRIALS`]) cosines.
    cosines: Vec<f32>,
    /// Reduction of the weighted squared distances by each drawn point as a centre.
    gains: [f64; N_TRIALS],
}

/// (C, [`WORD_DIM`]) centres: the first point, and then points drawn in proportion to their weight
/// and their squared distance from the centres so far. Fewer if there are fewer points.
pub fn spread_centres(points: Points, n_classes: usize, rng: &Rng, pool: &mut Pool) -> Vec<f32> {
    let ranges = cut(points.len(), TASK_LEN).into_iter();
    let task = |range: Range<usize>| Trials {
        cosines: vec![0.0; range.len() * N_TRIALS],
        range,
        gains: [0.0; N_TRIALS],
    };
    let mut tasks: Vec<Trials> = ranges.map(task).collect();
    // The largest squared distance of two vectors of length 1.
    let mut nearest = vec![4.0; points.len()];
    let mut centres: Vec<f32> = Vec::with_capacity(n_classes * WORD_DIM);
    let mut draws = (0..).map(|i| rng.f64_at(i));
    for i in 0..n_classes.min(points.len()) {
        let mut shares: Vec<f64> = draws.by_ref().take(N_TRIALS).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let drawn = if i == 0 { [0; N_TRIALS] } else { draw(&nearest, points.weights, &shares) };
        compare(&mut tasks, points, &nearest, drawn, pool);
        let gain = |trial: usize| tasks.iter().map(|task| task.gains[trial]).sum::<f64>();
        let gains: [f64; N_TRIALS] = std::array::from_fn(gain);
        let best = (1..N_TRIALS).fold(0, |best, i| if gains[i] > gains[best] { i } else { best });
        centres.extend_from_slice(points.vector(drawn[best]));
        for task in &tasks {
            let rows = task.cosines.chunks_exact(N_TRIALS);
            for (nearest, row) in nearest[task.range.clone()].iter_mut().zip(rows) {
                *nearest = nearest.min(squared_distance(row[best]));
            }
        }
    }
    centres
}

/// Squared distance of two vectors of length 1; at least 0 despite rounding.
fn squared_distance(cosine: f32) -> f32 {
    (2.0 - 2.0 * cosine).max(0.0)
}

/// The indices at which the running sum of weight times distance exceeds each of the ascending
/// shares of the total.
fn draw(distances: &[f32], weights: &[f32], shares: &[f64]) -> [usize; N_TRIALS] {
    let term = |i: usize| f64::from(distances[i] * weights[i]);
    let total: f64 = (0..distances.len()).map(term).sum();
    // If rounding leaves the last share above the sum, the last point is drawn.
    let mut drawn = [distances.len() - 1; N_TRIALS];
    let mut sum = 0.0;
    let mut n_drawn = 0;
    for i in 0..distances.len() {
        sum += term(i);
        while n_drawn < shares.len() && sum > shares[n_drawn] * total {
            drawn[n_drawn] = i;
            n_drawn += 1;
        }
    }
    drawn
}

/// Fills the cosines and gains of every task.
fn compare(
    tasks: &mut [Trials],
    points: Points,
    nearest: &[f32],
    drawn: [usize; N_TRIALS],
    pool: &mut Pool,
) {
    let vectors: Vec<f32> = drawn.iter().flat_map(|i| points.vector(*i)).copied().collect();
    let mut words = vec![0; packed_len(Precision::F32, WORD_DIM, N_TRIALS)];
    pack_transposed(&mut words, &vectors, WORD_DIM, N_TRIALS, Precision::F32);
    let packed = Packed { words: &words, precision: Precision::F32, k: WORD_DIM, n: N_TRIALS };
    pool.for_each(tasks, |_, task| {
        let rows = task.range.start * WORD_DIM..task.range.end * WORD_DIM;
        matmul(&mut task.cosines, Rows::F32(&points.vectors[rows]), packed, Accum::Replace);
        task.gains = [0.0; N_TRIALS];
        for (i, row) in task.range.clone().zip(task.cosines.chunks_exact(N_TRIALS)) {
            for (gain, cosine) in task.gains.iter_mut().zip(row) {
                let closer = (nearest[i] - squared_distance(*cosine)).max(0.0);
                *gain += f64::from(points.weights[i] * closer);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::Purpose;

    /// Points at `n` corners of the space, thousands at the first ones and few at the last.
    fn corners(n: usize) -> (Vec<f32>, Vec<f32>) {
        let (mut vectors, mut weights) = (Vec::new(), Vec::new());
        for corner in 0..n {
            for i in 0..(3000 >> corner).max(2) {
                let mut vector = vec![0.0; WORD_DIM];
                vector[corner] = 1.0;
                vectors.extend(vector);
                weights.push(1.0 + (i % 3) as f32);
            }
        }
        (vectors, weights)
    }

    #[test]
    fn every_corner_gets_its_centre() {
        let (vectors, weights) = corners(12);
        let points = Points { vectors: &vectors, weights: &weights };
        for seed in 0..10 {
            let rng = Rng::new(seed, Purpose::Test, 0);
            let centres = spread_centres(points, 12, &rng, &mut Pool::new(2));
            let corner_of = |v: &[f32]| v.iter().position(|x| *x == 1.0).unwrap();
            let mut found: Vec<usize> = centres.chunks_exact(WORD_DIM).map(corner_of).collect();
            found.sort_unstable();
            assert_eq!(found, (0..12).collect::<Vec<_>>(), "seed {seed}");
        }
    }

    #[test]
    fn there_are_no_more_centres_than_points() {
        let (vectors, weights) = corners(1);
        for (n_points, n_classes) in [(0, 3), (2, 3), (3, 3), (3000, 7)] {
            let (vectors, weights) = (&vectors[..n_points * WORD_DIM], &weights[..n_points]);
            let rng = Rng::new(1, Purpose::Test, 0);
            let points = Points { vectors, weights };
            let centres = spread_centres(points, n_classes, &rng, &mut Pool::new(1));
            assert_eq!(centres.len(), n_points.min(n_classes) * WORD_DIM);
        }
    }

    #[test]
    fn points_are_drawn_by_weight_and_distance() {
        // Terms 0, 2, 0, 6: shares below a quarter draw the second point, the others the last.
        let (distances, weights) = ([0.0, 2.0, 3.0, 2.0], [5.0, 1.0, 0.0, 3.0]);
        let shares = [0.0, 0.1, 0.2, 0.24, 0.26, 0.5, 0.9, 1.0];
        assert_eq!(draw(&distances, &weights, &shares), [1, 1, 1, 1, 3, 3, 3, 3]);
        assert_eq!(draw(&[0.0; 4], &weights, &shares), [3; N_TRIALS]);
    }
}
