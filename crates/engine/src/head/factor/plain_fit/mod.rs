//! Plain fit: a full output layer that learns a factored one's distribution, class by class.
//!
//! For an input h the loss is the divergence of the full layer's distribution q from the factored
//! layer's p, and its gradient with respect to a token's row is (q - p)·h: knowledge distillation
//! (Hinton, Vinyals and Dean, 2015, arXiv:1503.02531) at temperature 1. The loss is convex, and a
//! token is learnt even if it does not occur in the text.
//!
//! The full layer's matrix is processed in the same pieces as the factored layer's: both layers'
//! logits of a class stay in cache, and threads share the classes.

mod cholesky;
mod start;

use super::Factored;
use crate::model::{Weights, rows_mut};
use kernels::accum::Accum;
use kernels::adamw::{AdamwStep, adamw_update};
use kernels::cross_entropy::log_sum_exp;
use kernels::exp::exp_scaled;
use kernels::matmul::{
    MatmulShape, Packed, matmul, matmul_wgrad, pack_transposed, packed_len, wgrad_scratch_len,
};
use kernels::rows::store_rows;
use kernels::{AlignedVec, Pool, Precision, Rows};
use start::Start;
use std::ops::Range;

/// Fit of a full layer: its matrix starts from least squares ([`PlainFit::add_start`],
/// [`PlainFit::begin`]) and is then trained by gradient descent.
#[derive(Debug)]
pub struct PlainFit<'a> {
    teacher: Teacher<'a>,
    start: Start,
    /// Largest number of rows of a micro-batch, R.
    n_most: usize,
    cuts: Cuts,
    /// (V, C) the full layer's matrix, its moments and its gradient.
    pub(crate) rows: AlignedVec<f32>,
    m: AlignedVec<f32>,
    v: AlignedVec<f32>,
    grads: AlignedVec<f32>,
    /// Each class's rows, packed for products.
    words: AlignedVec<u32>,
    /// By class: (R, members) logits of the full layer.
    logits: AlignedVec<f32>,
    /// (classes, R) log-sum-exp of the logits over each class.
    lse: AlignedVec<f32>,
    /// (R) log-sum-exp over all classes.
    total: Vec<f32>,
    /// (R, classes) ln P(class) of the factored layer.
    class_log_p: AlignedVec<f32>,
    /// (classes) excess of the full layer's loss over the factored one's, summed over tokens.
    excess: Vec<f32>,
    scratches: Vec<FitScratch>,
}

/// Factored layer that the fit learns from.
#[derive(Clone, Copy, Debug)]
struct Teacher<'a> {
    layer: &'a Factored,
    weights: Weights<'a>,
}

/// Micro-batch of a fit.
#[derive(Clone, Copy, Debug)]
pub struct FitBatch<'a> {
    /// (R, C) inputs of the output layer.
    pub rows: Rows<'a>,
    /// (R) the target of each row.
    pub targets: &'a [u32],
}

/// Range of each class in a buffer.
#[derive(Debug)]
struct Cuts {
    ids: Vec<Range<usize>>,
    rows: Vec<Range<usize>>,
    words: Vec<Range<usize>>,
    logits: Vec<Range<usize>>,
    lse: Vec<Range<usize>>,
    ones: Vec<Range<usize>>,
}

/// Scratch of a thread.
#[derive(Debug)]
struct FitScratch {
    /// (R, members) the factored layer's logits.
    teacher: AlignedVec<f32>,
    /// (R)
    lse: Vec<f32>,
    /// (members) probabilities of one row, by the factored layer and by the full one.
    p: Vec<f32>,
    q: Vec<f32>,
    /// (R, members) q - p.
    difference: AlignedVec<f32>,
    words: AlignedVec<u32>,
}

/// Largest number of logits of a micro-batch, in floats: about a last-level cache.
const LOGITS_FLOATS: usize = 10 << 20;

/// Rows of a micro-batch for this vocabulary size.
pub(crate) fn micro_rows(vocab_size: usize) -> usize {
    (LOGITS_FLOATS / vocab_size).clamp(32, 512) / 32 * 32
}

