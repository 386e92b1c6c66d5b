//! Word plane: the first two principal components of word vectors.
//!
//! Word vectors (`classes/vectors`) are similar for words with similar neighbours. Their first two
//! principal components (Pearson, "On lines and planes of closest fit to systems of points in
//! space", 1901) preserve as much of that as two numbers can.

use crate::corpus::TokenSource;
use crate::vocab::classes::vectors::{N_PASSES, WORD_DIM, word_vectors};
use crate::vocab::classes::watch::Watch;
use crate::vocab::classes::{Bigrams, ClassError, by_falling_count};
use kernels::Pool;
use kernels::rng::{Purpose, Rng};

/// Rounds of subspace iteration. Each multiplies the error by a ratio of two variances; after 200
/// rounds the error is negligible, unless the variances are nearly equal.
const N_ROUNDS: usize = 200;

/// Streams of random numbers, by use.
const STREAM_VECTORS: u64 = u64::MAX;
const STREAM_DIRECTIONS: u64 = u64::MAX - 1;

type Vector = [f64; WORD_DIM];

/// (V) position of each token; the centre for tokens that do not occur.
///
/// # Errors
/// [`ClassError`]: a token outside the vocabulary, or cancelled.
pub fn positions<T: TokenSource + ?Sized>(
    tokens: &T,
    counts: &[u64],
    seed: u64,
    pool: &mut Pool,
    goes_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Vec<[f64; 2]>, ClassError> {
    let ids = by_falling_count(counts);
    let words = &ids[..ids.partition_point(|id| counts[*id as usize] > 0)];
    let bigrams = Bigrams::count(tokens, counts.len())?;
    let rng = |stream| Rng::new(seed, Purpose::Order, stream);
    let mut watch = Watch::new(N_PASSES, goes_on);
    let vectors = word_vectors(&bigrams, words, &rng(STREAM_VECTORS), pool, &mut watch)?;
    let projected = principal_components(&vectors, &rng(STREAM_DIRECTIONS));
    let mut positions = vec![[0.0; 2]; counts.len()];
    words.iter().zip(projected).for_each(|(word, position)| positions[*word as usize] = position);
    Ok(positions)
}

/// The first two principal components of each of `vectors` (words, [`WORD_DIM`]).
fn principal_components(vectors: &[f32], rng: &Rng) -> Vec<[f64; 2]> {
    let rows =
        || vectors.chunks_exact(WORD_DIM).map(|row| std::array::from_fn(|i| f64::from(row[i])));
    let n = (vectors.len() / WORD_DIM).max(1) as f64;
    let mut mean: Vector = [0.0; WORD_DIM];
    rows().for_each(|row: Vector| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
    mean.iter_mut().for_each(|sum| *sum /= n);
    let centred = |row: Vector| -> Vector { std::array::from_fn(|i| row[i] - mean[i]) };
    let mut covariance = vec![[0.0; WORD_DIM]; WORD_DIM];
    for row in rows().map(centred) {
        for (sums, x) in covariance.iter_mut().zip(row) {
            sums.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
        }
    }
    let directions = leading_directions(&covariance, rng);
    rows().map(centred).map(|row| directions.map(|direction| dot(&row, &direction))).collect()
}

/// The two leading eigenvectors of a symmetric matrix, by subspace iteration.
fn leading_directions(matrix: &[Vector], rng: &Rng) -> [Vector; 2] {
    let mut start = [0.0; 2 * WORD_DIM];
    rng.fill_normal(&mut start, 0, 1.0);
    let mut directions: [Vector; 2] =
        std::array::from_fn(|d| std::array::from_fn(|i| f64::from(start[d * WORD_DIM + i])));
    for _ in 0..N_ROUNDS {
        let [first, second] =
            directions.map(|v| -> Vector { std::array::from_fn(|i| dot(&matrix[i], &v)) });
        let first = to_length_one(first);
        let along = dot(&first, &second);
        let second = to_length_one(std::array::from_fn(|i| second[i] - along * first[i]));
        directions = [first, second];
    }
    directions
}

/// A vector scaled to length 1; zero stays zero.
fn to_length_one(vector: Vector) -> Vector {
    let length = dot(&vector, &vector).sqrt();
    vector.map(|x| if length > 0.0 { x / length } else { 0.0 })
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors that vary most along one axis, less along another, and hardly along the rest.
    #[test]
    fn components_are_the_directions_of_most_variance() {
        let rng = Rng::new(1, Purpose::Test, 0);
        let mut vectors = vec![0.0f32; 500 * WORD_DIM];
        rng.fill_normal(&mut vectors, 0, 0.01);
        for row in vectors.chunks_exact_mut(WORD_DIM) {
            (row[3], row[40]) = (row[3] * 100.0 + 7.0, row[40] * 50.0 - 2.0);
        }
        let components = principal_components(&vectors, &rng);
        let mean = |axis: usize| {
            vectors.chunks_exact(WORD_DIM).map(|row| f64::from(row[axis])).sum::<f64>() / 500.0
        };
        for (component, axis) in [(0, 3), (1, 40)] {
            let sign =
                (components[0][component] * (f64::from(vectors[axis]) - mean(axis))).signum();
            for (found, row) in components.iter().zip(vectors.chunks_exact(WORD_DIM)) {
                let expected = f64::from(row[axis]) - mean(axis);
                // Chance correlation of the two rotates the directions by a few hundredths.
                assert!((sign * found[component] - expected).abs() < 0.2, "{found:?} {expected}");
            }
        }
    }

    #[test]
    fn equal_vectors_are_at_the_centre() {
        let rng = Rng::new(1, Purpose::Test, 0);
        let alike = [[0.0; 2]; 3];
        assert_eq!(principal_components(&[0.0; 3 * WORD_DIM], &rng), alike);
        assert_eq!(principal_components(&[0.5; 3 * WORD_DIM], &rng), alike);
        assert!(principal_components(&[], &rng).is_empty());
    }

    /// Two unrelated languages: the words of each are close together, for any number of threads.
    #[test]
    fn words_of_similar_use_are_close_together() {
        let draws = &mut Rng::new(2, Purpose::Test, 0).draws();
        let mut tokens = Vec::new();
        for sentence in 0..400 {
            let language = sentence % 2 * 10;
            tokens.extend((0..20).map(|_| language + draws.below(10) as u32));
        }
        let mut counts = vec![0; 22];
        tokens.iter().for_each(|id| counts[*id as usize] += 1);
        let positions = |threads| {
            positions(&tokens[..], &counts, 1, &mut Pool::new(threads), &mut |_, _| true).unwrap()
        };
        let found = positions(1);
        assert_eq!(found, positions(3));
        assert_eq!(found[20..], [[0.0; 2]; 2], "they do not occur");
        let is_left = |id: usize| found[id][0] < 0.0;
        assert!(
            (0..10).all(|id| is_left(id) == is_left(0) && is_left(id + 10) != is_left(0)),
            "{found:?}"
        );
        let stopped =
            super::positions(&tokens[..], &counts, 1, &mut Pool::new(1), &mut |_, _| false);
        assert_eq!(stopped, Err(ClassError::Cancelled));
    }
}
