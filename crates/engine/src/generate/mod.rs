//! From a trained model to text: prefill, decoding against a KV cache, sampling, stopping.

mod candidates;
mod factored;
mod history;
mod inference;
mod sampler;
mod session;
mod stop;
mod writer;

pub use candidates::Candidate;
pub use inference::InferenceModel;
pub use sampler::{Sampler, SamplerError, Sampling};
pub use session::{ContextFull, Next, Session};
pub use stop::StopScanner;
pub use writer::{Finish, Request, Usage, generate};
