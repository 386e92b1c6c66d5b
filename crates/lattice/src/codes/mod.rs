//! Codes: sets of features as products of primes, their similarity, and search among many.

pub mod bit_code;
pub mod bits;
pub mod code_index;
pub mod factor_code;
pub mod neighbours;
pub mod prime_base;
pub mod signature;
pub mod similarity;
