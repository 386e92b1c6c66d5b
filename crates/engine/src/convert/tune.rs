//! All of a plain model goes on learning the text, once its output matrix is fitted.
//!
//! No full output matrix of the same width says all that classes say: a class's share is a function
//! of the input that is not linear in it. The blocks are trained for such an input; when they learn
//! along they make another, and little is left of the difference.

use super::{FitBudget, FitError, FitProgress};
use crate::model::{InputLayer, Layout, MicroShape};
use crate::train::{
    AdamW, AdamWOptions, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::{AlignedVec, Precision};
use std::time::Instant;

/// Lanes: not as many as there are threads, on which the result must not depend.
const N_LANES: usize = 2;

/// Peak of the learning rate at this width, as a run's falls with the width: a fifth of a run's own,
/// since most is learnt already.
const LR: f32 = 1e-3;
const LR_DIM: f32 = 128.0;

/// Share of the budget in which the learning rate rises; then it falls to 0.
const WARM_SHARE: f64 = 0.05;

/// Gradients of a larger norm are scaled down to this one.
const GRAD_NORM_MAX: f32 = 1.0;

/// A plain model in training.
#[derive(Debug)]
pub struct Tuning {
    trainer: Trainer,
}

impl Tuning {
    /// Training of a model on batches of `batch_seqs` sequences.
    pub fn new(
        layout: Layout,
        params: AlignedVec<f32>,
        precision: Precision,
        batch_seqs: usize,
        threads: usize,
    ) -> Tuning {
        let config = &layout.config;
        let lane_seqs = batch_seqs.div_ceil(N_LANES);
        let lanes = LanesSpec {
            shape: MicroShape::new(config, config.seq_len, lane_seqs, precision),
            n_lanes: N_LANES,
            batch_seqs,
            threads,
            seed: 0,
            token_counts: &[],
        };
        let optimizer = Box::new(AdamW::new(&layout, AdamWOptions::default()));
        let inputs = InputLayer::new(&layout, None, None);
        Tuning { trainer: Trainer::new(TrainerSpec { layout, params, inputs, optimizer, lanes }) }
    }

    /// Takes steps on the batches of `source` from number `first` on until the budget is spent, or
    /// `report`, which is told the steps' losses, returns that it is enough.
    ///
    /// # Errors
    /// [`FitError::Step`].
    pub fn run(
        &mut self,
        source: &dyn SequenceSource,
        first: u64,
        budget: FitBudget,
        report: &mut dyn FnMut(FitProgress) -> bool,
    ) -> Result<(), FitError> {
        let (began, mut all, mut step) = (Instant::now(), 0, 0);
        let peak = LR * (LR_DIM / self.trainer.layout().config.model_dim as f32).min(1.0);
        loop {
            let share = budget.share(step, began);
            if share >= 1.0 {
                return Ok(());
            }
            let rate = (share / WARM_SHARE).min((1.0 - share) / (1.0 - WARM_SHARE));
            let plan = StepPlan {
                step: first + step,
                lr: peak * rate.clamp(0.01, 1.0) as f32,
                grad_norm_max: GRAD_NORM_MAX,
                dropout: 0.0,
                seed: 0,
            };
            let done = self.trainer.step(source, &plan)?;
            step += 1;
            all += done.n_tok as u64;
            if !report(FitProgress { step, share, nats: done.loss_nats, n_tok: all }) {
                return Ok(());
            }
        }
    }

    /// The model as it is now: its table, and its parameters.
    pub fn into_model(self) -> (Layout, AlignedVec<f32>) {
        self.trainer.into_model()
    }
}
