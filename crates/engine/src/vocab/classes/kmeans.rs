//! Classes by k-means on the directions of word vectors, with a cap on their size.
//!
//! Spherical k-means (Dhillon and Modha, "Concept decompositions for large sparse text data using
//! clustering", Machine Learning 2001) with weighted words, started by k-means++ (Arthur and
//! Vassilvitskii, SODA 2007). In each round all products of words and centres are one matrix
//! product; then words choose in turn, frequent ones first, among the classes that have room.

use super::error::ClassError;
use super::limits::Limits;
use super::vectors::{WORD_DIM, dot};
use super::watch::Watch;
use crate::data::Rng;
use kernels::matmul::{Packed, matmul, pack_transposed, packed_len};
use kernels::{Accum, Pool, Precision, Rows};
use std::ops::Range;

/// Runs from different centres, of which the best is taken, and rounds of each at most.
const N_RUNS: usize = 3;
const N_ROUNDS_MAX: usize = 15;

/// Steps of progress.
pub const N_STEPS: usize = N_RUNS * N_ROUNDS_MAX;

/// Words whose products with all centres are one task, and tasks that are held at a time.
const TASK_LEN: usize = 512;
const N_TASKS: usize = 8;

/// Words as k-means sees them.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// (words, [`WORD_DIM`]) each of length 1, by falling count.
    pub vectors: &'a [f32],
    /// (words) what each counts for; above 0.
    pub weights: &'a [f32],
}

impl Points<'_> {
    fn len(&self) -> usize {
        self.weights.len()
    }

    fn vector(&self, i: usize) -> &[f32] {
        &self.vectors[i * WORD_DIM..(i + 1) * WORD_DIM]
    }
}

/// The class of each point: of a few runs, the one whose points are nearest to their centres.
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
    let mut best = Assignment { class_of: Vec::new(), nearness: f64::NEG_INFINITY };
    for run in 0..N_RUNS {
        let mut centres = spread_centres(points, limits.n_classes, run, rng, pool);
        let mut now = Assignment { class_of: vec![u32::MAX; points.len()], nearness: 0.0 };
        for _ in 0..N_ROUNDS_MAX {
            let n_changed = now.assign(points, &centres, limits, pool);
            watch.step()?;
            if n_changed == 0 {
                break;
            }
            mean_directions(&mut centres, points, &now.class_of);
        }
        if now.nearness > best.nearness {
            best = now;
        }
    }
    Ok(best.class_of)
}

/// Points in classes.
struct Assignment {
    class_of: Vec<u32>,
    /// Sum of weights times cosines between points and the centres of their classes.
    nearness: f64,
}

/// (C, [`WORD_DIM`]) centres to start from: the first point, and then points drawn in proportion to
/// their weight and their squared distance from the centres so far.
/// Each run draws others.
fn spread_centres(
    points: Points,
    n_classes: usize,
    run: usize,
    rng: &Rng,
    pool: &mut Pool,
) -> Vec<f32> {
    let ranges = cut(points.len(), TASK_LEN);
    let mut nearest = vec![f32::INFINITY; points.len()];
    let mut centres: Vec<f32> = Vec::with_capacity(n_classes * WORD_DIM);
    let mut chosen = 0;
    for i in 0..n_classes.min(points.len()) {
        if i > 0 {
            chosen = draw(&nearest, points.weights, rng.f64_at((run * n_classes + i) as u64));
        }
        let centre = points.vector(chosen);
        centres.extend_from_slice(centre);
        pool.for_each_range([&mut nearest], &ranges, |task, [nearest]| {
            for (i, nearest) in ranges[task].clone().zip(nearest) {
                // Of two vectors of length 1; rounding may take it below 0.
                let squared = (2.0 - 2.0 * dot(points.vector(i), centre)).max(0.0);
                *nearest = nearest.min(squared);
            }
        });
    }
    centres
}

/// The index at which the sum of weight times distance passes `share` of the whole.
fn draw(distances: &[f32], weights: &[f32], share: f64) -> usize {
    let terms = || distances.iter().zip(weights).map(|(d, w)| f64::from(d * w));
    let target = share * terms().sum::<f64>();
    let mut sum = 0.0;
    let passed = terms().position(|term| {
        sum += term;
        sum > target
    });
    // Nothing is passed if all distances are 0: any point is as good a centre as another.
    passed.unwrap_or(0)
}

impl Assignment {
    /// Puts each point in the class of the nearest centre that has room; returns how many changed.
    fn assign(
        &mut self,
        points: Points,
        centres: &[f32],
        limits: Limits,
        pool: &mut Pool,
    ) -> usize {
        let n_classes = centres.len() / WORD_DIM;
        let mut words = vec![0; packed_len(Precision::F32, WORD_DIM, n_classes)];
        pack_transposed(&mut words, centres, WORD_DIM, n_classes, Precision::F32);
        let packed = Packed { words: &words, precision: Precision::F32, k: WORD_DIM, n: n_classes };

        let mut sizes = vec![0; n_classes];
        let mut n_changed = 0;
        self.nearness = 0.0;
        let mut tasks: Vec<Products> = (0..N_TASKS).map(|_| Products::default()).collect();
        for ranges in cut(points.len(), TASK_LEN).chunks(N_TASKS) {
            let tasks = &mut tasks[..ranges.len()];
            tasks.iter_mut().zip(ranges).for_each(|(task, range)| task.range = range.clone());
            pool.for_each(tasks, |_, task| task.compute(points, packed));
            for task in tasks.iter() {
                let rows = task.products.chunks_exact(n_classes);
                for (i, (row, &best)) in task.range.clone().zip(rows.zip(&task.best)) {
                    let has_room = |class: usize| sizes[class] < limits.size_cap;
                    let class = if has_room(best as usize) { best } else { largest(row, has_room) };
                    sizes[class as usize] += 1;
                    n_changed += usize::from(self.class_of[i] != class);
                    self.class_of[i] = class;
                    self.nearness += f64::from(points.weights[i] * row[class as usize]);
                }
            }
        }
        n_changed
    }
}

/// Products of some points with all centres.
#[derive(Default)]
struct Products {
    range: Range<usize>,
    /// (points of the range, C).
    products: Vec<f32>,
    /// The best class of each point, were there room everywhere.
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

/// The index of the largest value among those that `may` allows, the lowest of equal ones.
fn largest(values: &[f32], may: impl Fn(usize) -> bool) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &value) in values.iter().enumerate() {
        if value > best.1 && may(i) {
            best = (i, value);
        }
    }
    best.0 as u32
}

/// Moves every centre to the direction of the weighted sum of its points; one without points, or
/// whose points cancel, stays where it is.
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

/// `0..len` in ranges of `part`, the last one shorter.
fn cut(len: usize, part: usize) -> Vec<Range<usize>> {
    (0..len).step_by(part).map(|start| start..len.min(start + part)).collect()
}

#[cfg(test)]
#[path = "kmeans_tests.rs"]
mod tests;
