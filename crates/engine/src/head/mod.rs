//! The output layer: final norm, logits, loss, and the gradient that the backward pass starts from.
//!
//! [`full`] is one softmax over the vocabulary. [`factor`] is two: over classes, and over the tokens
//! of the right class. So is [`adaptive`], whose first is over the most frequent tokens and clusters
//! of the others. All begin with a softmax that every token takes part in ([`softmax`]). [`sampled`]
//! trains the full one on some of the tokens.

pub mod adaptive;
pub mod factor;
pub mod full;
mod loss_sum;
pub mod sampled;
pub mod softmax;

pub use loss_sum::LossSum;
