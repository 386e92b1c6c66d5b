//! Rates fitted while learning: of counts, of bases by their length, of compounds.

/// Largest binary logarithm of counts that is distinguished.
const BIN_MAX: usize = 64;
/// Pseudo-count of every bin, against bins that are empty by chance.
const BIN_START: f64 = 0.5;

/// Distribution of word counts in binary orders of magnitude, absolute or relative to the base.
///
/// A word that is far more frequent than its apparent base (*number* from *numb*) is an unlikely
/// derivation, to the extent that other words of the vocabulary show this.
#[derive(Clone, Debug)]
pub(super) struct Magnitudes {
    shares: Vec<f64>,
}

impl Default for Magnitudes {
    /// Uniform, until it is fitted.
    fn default() -> Magnitudes {
        Magnitudes { shares: vec![1.0; 2 * BIN_MAX + 1] }
    }
}

impl Magnitudes {
    /// The share of words whose bin is `bin` above that of their base (or above 0).
    pub(super) fn share(&self, bin: u8, base_bin: u8) -> f64 {
        self.shares[place(bin, base_bin)]
    }

    /// Fits the shares to weighted words: bin, bin of the base, weight.
    pub(super) fn fit(&mut self, words: impl Iterator<Item = (u8, u8, f64)>) {
        self.shares.fill(0.0);
        let (mut first, mut last, mut sum) = (self.shares.len(), 0, 0.0);
        for (bin, base_bin, weight) in words {
            let at = place(bin, base_bin);
            self.shares[at] += weight;
            sum += weight;
            (first, last) = (first.min(at), last.max(at));
        }
        // Only bins between those that occur get a pseudo-count, so that a vocabulary without
        // counts, all in one bin, is judged by spelling alone.
        let n_bins = last.saturating_sub(first) as f64 + 1.0;
        for (at, share) in self.shares.iter_mut().enumerate() {
            let nearest = at.clamp(first.min(last), last.max(first.min(last)));
            let start = if at == nearest { BIN_START } else { BIN_START / 2.0 };
            *share = (*share + start) / (sum + n_bins * BIN_START);
        }
    }
}

fn place(bin: u8, base_bin: u8) -> usize {
    BIN_MAX + (bin as usize).min(BIN_MAX) - (base_bin as usize).min(BIN_MAX)
}

/// Shape of the Gamma distribution of productivities of bases: small is uneven.
const SHAPE: f64 = 0.5;
/// Bases of at least this number of characters are treated alike.
const LEN_MAX: usize = 12;

/// Productivity of a base relative to the mean. It is higher if other words were made from the base
/// (the mean of a Gamma-Poisson posterior), and depends on its length, since short words begin many
/// others by chance.
#[derive(Clone, Debug)]
pub(super) struct Productivity {
    by_len: [f64; LEN_MAX + 1],
    /// Words expected from a base of productivity 1.
    expected: f64,
}

impl Productivity {
    /// Productivity for bases with `expected` words on average.
    pub(super) fn new(expected: f64) -> Productivity {
        Productivity { by_len: [1.0; LEN_MAX + 1], expected }
    }

    /// The productivity of a base of `n_chars` from which `n_others` other words were made.
    pub(super) fn of(&self, n_chars: u8, n_others: f64) -> f64 {
        let by_len = self.by_len[(n_chars as usize).min(LEN_MAX)];
        (SHAPE + n_others.max(0.0)) / (SHAPE / by_len + self.expected)
    }

    /// The natural logarithm of the probability that nothing is made from a base.
    pub(super) fn ln_nothing(&self) -> f64 {
        -SHAPE * (1.0 + self.expected / SHAPE).ln()
    }

    /// Fits the factors of the lengths to bases, given as characters and words made from each.
    pub(super) fn fit(&mut self, expected: f64, bases: impl Iterator<Item = (u8, f64)>) {
        self.expected = expected;
        let (mut n_made, mut n_bases) = ([1.0; LEN_MAX + 1], [0.0; LEN_MAX + 1]);
        for (n_chars, n) in bases {
            let len = (n_chars as usize).min(LEN_MAX);
            n_made[len] += n;
            n_bases[len] += 1.0;
        }
        for len in 0..=LEN_MAX {
            // Wide bounds keep an empty length from having an effect.
            self.by_len[len] = (n_made[len] / (n_bases[len] * expected + 1.0)).clamp(0.01, 8.0);
        }
    }
}

/// Rate of compounds, and counts of each word as left and as right half.
#[derive(Clone, Debug, Default)]
pub(super) struct Joining {
    /// Total number of compounds.
    pub(super) n: f64,
    left: Vec<f64>,
    right: Vec<f64>,
}

impl Joining {
    /// Prior for `n_words` words, `n` of which are expected to be compounds.
    pub(super) fn new(n_words: usize, n: f64) -> Joining {
        Joining { n, left: vec![0.0; n_words], right: vec![0.0; n_words] }
    }

    /// Expected number of compounds of `left` and `right`, not counting `own`.
    ///
    /// With probability one half, a half is new in compounds: any of the words.
    pub(super) fn rate(&self, left: u32, right: u32, own: f64) -> f64 {
        let afresh = self.n + 1.0;
        let any = afresh / self.left.len().max(1) as f64;
        let share = |n: f64| ((n - own).max(0.0) + any) / ((self.n - own).max(0.0) + afresh);
        self.n * share(self.left[left as usize]) * share(self.right[right as usize])
    }

    /// Recounts compounds: left, right, weight.
    pub(super) fn fit(&mut self, joined: impl Iterator<Item = (u32, u32, f64)>) {
        self.n = 0.0;
        self.left.fill(0.0);
        self.right.fill(0.0);
        for (left, right, weight) in joined {
            self.n += weight;
            self.left[left as usize] += weight;
            self.right[right as usize] += weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_shares_of_the_words() {
        let mut magnitudes = Magnitudes::default();
        assert_eq!(magnitudes.share(3, 9), 1.0);
        magnitudes.fit([(3, 5, 10.0), (4, 6, 10.0), (4, 4, 5.0)].into_iter());
        assert!(magnitudes.share(3, 5) > 2.0 * magnitudes.share(3, 3));
        assert!(magnitudes.share(3, 3) > magnitudes.share(9, 3));
        magnitudes.fit([(0, 0, 7.0)].into_iter());
        assert_eq!(magnitudes.share(0, 0), 1.0);
        magnitudes.fit(std::iter::empty());
        assert!(magnitudes.share(0, 0).is_finite() && magnitudes.share(0, 0) > 0.0);
    }

    #[test]
    fn bases_of_other_words_are_more_productive() {
        let mut productivity = Productivity::new(1.0);
        assert!(productivity.of(4, 3.0) > 3.0 * productivity.of(4, 0.0));
        productivity.fit(1.0, [(2, 0.0), (2, 0.1), (2, 0.0), (5, 2.0), (5, 1.0)].into_iter());
        assert!(productivity.of(5, 0.0) > productivity.of(2, 0.0));
    }

    #[test]
    fn a_compound_is_no_evidence_for_itself() {
        let mut joining = Joining::new(100, 5.0);
        joining.fit([(1, 2, 1.0), (1, 3, 1.0), (1, 4, 1.0), (5, 6, 1.0)].into_iter());
        assert!(joining.rate(1, 2, 1.0) > 5.0 * joining.rate(5, 6, 1.0));
        assert!(joining.rate(5, 6, 0.0) > joining.rate(5, 6, 1.0));
    }
}
