//! Training: one optimiser step, the lanes it runs on, the schedule, and whole runs.

pub mod events;
mod lanes;
mod optim;
pub mod run;
mod schedule;
pub mod settings;
mod step;

pub use lanes::{Lane, Lanes, RowsUsed, SequenceSource, Touched};
pub use optim::{AdamW, AdamWOptions, IdleRows, IdleState, NotRestored};
pub use run::{Run, RunError};
pub use schedule::Schedule;
pub use step::{StepError, StepPlan, StepReport, TrainState, apply_gradients, training_step};
