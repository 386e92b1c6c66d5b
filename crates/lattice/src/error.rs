//! Errors of codes: numbers that make no valid code.

use dashu_int::UBig;

/// A number, or a list of primes, that is not a valid code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// A feature is not a prime.
    #[error("{found} is not a prime: a code is a product of primes")]
    NotPrime {
        /// The number given.
        found: u64,
    },
    /// A prime occurs twice.
    #[error("the prime {prime} occurs more than once: a code has each feature at most once")]
    Repeated {
        /// The prime.
        prime: u64,
    },
    /// A prime has more than 64 bits.
    #[error("the prime factor {prime} is too large: primes of a code are below 2^64")]
    TooLarge {
        /// The prime.
        prime: u128,
    },
    /// A prime is not in the base.
    #[error("the prime {prime} is not among the first {n_primes} primes, the base of these codes")]
    OutsideBase {
        /// The prime.
        prime: u64,
        /// Number of primes in the base.
        n_primes: usize,
    },
    /// A number has prime factors outside the base; 0 has no factorisation at all.
    #[error("the number is not a product of the given primes: the factor {cofactor} is left")]
    LeftOver {
        /// The remaining factor, which no prime of the base divides.
        cofactor: UBig,
    },
}
