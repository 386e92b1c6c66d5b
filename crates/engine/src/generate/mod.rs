//! From a trained model to text: prefill, decoding against a KV cache, sampling, stopping.

mod candidates;
mod factored;
mod sampler;
mod scoring;
mod session;
mod stop;
mod story_grade;
mod writer;

pub use candidates::Candidate;
pub use sampler::{Sampler, SamplerError, Sampling};
pub use session::{ContextFull, Session};
pub use stop::StopScanner;
pub use story_grade::{StoryGrade, grade_stories};
pub use writer::{Finish, Request, Usage, Written, generate};