impl<'a> PlainFit<'a> {
    /// Fit with a matrix of zeros, for micro-batches of up to `n_most` rows.
    pub(super) fn new(
        layer: &'a Factored,
        weights: Weights<'a>,
        n_most: usize,
        threads: usize,
    ) -> PlainFit<'a> {
        let (v, c) = (layer.member_bias.len(), layer.classes.matrix.n_in);
        let precision = weights.packed.precision();
        let ids: Vec<Range<usize>> = (0..layer.n_classes()).map(|class| layer.ids(class)).collect();
        let scaled = |by: usize| ids.iter().map(|ids| ids.start * by..ids.end * by).collect();
        let mut n_words = 0;
        let words: Vec<Range<usize>> = ids
            .iter()
            .map(|ids| {
                let start: usize = n_words;
                n_words = (start + packed_len(precision, c, ids.len())).next_multiple_of(16);
                start..start + packed_len(precision, c, ids.len())
            })
            .collect();
        let largest = ids.iter().map(Range::len).max().unwrap_or(0);
        let n_classes = ids.len();
        let cuts = Cuts {
            rows: scaled(c),
            logits: scaled(n_most),
            lse: (0..n_classes).map(|class| class * n_most..(class + 1) * n_most).collect(),
            ones: (0..n_classes).map(|class| class..class + 1).collect(),
            words,
            ids,
        };
        PlainFit {
            teacher: Teacher { layer, weights },
            start: Start::new(c, n_classes),
            n_most,
            rows: AlignedVec::zeroed(v * c),
            m: AlignedVec::zeroed(v * c),
            v: AlignedVec::zeroed(v * c),
            grads: AlignedVec::zeroed(v * c),
            words: AlignedVec::zeroed(n_words),
            logits: AlignedVec::zeroed(v * n_most),
            lse: AlignedVec::zeroed(n_classes * n_most),
            total: vec![0.0; n_most],
            class_log_p: AlignedVec::zeroed(n_classes * n_most),
            excess: vec![0.0; n_classes],
            scratches: (0..threads)
                .map(|_| FitScratch::new(n_most, largest, c, precision))
                .collect(),
            cuts,
        }
    }

    /// Adds (R, C) inputs to the sums that the start is computed from.
    pub fn add_start(&mut self, inputs: Rows, pool: &mut Pool) {
        self.find_teacher_lse(inputs, pool);
        self.start.add(inputs, &self.lse);
    }

    /// Sets the matrix to the least-squares solution over the inputs so far.
    pub fn begin(&mut self, pool: &mut Pool) {
        let Teacher { layer, weights } = self.teacher;
        self.start.write(&mut self.rows, layer, weights.params);
        self.pack(pool);
    }

    /// (V, C) the matrix.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }

    /// Packs the matrix; call after every change.
    pub(crate) fn pack(&mut self, pool: &mut Pool) {
        let (rows, cuts, packed) = (&self.rows, &self.cuts, self.teacher.weights.packed);
        let c = self.model_dim();
        pool.for_each_range([&mut self.words], &cuts.words, |class, [words]| {
            let rows = &rows[cuts.rows[class].clone()];
            pack_transposed(words, rows, c, cuts.ids[class].len(), packed.precision());
        });
    }

    fn model_dim(&self) -> usize {
        self.teacher.layer.classes.matrix.n_in
    }

    /// Computes `lse`, the log-sum-exp of the factored layer's logits over each class: (classes,
    /// R), where R is the largest number of rows of a micro-batch.
    fn find_teacher_lse(&mut self, inputs: Rows, pool: &mut Pool) {
        let (teacher, cuts) = (self.teacher, &self.cuts);
        let n = inputs.len() / self.model_dim();
        let cut = [(&mut self.lse[..], &cuts.lse[..])];
        pool.for_each_cut(&mut self.scratches, cut, |class, scratch, [lse]| {
            scratch.teach(teacher, class, inputs, n, cuts.ids[class].len());
            lse[..n].copy_from_slice(&scratch.lse[..n]);
        });
    }

    /// Adds the gradients of a micro-batch (`is_first`: overwrites them). Returns the excess of the
    /// full layer's loss over the factored one's, summed over the tokens, in nats.
    pub fn add_gradient(&mut self, batch: FitBatch, is_first: bool, pool: &mut Pool) -> f64 {
        let n = batch.targets.len();
        self.full_logits(batch.rows, n, pool);
        let n_classes = self.cuts.ids.len();
        let class_log_p = &mut self.class_log_p[..n * n_classes];
        let Teacher { layer, weights } = self.teacher;
        layer.class_log_probabilities(weights, batch.rows, class_log_p);
        let (teacher, cuts, total) = (self.teacher, &self.cuts, &self.total[..n]);
        let class_log_p = &self.class_log_p;
        let accum = if is_first { Accum::Replace } else { Accum::Add };
        let cut = [
            (&mut self.logits[..], &cuts.logits[..]),
            (&mut self.grads[..], &cuts.rows[..]),
            (&mut self.excess[..], &cuts.ones[..]),
        ];
        pool.for_each_cut(&mut self.scratches, cut, |class, scratch, [logits, grads, excess]| {
            let ids = cuts.ids[class].clone();
            scratch.teach(teacher, class, batch.rows, n, ids.len());
            for (r, lse) in scratch.lse[..n].iter_mut().enumerate() {
                *lse -= class_log_p[r * n_classes + class];
            }
            excess[0] = scratch.excess(logits, total, batch.targets, ids.clone());
            scratch.gradient(grads, logits, total, batch.rows, ids.len(), accum);
        });
        self.excess.iter().map(|x| *x as f64).sum()
    }

    /// Computes the full layer's logits and their log-sum-exp over each class and over all.
    fn full_logits(&mut self, inputs: Rows, n: usize, pool: &mut Pool) {
        let c = self.model_dim();
        let (words, cuts, precision) = (&self.words, &self.cuts, inputs.precision());
        let cut = [(&mut self.logits[..], &cuts.logits[..]), (&mut self.lse[..], &cuts.lse[..])];
        pool.for_each_cut(&mut self.scratches, cut, |class, _, [logits, lse]| {
            let members = cuts.ids[class].len();
            let words = &words[cuts.words[class].clone()];
            let logits = &mut logits[..n * members];
            matmul(logits, inputs, Packed { words, precision, k: c, n: members }, Accum::Replace);
            log_sum_exp(&mut lse[..n], logits);
        });
        let (lse, n_most) = (&self.lse, self.n_most);
        for (r, total) in self.total[..n].iter_mut().enumerate() {
            let of_row = || lse[r..].iter().step_by(n_most);
            let most = of_row().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
            *total = most + of_row().map(|x| (x - most).exp()).sum::<f32>().ln();
        }
    }

    /// (V, C) gradient of the matrix.
    #[cfg(test)]
    pub(crate) fn grads(&self) -> &[f32] {
        &self.grads
    }

    /// One step of AdamW with the mean gradient of `n_tok` tokens; then packs the matrix.
    pub fn update(&mut self, step: &AdamwStep, n_tok: usize, pool: &mut Pool) {
        let (grads, ranges) = (&self.grads, &self.cuts.rows);
        let step = AdamwStep { grad_scale: 1.0 / n_tok as f32, ..*step };
        let slices = [&mut self.rows[..], &mut self.m, &mut self.v];
        pool.for_each_range(slices, ranges, |class, [rows, m, v]| {
            adamw_update(rows, m, v, &grads[ranges[class].clone()], &step);
        });
        self.pack(pool);
    }
}

