//! Trainer: a model, its optimiser and the lanes that train it.

use super::lanes::{Lanes, LanesSpec, SequenceSource};
use super::optim::{Optimizer, ReadTensor, RestoreError};
use super::plan::StepError;
use crate::head::LossSum;
use crate::model::{ActiveRows, InputLayer, Layout, Model, OwnedModel, ReadBy};
use kernels::reduce::all_finite;
use kernels::{AlignedVec, Pool, Stop};

/// Parts of a [`Trainer`].
#[derive(Debug)]
pub struct TrainerSpec<'a> {
    /// The table of tensors.
    pub layout: Layout,
    /// Initial parameters.
    pub params: AlignedVec<f32>,
    /// Input layer, which must know every word of the text.
    pub inputs: InputLayer,
    /// The optimiser of these parameters.
    pub optimizer: Box<dyn Optimizer>,
    /// The lanes.
    pub lanes: LanesSpec<'a>,
}

/// All training state, and the model description that a step needs.
///
/// Between steps, the matrices that every step reads are packed; the others are packed just before
/// use.
#[derive(Debug)]
pub struct Trainer {
    pub(super) owned: OwnedModel,
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) lanes: Lanes,
    /// Rows of the shared tables that the current batch uses; `None` if the model shares no tables.
    pub(super) active: Option<ActiveRows>,
}

impl Trainer {
    /// A trainer that is ready to take steps.
    pub fn new(spec: TrainerSpec) -> Trainer {
        let TrainerSpec { layout, params, inputs, optimizer, lanes } = spec;
        let precision = lanes.shape.precision;
        let mut trainer = Trainer {
            lanes: Lanes::new(&layout, &lanes),
            active: layout.shares_tables().then(|| ActiveRows::new(&layout)),
            owned: OwnedModel::unpacked(layout, params, inputs, precision, true),
            optimizer,
        };
        trainer.pack();
        trainer
    }

    /// The table of tensors.
    pub fn layout(&self) -> &Layout {
        &self.owned.layout
    }

    /// Parameters as of the last update. Rows of the shared tables may have pending updates
    /// ([`Trainer::with_current`]).
    pub fn params(&self) -> &[f32] {
        &self.owned.params
    }

    /// The input layer.
    pub fn inputs(&self) -> &InputLayer {
        &self.owned.inputs
    }

    /// The optimiser.
    pub fn optimizer(&self) -> &dyn Optimizer {
        &*self.optimizer
    }

    /// The lanes.
    pub fn lanes(&mut self) -> &mut Lanes {
        &mut self.lanes
    }

    /// Lets `edit` change the parameters, then packs them again.
    pub fn edit_params(&mut self, edit: impl FnOnce(&mut [f32])) {
        edit(&mut self.owned.params);
        self.pack();
    }

    /// Begins again with these parameters and a new optimiser.
    pub fn begin_again(&mut self, params: &[f32], optimizer: Box<dyn Optimizer>) {
        self.owned.params.copy_from_slice(params);
        self.optimizer = optimizer;
        self.pack();
    }

    /// Restores a saved state after `n_updates` updates: `params` from the model file, the
    /// optimiser's tensors from `read`.
    ///
    /// # Errors
    /// [`RestoreError`]; the trainer must then be discarded.
    pub fn restore(
        &mut self,
        params: &[f32],
        n_updates: u64,
        read: &mut ReadTensor,
    ) -> Result<(), RestoreError> {
        let OwnedModel { layout, params: own, .. } = &mut self.owned;
        own.copy_from_slice(params);
        self.optimizer.restore(layout, own, n_updates, read)?;
        self.pack();
        Ok(())
    }

    /// Runs `f` between steps on the model with all pending updates applied, the lanes and the
    /// optimiser.
    ///
    /// The parameters are put back afterwards: a step has the same bits whether this was called or
    /// not.
    pub fn with_current<R>(&mut self, f: impl FnOnce(Model, &mut Lanes, &dyn Optimizer) -> R) -> R {
        self.optimizer.show_current(&mut self.owned.params, self.lanes.pool());
        self.forget_pending();
        self.owned.packed.pack(&self.owned.params, self.lanes.pool());
        let result = f(self.owned.model(), &mut self.lanes, &*self.optimizer);
        self.optimizer.put_back(&mut self.owned.params, self.lanes.pool());
        self.forget_pending();
        result
    }

