//! Exact integers of Crystalline: primes, codes that are products of primes, and plane curves.
//!
//! A [`FactorCode`] is a set of features as one integer: each feature is a prime, and the code is
//! their product. The larger the greatest common divisor of two codes, the more similar they are
//! ([`codes::similarity`]); [`CodeIndex`] finds the most similar of many. [`curves::spiral`] and
//! [`curves::hilbert`] number the points of the plane. All decisions are made in integers; only
//! scores are floats.
#![forbid(unsafe_code)]

pub mod codes;
pub mod curves;
pub mod error;
pub mod numbers;

pub use codes::bit_code::BitCode;
pub use codes::code_index::CodeIndex;
pub use codes::factor_code::FactorCode;
pub use codes::neighbours::{Neighbour, Searcher, nearest_by_scan};
pub use codes::prime_base::PrimeBase;
pub use codes::signature::{Signature, SignatureRows};
pub use dashu_int::UBig;
pub use error::CodeError;
