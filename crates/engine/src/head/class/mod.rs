//! Classes of tokens: the common part of factored layers and the clusters of adaptive ones.
//!
//! The ids of a class are contiguous, so that its rows are one matrix. The batch's rows are sorted
//! by the class of their targets ([`ClassSort`]), and each class is one small product
//! ([`ClassSoftmax`]).

mod scratch;
mod softmax;
mod sort;

pub use scratch::ClassScratch;
pub use softmax::{ClassGrads, ClassSoftmax, add_to_rows};
pub use sort::ClassSort;
