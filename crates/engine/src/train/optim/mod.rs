//! Optimisers: updates of parameters from gradients.
//!
//! An optimiser owns its state, the names of its tensors in a checkpoint, and the bookkeeping of
//! rows that batches do not use. Runs use [`AdamW`]. [`Pieces`] is shared by all optimisers:
//! parameters split along the table, never by the number of threads.

mod adamw;
mod pieces;

pub use adamw::{AdamW, AdamWOptions, RowUpdates};
pub use pieces::Pieces;

use crate::disk::LoadError;
use crate::model::{ActiveRows, Lane, Layout};
use kernels::Pool;
use std::borrow::Cow;
use std::fmt::Debug;

/// The gradients of a step: each lane's own, and those of the tables that lanes share.
#[derive(Debug)]
pub struct StepGradients<'a> {
    /// The lanes; after summation, the first holds the sum.
    pub lanes: &'a mut [Lane],
    /// Gradients of the shared tables, laid out as the parameters from
    /// [`Layout::lane_len`](crate::model::Layout::lane_len) on.
    pub shared: &'a mut [f32],
}

/// A named tensor of an optimiser's state, as a checkpoint stores it.
#[derive(Debug)]
pub struct StateTensor<'a> {
    /// Name, unique within the state.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Cow<'a, [f32]>,
}

/// Failure to restore an optimiser's state.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A tensor could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A number in the checkpoint is invalid.
    #[error("tensor {tensor}: {found}, expected {expected}")]
    Number {
        /// The name of the tensor.
        tensor: String,
        /// The number.
        found: f32,
        /// Description of valid values.
        expected: String,
    },
}

/// Reads one tensor of a saved state, given its name and shape, into a slice.
pub type ReadTensor<'a> = dyn FnMut(&str, &[usize], &mut [f32]) -> Result<(), LoadError> + 'a;

/// An optimiser and its state.
pub trait Optimizer: Debug + Send {
    /// Prepares a step on a batch that uses the `active` rows of the shared tables, if there are
    /// any: applies their pending updates and clears the shared gradients that the step adds into.
    fn begin_step(
        &mut self,
        _params: &mut [f32],
        _active: &ActiveRows,
        shared_grads: &mut [f32],
        _pool: &mut Pool,
    ) {
        shared_grads.fill(0.0);
    }

    /// Adds the gradients of lanes 1, 2, ... into lane 0's, in this order, and returns the sum of
    /// squares of all gradients. The result is not finite if any gradient, parameter or number of
    /// the state is not.
    fn sum_over_lanes(&mut self, params: &[f32], grads: StepGradients, pool: &mut Pool) -> f64;

    /// Updates `params` once from the summed gradients, each multiplied by `grad_scale` first.
    fn update(
        &mut self,
        params: &mut [f32],
        grads: StepGradients,
        lr: f32,
        grad_scale: f32,
        pool: &mut Pool,
    );

    /// Applies all pending updates until [`Optimizer::put_back`], for readers of the model between
    /// steps.
    fn show_current(&mut self, _params: &mut [f32], _pool: &mut Pool) {}

    /// Undoes all changes to the parameters since the last update.
    fn put_back(&mut self, _params: &mut [f32], _pool: &mut Pool) {}

    /// Whether `show_current` and `put_back` change parameters.
    fn has_pending(&self) -> bool {
        false
    }

    /// Number of updates made so far.
    fn n_updates(&self) -> u64;

    /// Name of the first tensor whose state has a number that is not finite.
    fn not_finite(&self, layout: &Layout) -> Option<String>;

    /// Number of floats in [`Optimizer::state`].
    fn state_len(&self, layout: &Layout) -> usize {
        self.state(layout).iter().map(|tensor| tensor.values.len()).sum()
    }

    /// The state; call between `show_current` and `put_back`.
    fn state<'a>(&'a self, layout: &Layout) -> Vec<StateTensor<'a>>;

    /// Restores the state after `n_updates` updates, reading its tensors with `read`. `params`
    /// holds caught-up values on entry, and the stored values that updates continue from on return.
    ///
    /// # Errors
    /// [`RestoreError`]; the state is then partly restored.
    fn restore(
        &mut self,
        layout: &Layout,
        params: &mut [f32],
        n_updates: u64,
        read: &mut ReadTensor,
    ) -> Result<(), RestoreError>;

    /// Name and bytes of the allocations.
    fn memory(&self) -> Vec<(&'static str, usize)>;
}
