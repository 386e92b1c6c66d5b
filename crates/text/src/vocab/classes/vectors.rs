//! Word vectors: leading singular directions of the mutual information with neighbouring words.
//!
//! A word has a row with one column for each of the most frequent words as its left neighbour, and
//! one for each as its right neighbour. An entry is the positive pointwise mutual information,
//! `max(0, ln(n(w, c) n / (n(w) n(c))))`, which works well for distributional similarity according
//! to Bullinaria and Levy, "Extracting semantic representations from word co-occurrence
//! statistics", Behavior Research Methods 2007. The rows are projected on the leading right
//! singular vectors, found by subspace iteration (Halko, Martinsson and Tropp, "Finding structure
//! with randomness", SIAM Review 2011, section 4.5), and scaled to length 1.

use super::bigrams::Bigrams;
use super::error::ClassError;
use super::sparse::Sparse;
use super::watch::Watch;
use super::x_ln_x::ln;
use kernels::Pool;
use kernels::rng::Rng;

/// Length of a word vector.
pub const WORD_DIM: usize = 64;

/// Number of context words on each side.
const N_CONTEXTS: usize = 1500;

/// Passes of subspace iteration; each is a step of progress.
pub const N_PASSES: usize = 5;

/// A vector shorter than this before scaling is noise: rounding alone can produce it.
const LENGTH_MIN: f32 = 1e-4;

/// Vectors (words, [`WORD_DIM`]) of `words`, which are given by descending count: of length 1, or
/// zero for a word whose neighbours carry no information.
///
/// # Errors
/// [`ClassError::Cancelled`].
pub fn word_vectors(
    bigrams: &Bigrams,
    words: &[u32],
    rng: &Rng,
    pool: &mut Pool,
    watch: &mut Watch,
) -> Result<Vec<f32>, ClassError> {
    let rows = mutual_information(bigrams, words);
    let transpose = rows.transposed();
    let mut basis = vec![0.0; rows.n_cols() * WORD_DIM];
    let mut vectors = vec![0.0; words.len() * WORD_DIM];
    rng.fill_normal(&mut basis, 0, 1.0);
    orthonormalise(&mut basis);
    for _ in 0..N_PASSES {
        rows.multiply(&mut vectors, &basis, WORD_DIM, pool);
        transpose.multiply(&mut basis, &vectors, WORD_DIM, pool);
        orthonormalise(&mut basis);
        watch.step()?;
    }
    rows.multiply(&mut vectors, &basis, WORD_DIM, pool);
    vectors.chunks_exact_mut(WORD_DIM).for_each(scale_to_one);
    Ok(vectors)
}

/// (words, 2 contexts): left contexts in the first half of the columns, right ones in the second.
fn mutual_information(bigrams: &Bigrams, words: &[u32]) -> Sparse {
    let contexts = &words[..words.len().min(N_CONTEXTS)];
    let mut context_of = vec![None; bigrams.vocab_size()];
    contexts.iter().enumerate().for_each(|(i, word)| context_of[*word as usize] = Some(i as u32));
    let sum = |entries: &[(u32, u32)]| entries.iter().map(|e| f64::from(e.1)).sum::<f64>();
    let n_before: Vec<f64> = contexts.iter().map(|c| sum(bigrams.successors(*c))).collect();
    let n_after: Vec<f64> = contexts.iter().map(|c| sum(bigrams.predecessors(*c))).collect();
    let n_pairs = bigrams.n_pairs() as f64;

    let mut rows = Sparse::new(2 * contexts.len());
    for &word in words {
        let (left, right) = (bigrams.predecessors(word), bigrams.successors(word));
        let sides = [(left, &n_before, 0), (right, &n_after, contexts.len() as u32)];
        rows.push_row(sides.into_iter().flat_map(|(entries, n_context, first_column)| {
            let n_word = sum(entries);
            let context_of = &context_of;
            entries.iter().filter_map(move |&(neighbour, count)| {
                let context = context_of[neighbour as usize]?;
                let expected = n_word * n_context[context as usize] / n_pairs;
                let information = ln(f64::from(count) / expected) as f32;
                (information > 0.0).then_some((first_column + context, information))
            })
        }));
    }
    rows
}

/// Orthonormalises the columns of (rows, [`WORD_DIM`]) by Gram-Schmidt, twice, which is enough for
/// full precision. A column that depends on earlier ones becomes zero.
fn orthonormalise(matrix: &mut [f32]) {
    let n_rows = matrix.len() / WORD_DIM;
    let mut columns = vec![0.0; matrix.len()];
    for (r, row) in matrix.chunks_exact(WORD_DIM).enumerate() {
        row.iter().enumerate().for_each(|(c, x)| columns[c * n_rows + r] = *x);
    }
    for c in 0..WORD_DIM {
        let (before, rest) = columns.split_at_mut(c * n_rows);
        let column = &mut rest[..n_rows];
        let length_at_first = dot(column, column).sqrt();
        for _ in 0..2 {
            for other in before.chunks_exact(n_rows.max(1)) {
                let along = dot(column, other);
                column.iter_mut().zip(other).for_each(|(x, other)| *x -= along * other);
            }
        }
        let length = dot(column, column).sqrt();
        // The remainder of a dependent column is rounding, up to epsilon for each column
        // subtracted.
        let is_dependent = length <= length_at_first * WORD_DIM as f32 * f32::EPSILON;
        let scale = if is_dependent { 0.0 } else { 1.0 / length };
        column.iter_mut().for_each(|x| *x *= scale);
    }
    for (r, row) in matrix.chunks_exact_mut(WORD_DIM).enumerate() {
        row.iter_mut().enumerate().for_each(|(c, x)| *x = columns[c * n_rows + r]);
    }
}

fn scale_to_one(vector: &mut [f32]) {
    let length = dot(vector, vector).sqrt();
    let scale = if length > LENGTH_MIN { 1.0 / length } else { 0.0 };
    vector.iter_mut().for_each(|x| *x *= scale);
}

/// Dot product in sixteen parallel sums: a fixed order that vectorises without reassociation.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (blocks_a, rest_a) = a.as_chunks::<16>();
    let (blocks_b, rest_b) = b.as_chunks::<16>();
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod tests;
