//! Number theory: divisors and products, primes, primality, factorisation.

pub mod arith;
pub mod factorise;
mod montgomery;
pub mod primality;
pub mod primes;
