//! A full softmax that is trained on some of the tokens: each target against a few drawn ones.
//!
//! A step draws K tokens with frequencies^(3/4) (Mikolov et al., "Distributed representations of
//! words and phrases", 2013, section 2.2), which all its rows share. The sum over the vocabulary
//! that the softmax divides by is estimated from them: e^logit of the target, plus e^logit / (K q)
//! of every token drawn, q being its probability; a draw that is the row's target is left out. That
//! is importance sampling, and the sum's expectation is the sum itself (Bengio and Senécal,
//! "Adaptive importance sampling to accelerate training of a neural probabilistic language model",
//! 2008; shared draws: Jean et al., "On using very large target vocabulary for neural machine
//! translation", 2015, arXiv:1412.2007). The logarithm of the estimate is a little low, and so is
//! the loss of a training step; evaluation and generation take the softmax over all tokens, and
//! the model is a plain one.
//!
//! What is drawn is a pure function of (seed, step). Only rows of tokens that are drawn, targets or
//! inputs have a gradient; all lanes add into one.

mod candidates;
mod rows;

pub use candidates::Candidates;
pub use rows::SampledRows;
