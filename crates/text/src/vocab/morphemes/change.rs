//! Changes of the end of a word before a suffix, with rates learnt from the words.
//!
//! Four language-independent kinds of change are tried: the word stays, or its last character is
//! doubled, dropped, or replaced. Each is counted for every suffix and last character, smoothed by
//! the counts of the last character alone, so that *carried* and *happiest* help to analyse
//! *cities*.

use super::interned::Interned;
use super::words::split_last;
use serde::{Deserialize, Serialize};

/// Change of the last character of a word before a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// walk, walk-ing.
    Keep,
    /// run, runn-ing.
    Double,
    /// make, mak-ing.
    Drop,
    /// city, citi-es: replaced by this character.
    Replace(char),
}

impl Change {
    /// `word` after the change; an empty word does not change.
    pub fn apply(self, word: &str) -> String {
        match (self, split_last(word)) {
            (Change::Keep, _) | (_, None) => word.to_owned(),
            (Change::Double, Some((_, last))) => format!("{word}{last}"),
            (Change::Drop, Some((head, _))) => head.to_owned(),
            (Change::Replace(by), Some((head, _))) => format!("{head}{by}"),
        }
    }

    /// Prior share of a change.
    fn prior(self) -> f64 {
        match self {
            Change::Keep => 0.80,
            Change::Double => 0.08,
            Change::Drop => 0.08,
            // For one of perhaps twenty characters.
            Change::Replace(_) => 0.04 / 20.0,
        }
    }
}

/// A change of one character: the character and its change.
pub(super) type ChangeRule = (char, Change);

/// Weight of the prior against the counts of a character.
const PRIOR_WEIGHT: f64 = 10.0;
/// Weight of the counts of a character against those of a suffix and a character.
const RULE_WEIGHT: f64 = 10.0;

/// The share of each change at each site: after a character and before a suffix.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangeRates {
    sites: Interned<(u32, u32)>,
    rules: Interned<ChangeRule>,
    contexts: Interned<(u32, char)>,
    lasts: Interned<char>,
    counts: Vec<SiteCounts>,
}

/// Count of each site, and the counts it is divided by.
#[derive(Clone, Copy, Debug)]
struct SiteCounts {
    n: f64,
    n_context: f64,
    n_rule: f64,
    n_last: f64,
}

impl ChangeRates {
    /// The number of the site of `rule` before `suffix`.
    pub(super) fn site(&mut self, suffix: u32, rule: ChangeRule) -> u32 {
        self.lasts.id(rule.0);
        self.contexts.id((suffix, rule.0));
        let rule = self.rules.id(rule);
        self.sites.id((suffix, rule))
    }

    /// The rule used at a site.
    pub(super) fn rule_of(&self, site: u32) -> u32 {
        self.sites.get(site).1
    }

    /// The suffix of a site.
    pub(super) fn suffix_of(&self, site: u32) -> u32 {
        self.sites.get(site).0
    }

    /// The rule numbered `rule`.
    pub(super) fn rule(&self, rule: u32) -> ChangeRule {
        *self.rules.get(rule)
    }

    /// Number of sites.
    pub(super) fn n_sites(&self) -> usize {
        self.sites.len()
    }

    /// The share of a site's change among all changes before its suffix after its character, not
    /// counting the share `own` of one word.
    pub(super) fn rate(&self, site: u32, own: f64) -> f64 {
        let rule = self.rule_of(site);
        let counts = self.counts[site as usize];
        let left = |n: f64| (n - own).max(0.0);
        let backing = (left(counts.n_rule) + PRIOR_WEIGHT * self.rule(rule).1.prior())
            / (left(counts.n_last) + PRIOR_WEIGHT);
        (left(counts.n) + RULE_WEIGHT * backing) / (left(counts.n_context) + RULE_WEIGHT)
    }

    /// Sets the rates from the count of each site.
    pub(super) fn fit(&mut self, n_site: &[f64]) {
        let mut n_rule = vec![0.0; self.rules.len()];
        let mut n_context = vec![0.0; self.contexts.len()];
        let mut n_last = vec![0.0; self.lasts.len()];
        let places = |suffix: u32, last: char| {
            let context = self.contexts.find(&(suffix, last)).expect("entered with its site");
            let last = self.lasts.find(&last).expect("entered with its site");
            (context as usize, last as usize)
        };
        for (&(suffix, rule), &n) in self.sites.values().iter().zip(n_site) {
            let (context, last) = places(suffix, self.rule(rule).0);
            n_rule[rule as usize] += n;
            n_context[context] += n;
            n_last[last] += n;
        }
        let counts = self.sites.values().iter().zip(n_site).map(|(&(suffix, rule), &n)| {
            let (context, last) = places(suffix, self.rule(rule).0);
            let n_rule = n_rule[rule as usize];
            SiteCounts { n, n_context: n_context[context], n_rule, n_last: n_last[last] }
        });
        self.counts = counts.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_applied_to_words() {
        for (word, change, expected) in [
            ("walk", Change::Keep, "walk"),
            ("run", Change::Double, "runn"),
            ("make", Change::Drop, "mak"),
            ("city", Change::Replace('i'), "citi"),
            ("né", Change::Double, "néé"),
            ("", Change::Drop, ""),
        ] {
            assert_eq!(change.apply(word), expected);
        }
    }

    #[test]
    fn counts_after_a_character_apply_to_suffixes_not_seen_there() {
        let mut rates = ChangeRates::default();
        let seen = rates.site(0, ('y', Change::Replace('i')));
        let kept = rates.site(0, ('y', Change::Keep));
        let other = rates.site(1, ('y', Change::Replace('i')));
        let elsewhere = rates.site(1, ('k', Change::Replace('i')));
        let mut n_site = vec![0.0; rates.n_sites()];
        rates.fit(&n_site);
        assert!(rates.rate(kept, 0.0) > rates.rate(seen, 0.0));
        n_site[seen as usize] = 50.0;
        rates.fit(&n_site);
        assert!(rates.rate(seen, 0.0) > 0.8 && rates.rate(other, 0.0) > 0.8);
        assert!(rates.rate(elsewhere, 0.0) < 0.01);
        assert!(rates.rate(seen, 50.0) < 0.01);
    }
}
