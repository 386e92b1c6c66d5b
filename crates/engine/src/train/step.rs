//! One optimiser step. This is the file to open first.
//!
//! tokens -> their rows -> forward -> loss -> backward -> sum over lanes -> clip -> AdamW -> pack.
//! Nothing here allocates: every buffer was sized before the first step, and `tests/no_alloc.rs`
//! fails if that stops being true.

use super::lanes::{Lanes, RowsUsed, SequenceSource};
use super::optim::{AdamW, AdamWOptions, IdleRows};
use crate::head::LossSum;
use crate::model::{Layout, Model, Owner, PackedWeights};
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};
use text::vocab::compose::Composer;
use text::vocab::ngrams::Ngrams;

/// Everything that a step changes, and what it needs to know about the model.
#[derive(Debug)]
pub struct TrainState {
    /// The table of tensors.
    pub layout: Layout,
    /// Parameters.
    pub params: AlignedVec<f32>,
    /// The matrices among them, packed for products: those that every step reads are always those
    /// of `params`, others are packed when they are read.
    pub packed: PackedWeights,
    /// The optimiser and its moments.
    pub optim: AdamW,
    /// Rotary angles.
    pub rope: RopeTable,
    /// What input vectors are made of, for a model that composes them: it must have met every word
    /// of the text. [`TrainState::new`] leaves it out.
    pub composer: Option<Composer>,
    /// Finds the rows of n-grams, for a model that adds these. [`TrainState::new`] leaves it out.
    pub ngrams: Option<Ngrams>,
}

/// What this step is to do.
#[derive(Clone, Copy, Debug)]
pub struct StepPlan {
    /// The step's number, from 0: decides data and dropout masks.
    pub step: u64,
    /// Learning rate.
    pub lr: f32,
    /// Gradients of a larger global norm are scaled down to this one.
    pub grad_norm_max: f32,
    /// Probability of residual dropout; 0 is off.
    pub dropout: f32,
    /// Seed of the dropout masks.
    pub seed: u64,
}

/// What one step did. Sums and means are over the tokens that had a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean negative log likelihood per token.
    pub loss_nats: f64,
    /// Global L2 norm of the mean gradient, before clipping.
    pub grad_norm: f64,
    /// Tokens that had a target.
    pub n_tok: usize,
    /// Shares of the tables' rows that the batch used, under a factored output layer.
    pub rows_used: Option<RowsUsed>,
}

/// A step that was not taken; parameters and moments are exactly as they were before.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// No token of the batch had a target.
    #[error("step {step}: no token of the batch has a target")]
    NoTargets {
        /// The step.
        step: u64,
    },
    /// A number is NaN or infinite.
    #[error("step {step}: {what} is not finite (loss {loss_nats}, gradient norm {grad_norm})")]
    NotFinite {
        /// The step.
        step: u64,
        /// The loss, or the first tensor in the table with such a gradient or moment.
        what: String,
        /// Mean loss.
        loss_nats: f64,
        /// Norm of the mean gradient.
        grad_norm: f64,
    },
}

impl TrainState {
    /// The state before the first step: parameters as given, moments zero, weights not packed yet
    /// (see [`TrainState::pack`]).
    pub fn new(
        layout: Layout,
        params: AlignedVec<f32>,
        precision: Precision,
        options: AdamWOptions,
    ) -> TrainState {
        let config = &layout.config;
        TrainState {
            packed: PackedWeights::new(&layout, precision, true),
            optim: AdamW::new(&layout, options),
            rope: RopeTable::new(config.seq_len, config.head_dim, config.rope_theta as f64),
            composer: None,
            ngrams: None,
            params,
            layout,
        }
    }

    /// Packs the weights that training reads; once before the first step, and after parameters were
    /// written from outside.
    pub fn pack(&mut self, pool: &mut Pool) {
        self.pack_common(pool);
        self.packed.pack_where(&self.params, pool, |owner| matches!(owner, Owner::Class(_)));
    }

    /// Gets ready what the step's batch uses of the tables that lanes share: its rows are
    /// brought up to date, their gradients zeroed, its classes packed.
    pub fn begin_step(&mut self, lanes: &mut Lanes, source: &dyn SequenceSource, step: u64) {
        lanes.find_touched(source, step, self.ngrams.as_ref());
        self.optim.begin_step(&mut self.params, lanes);
        self.forget_idle();
        if let Some((touched, _, pool)) = lanes.tables() {
            self.packed.pack_where(&self.params, pool, |owner| match owner {
                Owner::Class(class) => touched.classes()[class],
                _ => false,
            });
        }
    }

    /// Packs what every step reads, after parameters were written.
    fn pack_common(&mut self, pool: &mut Pool) {
        let samples_head = self.layout.samples_head();
        self.packed.forget_where(|_| true);
        self.packed.pack_where(&self.params, pool, |owner| match owner {
            Owner::Block => true,
            Owner::Output => !samples_head,
            Owner::Class(_) => false,
        });
    }

