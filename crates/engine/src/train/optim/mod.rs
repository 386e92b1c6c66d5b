//! Optimisers: how parameters follow their gradients.
//!
//! An optimiser owns its state, the names of it in a checkpoint, and what it knows of rows that
//! batches do not use. [`AdamW`] is the one that runs have; [`Pieces`] is what it shares with any
//! other: parameters cut by the table, never by the number of threads.

mod adamw;
mod pieces;

pub use adamw::{AdamW, AdamWOptions, IdleRows};
pub use pieces::Pieces;

use crate::disk::LoadError;
use crate::model::{ActiveRows, Lane, Layout};
use kernels::Pool;
use std::borrow::Cow;
use std::fmt::Debug;

/// The gradients of a step: each lane's own, and those of the tables that lanes share.
#[derive(Debug)]
pub struct StepGradients<'a> {
    /// The lanes; once they are summed the first holds the sum.
    pub lanes: &'a mut [Lane],
    /// Of the shared tables, laid out as the parameters from
    /// [`Layout::lane_len`](crate::model::Layout::lane_len) on.
    pub shared: &'a mut [f32],
}

/// Numbers of an optimiser's state, as a checkpoint holds them.
#[derive(Debug)]
pub struct StateTensor<'a> {
    /// The name, unique in the state.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Cow<'a, [f32]>,
}

/// Why a state was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A checkpoint's number makes no sense.
    #[error("tensor {tensor}: {found}, expected {expected}")]
    Number {
        /// The name of the tensor.
        tensor: String,
        /// The number.
        found: f32,
        /// What it should be.
        expected: String,
    },
}

/// Reads the numbers of one tensor of a saved state, given its name and shape.
pub type ReadTensor<'a> = dyn FnMut(&str, &[usize], &mut [f32]) -> Result<(), LoadError> + 'a;

/// An optimiser and its state.
pub trait Optimizer: Debug + Send {
    /// Prepares a step on a batch that uses `active` rows of the shared tables, if there are any:
    /// applies pending updates to these rows and zeroes the shared gradients that the step adds into.
    fn begin_step(
        &mut self,
        _params: &mut [f32],
        _active: &ActiveRows,
        shared_grads: &mut [f32],
        _pool: &mut Pool,
    ) {
        shared_grads.fill(0.0);
    }

    /// Adds the gradients of lanes 1, 2, ... into lane 0's, in this order, and returns the sum of the
    /// squares of all gradients: not finite if a gradient, a parameter or a number of the state is
    /// not.
    fn sum_over_lanes(&mut self, params: &[f32], grads: StepGradients, pool: &mut Pool) -> f64;

    /// One update of `params` from the summed gradients, each multiplied by `grad_scale` first.
    fn update(
        &mut self,
        params: &mut [f32],
        grads: StepGradients,
        lr: f32,
        grad_scale: f32,
        pool: &mut Pool,
    );

    /// Applies all pending updates, until [`Optimizer::put_back`]: for whoever reads the model
    /// between steps.
    fn show_current(&mut self, _params: &mut [f32], _pool: &mut Pool) {}

    /// Undoes what was done to parameters since the last update.
    fn put_back(&mut self, _params: &mut [f32], _pool: &mut Pool) {}

    /// Whether parameters change when they are shown up to date or put back.
    fn has_pending(&self) -> bool {
        false
    }

    /// Updates made so far.
    fn n_updates(&self) -> u64;

    /// The first tensor of the table whose state has a number that is not finite.
    fn not_finite(&self, layout: &Layout) -> Option<String>;

    /// Numbers in [`Optimizer::state`].
    fn state_len(&self, layout: &Layout) -> usize {
        self.state(layout).iter().map(|tensor| tensor.values.len()).sum()
    }

    /// The state, while parameters are shown up to date.
    fn state<'a>(&'a self, layout: &Layout) -> Vec<StateTensor<'a>>;

    /// Takes back the state after `n_updates` updates, whose tensors `read` gives; `params` are as
    /// they were shown, and become what updates go on from.
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

    /// Name and bytes of the state.
    fn memory(&self) -> Vec<(&'static str, usize)>;
}
