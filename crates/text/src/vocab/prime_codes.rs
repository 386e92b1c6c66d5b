//! Prime codes of tokens: the primes of their parts, and of their path in the output tree.
//!
//! The code of a token's parts is the product of the primes of its features ([`Codes`]): the
//! greatest common divisor of two codes has the features that the tokens share. With a factored
//! output layer a token also has a path, its class and its index within the class, whose integer is
//! the product of a class prime and a member prime. Factorising an integer recovers the features or
//! the path.

use super::morphemes::Codes;
use lattice::{FactorCode, PrimeBase};

/// The codes of all tokens of a vocabulary, by their parts.
#[derive(Clone, Debug)]
pub struct PrimeCodes {
    base: PrimeBase,
    codes: Vec<FactorCode>,
}

impl PrimeCodes {
    /// The integers of `codes`: feature i has prime i.
    pub fn new(codes: &Codes) -> PrimeCodes {
        let base = PrimeBase::first(codes.features().len());
        let ids = 0..codes.n_tokens() as u32;
        let codes = ids.map(|id| product(&base, codes.of(id))).collect();
        PrimeCodes { base, codes }
    }

    /// The codes of all tokens, by id.
    pub fn all(&self) -> &[FactorCode] {
        &self.codes
    }

    /// The code of a text outside the vocabulary ([`Codes::code_text`]): its known features, and
    /// `n_unknown` others with primes that no token has.
    ///
    /// # Panics
    /// If a feature does not exist or occurs twice.
    pub fn of_text(&self, features: &[u32], n_unknown: usize) -> FactorCode {
        let n_known = self.base.len();
        let base = PrimeBase::first(n_known + n_unknown);
        let indices = features.iter().map(|&feature| feature as usize);
        FactorCode::from_indices(&base, indices.chain(n_known..base.len()))
            .expect("a code holds each feature once")
    }

    /// The prime of a feature.
    ///
    /// # Panics
    /// If there is no such feature.
    pub fn prime(&self, feature: u32) -> u64 {
        self.base.prime(feature as usize)
    }

    /// The feature with this prime, if any.
    pub fn feature(&self, prime: u64) -> Option<u32> {
        self.base.index(prime).map(|index| index as u32)
    }

    /// The primes of all features, ascending.
    pub fn primes(&self) -> &[u64] {
        self.base.primes()
    }
}

fn product(base: &PrimeBase, features: &[u32]) -> FactorCode {
    let indices = features.iter().map(|&feature| feature as usize);
    FactorCode::from_indices(base, indices).expect("a code holds each feature once")
}

/// The path of a token in the output tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPath {
    /// The class.
    pub class: usize,
    /// The index within the class.
    pub member: usize,
    /// The prime of the class.
    pub class_prime: u64,
    /// The prime of the index.
    pub member_prime: u64,
}

impl TokenPath {
    /// Class prime times member prime.
    pub fn code(&self) -> FactorCode {
        FactorCode::new([self.class_prime, self.member_prime]).expect("two different primes")
    }
}

/// The paths of a factored output layer. Classes have the first primes, indices within classes the
/// next. Both are in order of descending frequency, so frequent tokens have small integers.
#[derive(Clone, Debug)]
pub struct PathCodes {
    base: PrimeBase,
    starts: Vec<u32>,
}

impl PathCodes {
    /// The paths of contiguous classes: class c has the ids `starts[c]..starts[c + 1]`.
    ///
    /// # Panics
    /// If `starts` does not ascend strictly from 0.
    pub fn new(starts: &[u32]) -> PathCodes {
        let is_rising = starts.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(
            starts.first() == Some(&0) && is_rising,
            "PathCodes::new: starts do not rise from 0"
        );
        let largest = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let base = PrimeBase::first(starts.len() - 1 + largest as usize);
        PathCodes { base, starts: starts.to_vec() }
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The ids of a class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn members(&self, class: usize) -> std::ops::Range<u32> {
        self.starts[class]..self.starts[class + 1]
    }

    /// The path of a token.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn path(&self, id: u32) -> TokenPath {
        let class = self.starts.partition_point(|&start| start <= id) - 1;
        let member = (id - self.starts[class]) as usize;
        let member_prime = self.base.prime(self.n_classes() + member);
        TokenPath { class, member, class_prime: self.base.prime(class), member_prime }
    }

    /// The token whose path has these primes, if any: the inverse of [`PathCodes::path`].
    pub fn token(&self, code: &FactorCode) -> Option<u32> {
        let &[class_prime, member_prime] = code.primes() else { return None };
        let class = self.base.index(class_prime).filter(|&class| class < self.n_classes())?;
        let member = self.base.index(member_prime)?.checked_sub(self.n_classes())?;
        let ids = self.members(class);
        let id = ids.start + member as u32;
        ids.contains(&id).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Control;
    use crate::vocab::morphemes::Token;

    #[test]
    fn factorising_a_code_gives_the_parts_back() {
        let words = ["walk", "walks", "walked", "talk", "talks", "talked", "jump", "jumps", "7"];
        let tokens =
            words.map(|word| Token { bytes: word.as_bytes(), count: 1, is_special: false });
        let codes = Codes::learn(&tokens, &mut Control::threads(1)).unwrap();
        let primes = PrimeCodes::new(&codes);
        for (id, code) in (0..).zip(primes.all()) {
            let integer = code.integer();
            let again = FactorCode::from_integer_over(&integer, primes.primes()).unwrap();
            let features: Vec<u32> =
                again.primes().iter().map(|&p| primes.feature(p).unwrap()).collect();
            assert_eq!(features, codes.of(id));
            assert!(features.iter().all(|&f| primes.feature(primes.prime(f)) == Some(f)));
            assert_eq!(&primes.of_text(&features, 0), code);
            let unknown = primes.of_text(&features, 2);
            assert_eq!(&unknown.gcd(code), code);
            assert_eq!(unknown.primes().len(), features.len() + 2);
        }
        assert_eq!(primes.feature(4), None);
    }

    #[test]
    fn paths_and_tokens_are_inverse() {
        let paths = PathCodes::new(&[0, 3, 4, 9]);
        for id in 0..9 {
            let path = paths.path(id);
            assert!(paths.members(path.class).contains(&id));
            assert_eq!(paths.token(&path.code()), Some(id));
        }
        let first = paths.path(0);
        assert_eq!((first.class_prime, first.member_prime), (2, 7));
        assert_eq!(
            paths.path(8),
            TokenPath { class: 2, member: 4, class_prime: 5, member_prime: 19 }
        );
        // The class of one token has no second member; 2 and 3 are both class primes; 23 is not
        // used.
        for primes in [&[3, 11][..], &[2, 3], &[2, 23], &[2], &[2, 3, 7], &[7, 11]] {
            let code = FactorCode::new(primes.iter().copied()).unwrap();
            assert_eq!(paths.token(&code), None, "{primes:?}");
        }
    }
}
