//! What can be wrong with the numbers that a code is made from.

use dashu_int::UBig;

/// Why there is no such code.
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
    #[error("the prime {prime} occurs more than once: a code has a feature or has it not")]
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
    /// A prime is not among those that codes are made of here.
    #[error("the prime {prime} is not among the first {n_primes}, which codes are made of here")]
    OutsideBase {
        /// The prime.
        prime: u64,
        /// Primes in the base.
        n_primes: usize,
    },
    /// A number has other prime factors than those it may have; 0 has no factorisation at all.
    #[error("the number is not a product of the primes given: {cofactor} is left of it")]
    LeftOver {
        /// What no prime divides.
        cofactor: UBig,
    },
}