impl FitScratch {
    fn new(n_most: usize, members: usize, c: usize, precision: Precision) -> FitScratch {
        let shape = MatmulShape { m: n_most, n: members, k: c };
        FitScratch {
            teacher: AlignedVec::zeroed(n_most * members),
            lse: vec![0.0; n_most],
            p: vec![0.0; members],
            q: vec![0.0; members],
            difference: AlignedVec::zeroed(n_most * members),
            words: AlignedVec::zeroed(wgrad_scratch_len(shape, precision)),
        }
    }

    /// Computes the factored layer's logits of a class for `n` inputs, and their log-sum-exp.
    fn teach(&mut self, teacher: Teacher, class: usize, inputs: Rows, n: usize, members: usize) {
        let logits = &mut self.teacher[..n * members];
        teacher.layer.member_logits(teacher.weights, class, inputs, logits);
        log_sum_exp(&mut self.lse[..n], logits);
    }

    /// Excess of the full layer's loss over the factored one's, summed over the targets in the
    /// class with tokens `ids`. Subtracting `total` from the full layer's `logits`, and `lse` from
    /// the factored one's, makes them log-probabilities.
    fn excess(&self, logits: &[f32], total: &[f32], targets: &[u32], ids: Range<usize>) -> f32 {
        let mut sum = 0.0;
        for (r, target) in targets.iter().enumerate() {
            if ids.contains(&(*target as usize)) {
                let place = r * ids.len() + *target as usize - ids.start;
                sum += (total[r] - logits[place]) - (self.lse[r] - self.teacher[place]);
            }
        }
        sum
    }

    /// Adds the gradient of a class's rows: (q - p)·h, summed over the rows of the micro-batch.
    fn gradient(
        &mut self,
        grads: &mut [f32],
        logits: &[f32],
        total: &[f32],
        inputs: Rows,
        members: usize,
        accum: Accum,
    ) {
        let (n, precision) = (total.len(), inputs.precision());
        let FitScratch { teacher, lse, p, q, difference, words } = self;
        let (p, q) = (&mut p[..members], &mut q[..members]);
        let mut difference = rows_mut(difference, n * members, precision);
        for r in 0..n {
            let row = r * members..(r + 1) * members;
            exp_scaled(p, &teacher[row.clone()], 1.0, lse[r]);
            exp_scaled(q, &logits[row.clone()], 1.0, total[r]);
            q.iter_mut().zip(&*p).for_each(|(q, p)| *q -= p);
            store_rows(difference.slice_mut(row), q);
        }
        let shape = MatmulShape { m: n, n: members, k: grads.len() / members };
        matmul_wgrad(grads, difference.as_rows(), inputs, shape, accum, words);
    }
}