    /// Runs `f` on the model as it is between steps: with every row up to date.
    ///
    /// What is written on the way is undone: a step has the same bits whether the model was looked
    /// at or not.
    pub fn with_current<R>(
        &mut self,
        lanes: &mut Lanes,
        f: impl FnOnce(Model, &mut Lanes) -> R,
    ) -> R {
        self.optim.show_current(&mut self.params, lanes.pool());
        self.forget_idle();
        self.packed.pack(&self.params, lanes.pool());
        let result = f(self.model(), lanes);
        self.optim.put_back(&mut self.params, lanes.pool());
        self.forget_idle();
        result
    }

    /// Rows that may be idle were brought up to date, or put back: classes of them must be packed
    /// again.
    fn forget_idle(&mut self) {
        if self.optim.options.idle_rows == IdleRows::Lazy {
            self.packed.forget_where(|owner| matches!(owner, Owner::Class(_)));
        }
    }

    /// What the forward and backward passes read.
    pub fn model(&self) -> Model<'_> {
        let TrainState { layout, params, packed, rope, composer, ngrams, .. } = self;
        let (composer, ngrams) = (composer.as_ref(), ngrams.as_ref());
        Model { layout, params, packed, rope, composer, ngrams }
    }
}

/// Runs every lane forward and backward over its share of the batch, then updates once.
///
/// # Errors
/// [`StepError`]; the state is then exactly as it was before.
pub fn training_step(
    state: &mut TrainState,
    lanes: &mut Lanes,
    source: &dyn SequenceSource,
    plan: &StepPlan,
) -> Result<StepReport, StepError> {
    state.begin_step(lanes, source, plan.step);
    lanes.accumulate(state.model(), source, plan);
    apply_gradients(state, lanes, plan)
}

/// The second half of a step: one update from the gradients that the lanes hold.
///
/// Gradients were summed over micro-batches in order; here they are summed over lanes in order, and
/// divided by the total token count once, so the bits do not depend on which thread ran which lane.
/// A number that is not finite, among parameters, moments, gradients or in the loss, refuses the
/// step: none is ever written, so none is ever saved.
///
/// # Errors
/// [`StepError`]; the state is then exactly as it was before the step.
pub fn apply_gradients(
    state: &mut TrainState,
    lanes: &mut Lanes,
    plan: &StepPlan,
) -> Result<StepReport, StepError> {
    let result = update(state, lanes, plan);
    if result.is_err() {
        state.optim.put_back(&mut state.params, lanes.pool());
    }
    result
}

fn update(
    state: &mut TrainState,
    lanes: &mut Lanes,
    plan: &StepPlan,
) -> Result<StepReport, StepError> {
    let LossSum { nats, n_tok } = lanes.loss_sum();
    if n_tok == 0 {
        return Err(StepError::NoTargets { step: plan.step });
    }
    let mean = 1.0 / n_tok as f64;
    let loss_nats = nats * mean;
    let grad_norm = state.optim.sum_over_lanes(&state.params, lanes).sqrt() * mean;
    if !(loss_nats.is_finite() && grad_norm.is_finite()) {
        let what = not_finite(state, lanes, loss_nats);
        return Err(StepError::NotFinite { step: plan.step, what, loss_nats, grad_norm });
    }
    let clip = (plan.grad_norm_max as f64 / grad_norm).min(1.0);
    state.optim.update(&mut state.params, lanes, plan.lr, (mean * clip) as f32);
    state.pack_common(lanes.pool());

    let tie_embeddings = state.layout.config.tie_embeddings;
    let rows_used = lanes.touched().and_then(|touched| touched.rows_used(tie_embeddings));
    Ok(StepReport { loss_nats, grad_norm, n_tok, rows_used })
}

/// Names what went bad; called once it is known that something did.
fn not_finite(state: &TrainState, lanes: &Lanes, loss_nats: f64) -> String {
    let bad = |values: &[f32]| values.iter().any(|x| !x.is_finite());
    for tensor in &state.layout.tensors {
        let (span, name) = (tensor.span, &tensor.name);
        if bad(span.of(&state.params)) {
            return format!("parameter {name}");
        }
        if bad(span.of(&state.optim.m)) || bad(span.of(&state.optim.v)) {
            return format!("a moment of {name}");
        }
    }
    if !loss_nats.is_finite() {
        return "the loss".to_string();
    }
    let tensors = state.layout.tensors.iter();
    let bad_grad = tensors.into_iter().find(|t| bad(lanes.summed_grad(t.span)));
    bad_grad.map_or("the gradient's norm".to_string(), |t| format!("the gradient of {}", t.name))
}
