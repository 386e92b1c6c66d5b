//! Training: one optimiser step, the lanes it runs on, the schedule, and whole runs.

mod lanes;
mod optim;
mod schedule;
mod step;

pub use lanes::{Lane, Lanes, SequenceSource};
pub use optim::{AdamW, AdamWOptions};
pub use schedule::Schedule;
pub use step::{StepError, StepPlan, StepReport, TrainState, training_step};
