//! The output layer: final norm, logits, loss, and the gradient that the backward pass starts from.

pub mod full;
