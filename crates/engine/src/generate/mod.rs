//! Generation: prefill, decoding with a KV cache, sampling and stopping.

mod prompt;
mod sampler;
mod session;
mod stop;
mod story_grade;
mod workspace;
mod writer;

pub use crate::model::{ContextFull, NewTokens, Sequence};
pub use prompt::Prompt;
pub use sampler::{Sampler, SamplerError, Sampling};
pub use session::Session;
pub use stop::StopScanner;
pub use story_grade::{StoryGrade, grade_stories};
pub use workspace::{Following, Workspace};
pub use writer::{Finish, Request, Usage, Written, generate};
