//! Classes of tokens: what factored layers and the clusters of adaptive ones have in common.
//!
//! The ids of a class lie side by side, so that its rows are one matrix. The batch's rows are sorted
//! by the class of their targets ([`ClassSort`]), and each class is one small product
//! ([`ClassSoftmax`]).

mod scratch;
mod softmax;
mod sort;

pub use scratch::ClassScratch;
pub use softmax::{ClassGrads, ClassSoftmax, add_to_rows};
pub use sort::ClassSort;
