//! The exact integers of Crystalline: primes, codes that are products of them, and plane curves.
//!
//! A [`FactorCode`] is a set of features, written as one integer: each feature is a prime, the
//! code is their product. Two codes are as similar as their greatest common divisor is large
//! ([`similarity`]), and [`CodeIndex`] finds the most similar of many. [`spiral`] and [`hilbert`]
//! number the points of the plane. Everything is decided in integers; the only floats are scores.
#![forbid(unsafe_code)]

pub mod arith;
pub mod bit_code;
pub mod bits;
pub mod code_index;
pub mod error;
pub mod factor_code;
pub mod factorise;
pub mod hilbert;
mod montgomery;
pub mod neighbours;
pub mod primality;
pub mod prime_base;
pub mod primes;
pub mod signature;
pub mod similarity;
pub mod spiral;

pub use bit_code::BitCode;
pub use code_index::CodeIndex;
pub use dashu_int::UBig;
pub use error::CodeError;
pub use factor_code::FactorCode;
pub use neighbours::{Neighbour, Searcher, nearest_by_scan};
pub use prime_base::PrimeBase;
pub use signature::{Signature, SignatureRows};
