//! Spherical k-means of word vectors, with a cap on the size of classes.
//!
//! Spherical k-means (Dhillon and Modha, "Concept decompositions for large sparse text data using
//! clustering", Machine Learning 2001) with weighted words. In each round all products of words and
//! centres are one matrix product; then words, most frequent first, choose among the classes that
//! are not full.

use super::centres::spread_centres;
use super::error::ClassError;
use super::limits::Limits;
use super::vectors::{WORD_DIM, dot};
use super::watch::Watch;
use kernels::matmul::{Packed, matmul, pack_transposed, packed_len};
use kernels::rng::Rng;
use kernels::{Accum, Pool, Precision, Rows};
use std::ops::Range;

/// Largest number of rounds; each is a step of progress.
pub const N_ROUNDS_MAX: usize = 20;

/// Number of words of a task, and number of tasks in memory at a time.
const TASK_LEN: usize = 512;
const N_TASKS: usize = 8;

/// Weighted word vectors.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// (words, [`WORD_DIM`]) vectors of length 1, by descending count.
    pub vectors: &'a [f32],
    /// (words) weights, above 0.
    pub weights: &'a [f32],
}

impl Points<'_> {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// The vector of point `i`.
    pub fn vector(&self, i: usize) -> &[f32] {
        &self.vectors[i * WORD_DIM..(i + 1) * WORD_DIM]
    }
}

/// The class of each point. Other random initial centres end within 0.1 % of the same mean cosine
/// (WikiText-2), so one run is enough.
///
/// # Errors
/// [`ClassError::Cancelled`].
pub fn kmeans(
    points: Points,
    limits: Limits,
    rng: &Rng,
    pool: &mut Pool,
    watch: &mut Watch,
) -> Result<Vec<u32>, ClassError> {
    let mut centres = spread_centres(points, limits.n_classes, rng, pool);
    let mut class_of = vec![u32::MAX; points.len()];
    for _ in 0..N_ROUNDS_MAX {
        let n_changed = assign(&mut class_of, points, &centres, limits.size_cap, pool);
        watch.step()?;
        if n_changed == 0 {
            break;
        }
        mean_directions(&mut centres, points, &class_of);
    }
    Ok(class_of)
}

/// Assigns each point to the nearest centre whose class is not full; returns the number of changes.
fn assign(
    class_of: &mut [u32],
    points: Points,
    centres: &[f32],
    size_cap: usize,
    pool: &mut Pool,
) -> usize {
    let n_classes = centres.len() / WORD_DIM;
    let mut words = vec![0; packed_len(Precision::F32, WORD_DIM, n_classes)];
    pack_transposed(&mut words, centres, WORD_DIM, n_classes, Precision::F32);
    let packed = Packed { words: &words, precision: Precision::F32, k: WORD_DIM, n: n_classes };

    let mut sizes = vec![0; n_classes];
    let mut n_changed = 0;
    let mut tasks: Vec<Products> = (0..N_TASKS).map(|_| Products::default()).collect();
    for ranges in cut(points.len(), TASK_LEN).chunks(N_TASKS) {
        let tasks = &mut tasks[..ranges.len()];
        tasks.iter_mut().zip(ranges).for_each(|(task, range)| task.range = range.clone());
        pool.for_each(tasks, |_, task| task.compute(points, packed));
        for task in tasks.iter() {
            let rows = task.products.chunks_exact(n_classes).zip(&task.best);
            for (class_of, (row, &best)) in class_of[task.range.clone()].iter_mut().zip(rows) {
                let has_room = |class: usize| sizes[class] < size_cap;
                let class = if has_room(best as usize) { best } else { largest(row, has_room) };
                sizes[class as usize] += 1;
                n_changed += usize::from(*class_of != class);
                *class_of = class;
            }
        }
    }
    n_changed
}

/// Products of some points with all centres.
#[derive(Default)]
struct Products {
    range: Range<usize>,
    /// (points of the range, C).
    products: Vec<f32>,
    /// The best class of each point, ignoring caps.
    best: Vec<u32>,
}

impl Products {
    fn compute(&mut self, points: Points, centres: Packed) {
        self.products.resize(self.range.len() * centres.n, 0.0);
        let vectors = &points.vectors[self.range.start * WORD_DIM..self.range.end * WORD_DIM];
        matmul(&mut self.products, Rows::F32(vectors), centres, Accum::Replace);
        self.best.clear();
        let rows = self.products.chunks_exact(centres.n);
        self.best.extend(rows.map(|row| largest(row, |_| true)));
    }
}

/// The index of the largest value among those that `may` allows; the lowest of equal ones.
fn largest(values: &[f32], may: impl Fn(usize) -> bool) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &value) in values.iter().enumerate() {
        if value > best.1 && may(i) {
            best = (i, value);
        }
    }
    best.0 as u32
}

/// Moves each centre to the direction of the weighted sum of its points. A centre without points,
/// or whose points cancel, does not move.
fn mean_directions(centres: &mut [f32], points: Points, class_of: &[u32]) {
    let mut sums = vec![0.0; centres.len()];
    for (i, (&class, weight)) in class_of.iter().zip(points.weights).enumerate() {
        let sum = &mut sums[class as usize * WORD_DIM..][..WORD_DIM];
        sum.iter_mut().zip(points.vector(i)).for_each(|(sum, x)| *sum += weight * x);
    }
    for (centre, sum) in centres.chunks_exact_mut(WORD_DIM).zip(sums.chunks_exact(WORD_DIM)) {
        let length = dot(sum, sum).sqrt();
        if length > 0.0 {
            centre.iter_mut().zip(sum).for_each(|(centre, sum)| *centre = sum / length);
        }
    }
}

/// `0..len` in ranges of length `part`; the last may be shorter.
pub fn cut(len: usize, part: usize) -> Vec<Range<usize>> {
    (0..len).step_by(part).map(|start| start..len.min(start + part)).collect()
}

#[cfg(test)]
#[path = "kmeans_tests.rs"]
mod tests;
