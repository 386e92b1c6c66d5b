//! Training: the optimiser step, the trainer that takes it, the schedule, and whole runs.

pub mod events;
mod lanes;
mod measure;
mod memory;
mod optim;
mod plan;
pub mod run;
mod schedule;
pub mod settings;
mod step;
mod trainer;

pub(crate) use lanes::read_sequences;
pub use lanes::{Lanes, LanesSpec, SequenceSource};
pub use measure::{Measured, measure, measure_loss};
pub use memory::training_memory;
pub use optim::{
    AdamW, AdamWOptions, Optimizer, Pieces, ReadTensor, RestoreError, RowUpdates, StateTensor,
    StepGradients,
};
pub use plan::{StepError, StepPlan, StepReport};
pub use run::{Run, RunError};
pub use schedule::Schedule;
pub use trainer::{Trainer, TrainerSpec};
