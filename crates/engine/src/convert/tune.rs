//! Tuning of a converted model: all its parameters continue to train on the text after the fit.
//!
//! No full output matrix of the same width can express everything that classes can: the probability
//! of a class is a nonlinear function of the input. The blocks were trained for a layer with
//! classes; when they train along, they adapt, and little of the difference remains.

use super::{FitBudget, FitError, FitProgress};
use crate::model::{InputLayer, Layout, MicroShape};
use crate::train::{
    AdamW, AdamWOptions, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::{AlignedVec, Precision};
use std::time::Instant;

/// Number of lanes; fixed, because the result must not depend on the number of threads.
const N_LANES: usize = 2;

/// Peak of the learning rate: a fifth of a run's at this width, since most is learnt already.
const LR: f32 = 1e-3;
const LR_DIM: f32 = 128.0;

/// Share of the budget in which the learning rate rises; then it falls to 0.
const WARM_SHARE: f64 = 0.05;

/// Gradients with a larger norm are scaled down to this norm.
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

    /// Takes steps on the batches of `source`, starting at number `first`, until the budget is
    /// spent or `report`, which receives each step's loss, asks to stop.
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

    /// The current model: its layout and parameters.
    pub fn into_model(self) -> (Layout, AlignedVec<f32>) {
        self.trainer.into_model()
    }
}