    /// Ends steps and evaluations early from now on where `stop` is requested.
    pub fn stop_at(&mut self, stop: &Stop) {
        self.lanes.stop_at(stop);
    }

    /// Mean loss over sequences `0..n` of `source`, with every pending update applied. Ends early
    /// if a stop is requested.
    pub fn evaluate(&mut self, source: &dyn SequenceSource, n: usize) -> LossSum {
        self.with_current(|model, lanes, _| lanes.evaluate(model, source, n))
    }

    /// The layout and the parameters, with every pending update applied.
    pub fn into_model(mut self) -> (Layout, AlignedVec<f32>) {
        self.optimizer.show_current(&mut self.owned.params, self.lanes.pool());
        (self.owned.layout, self.owned.params)
    }

    /// The threads.
    pub fn pool(&mut self) -> &mut Pool {
        self.lanes.pool()
    }

    /// Name and bytes of every allocation.
    pub fn memory(&self) -> Vec<(&'static str, usize)> {
        let parameters = self.owned.layout.len * size_of::<f32>();
        let mut memory = vec![("parameters", parameters)];
        memory.extend(self.optimizer.memory());
        memory.push(("packed weights", self.owned.packed.bytes()));
        memory.extend(self.lanes.memory());
        memory
    }

    /// Prepares the rows of shared tables that the step's batch uses: applies their pending updates,
    /// clears their gradients, packs the parts of the output layer in use.
    pub(super) fn prepare_rows(&mut self, source: &dyn SequenceSource, step: u64) {
        let Some(active) = &mut self.active else { return };
        let OwnedModel { params, packed, inputs, layout, .. } = &mut self.owned;
        self.lanes.find_active(active, layout, inputs, source, step);
        let (grads, pool) = self.lanes.gradients();
        self.optimizer.begin_step(params, active, grads.shared, pool);
        if self.optimizer.has_pending() {
            packed.forget_where(is_part);
        }
        let (head, pool) = self.lanes.head();
        packed.pack_where(params, pool, |read_by| match read_by {
            ReadBy::StepsThatUse(part) => head.is_active(part),
            ReadBy::EveryStep | ReadBy::NoStep => false,
        });
    }

    /// Packs the matrices that every step reads, after the parameters changed.
    pub(super) fn pack(&mut self) {
        let OwnedModel { params, packed, .. } = &mut self.owned;
        packed.forget_where(|_| true);
        packed.pack_where(params, self.lanes.pool(), |read_by| read_by == ReadBy::EveryStep);
    }

    /// Marks parts of the output layer as not packed, after rows with pending updates were caught
    /// up or put back.
    fn forget_pending(&mut self) {
        if self.optimizer.has_pending() {
            self.owned.packed.forget_where(is_part);
        }
    }

    /// Undoes the catch-up for a refused step, and returns `error`.
    pub(super) fn refuse(&mut self, error: StepError) -> StepError {
        self.optimizer.put_back(&mut self.owned.params, self.lanes.pool());
        self.forget_pending();
        error
    }

    /// Refuses a step whose loss or gradient norm is not finite, and names the first such number.
    pub(super) fn refuse_not_finite(&mut self, step: u64, loss_nats: f64, norm: f64) -> StepError {
        let what = self.find_not_finite(loss_nats);
        self.refuse(StepError::NotFinite { step, what, loss_nats, grad_norm: norm })
    }

    /// Names the first number that is not finite; call only when there is one.
    fn find_not_finite(&self, loss_nats: f64) -> String {
        let (layout, params) = (&self.owned.layout, &self.owned.params);
        if let Some(t) = layout.tensors.iter().find(|t| !all_finite(t.span.of(params))) {
            return format!("parameter {}", t.name);
        }
        if let Some(name) = self.optimizer.not_finite(layout) {
            return format!("the optimiser's state of {name}");
        }
        if !loss_nats.is_finite() {
            return "the loss".to_string();
        }
        match layout.tensors.iter().find(|t| !all_finite(self.lanes.summed_grad(t.span))) {
            Some(t) => format!("the gradient of {}", t.name),
            None => "the gradient's norm".to_string(),
        }
    }
}

/// Whether a matrix is a part of the output layer that only some steps use.
fn is_part(read_by: ReadBy) -> bool {
    matches!(read_by, ReadBy::StepsThatUse(_))
}
