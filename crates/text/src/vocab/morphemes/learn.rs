//! Morpheme learning: expectation maximisation over derivations of words, with pruning by
//! description length.
//!
//! Words are modelled as points of Poisson processes, one for each source: N roots spelt like other
//! roots (`spelling`); from every word p and suffix s, rate(s) * productivity(p) * share of the
//! change; likewise from stems that are not words, each of which exists with some probability;
//! prefixes; compounds (`rates`). A word belongs to a source with the probability (rate of the
//! source) / (sum of the rates), which is the E step; the M step counts. No word is evidence for
//! itself: its own share is subtracted from the counts that explain it.
//!
//! After some rounds an affix or a change rule must have saved more bits than its letters and its
//! rate cost (half the logarithm of the number of words; Rissanen, "Modeling by shortest data
//! description", Automatica 1978), or it is dropped. Similar aims: Creutz and Lagus ("Unsupervised
//! discovery of morphemes", 2002) and Goldsmith ("Unsupervised learning of the morphology of a
//! natural language", 2001).

use super::change::{Change, ChangeRates, ChangeRule};
use super::error::MorphemeError;
use super::interned::Interned;
use super::rates::{Joining, Magnitudes, Productivity};
use super::spelling::Spelling;
use super::ways::{CandidateWays, Choice, Way};
use super::words::Words;
use crate::tokenizer::Control;
use std::sync::atomic::Ordering;

/// Rounds before each pruning, and after the last.
const ROUNDS: [usize; 4] = [4, 3, 4, 3];
/// Compounds are tried only once the affixes are settled.
const JOINED_AFTER: usize = 2;
/// Number of rates that a suffix must pay for: its own, and three changes before it. With fewer,
/// chance endings of names survive.
const RATES_OF_SUFFIX: f64 = 4.0;
/// Number of rates that a prefix must pay for; with one, chance beginnings survive.
const RATES_OF_PREFIX: f64 = 2.0;
/// Derivations with a smaller share are pruned.
const SHARE_MIN: f64 = 1e-3;
/// Prior share of affixed words that are real.
const START_SHARE: f64 = 0.5;
/// Prior probability that a possible stem exists.
const START_EXISTS: f64 = 0.1;
/// Prior factor by which bound stems are rarer than others: they could explain every ending that
/// several words share.
const LATENT_PRIOR: f64 = 0.03;
/// Largest number of bound stems per root.
const LATENT_RATE_MAX: f64 = 10.0;

/// Result of learning.
#[derive(Debug)]
pub(super) struct LearntParts {
    /// The derivation of each word, `None` for a root.
    pub(super) chosen: Vec<Option<Way>>,
    pub(super) suffixes: Interned<Box<str>>,
    /// Expected number of words with each suffix per base; 0 for pruned suffixes.
    pub(super) suffix_rates: Vec<f64>,
    pub(super) prefixes: Interned<Box<str>>,
    pub(super) prefix_rates: Vec<f64>,
    /// Stems that are no words.
    pub(super) stems: Vec<Box<str>>,
    pub(super) changes: ChangeRates,
    /// Mean of -ln P over the characters of roots, in nats.
    pub(super) nats_per_char: f64,
    /// Compounds of two words.
    pub(super) n_joined: f64,
}

/// Learns the derivations of all words.
///
/// # Errors
/// [`MorphemeError::Cancelled`].
pub(super) fn learn(words: &Words, control: &mut Control) -> Result<LearntParts, MorphemeError> {
    let n_rounds = ROUNDS.iter().sum::<usize>() as u64 + 1;
    let mut n_done = 0;
    let mut round_done = |control: &mut Control| {
        n_done += 1;
        if let Some(progress) = &mut control.progress {
            progress(n_done, n_rounds);
        }
        match control.cancel {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(MorphemeError::Cancelled),
            _ => Ok(()),
        }
    };
    let mut learner = Learner::new(words);
    round_done(control)?;
    for (stage, rounds) in ROUNDS.into_iter().enumerate() {
        if stage > 0 {
            learner.prune();
        }
        if stage == JOINED_AFTER {
            learner.found.add_joined(words);
            learner.start_joined();
        }
        for _ in 0..rounds {
            learner.expect();
            learner.maximise();
            round_done(control)?;
        }
    }
    Ok(learner.finish())
}

struct Learner<'w, 'a> {
    words: &'w Words<'a>,
    found: CandidateWays,
    /// Spelling model of the words, then of the stems that are not words.
    spelling: Spelling,
    /// Probability of each word of being a root, and the sum of the rates of all its sources.
    roots: Vec<f64>,
    totals: Vec<f64>,
    n_roots: f64,
    n_suffix: Vec<f64>,
    n_prefix: Vec<f64>,
    /// Bases of suffixes, by their productivity.
    n_bases: f64,
    productivity: Productivity,
    /// Expected number of suffixed words from each word, and from each stem that is not a word.
    n_made: Vec<f64>,
    n_made_latent: Vec<f64>,
    /// Probability that each stem that is not a word exists.
    exists: Vec<f64>,
    of_roots: Magnitudes,
    of_suffixed: Magnitudes,
    of_prefixed: Magnitudes,
    joining: Joining,
}

impl<'w, 'a> Learner<'w, 'a> {
    fn new(words: &'w Words<'a>) -> Learner<'w, 'a> {
        let mut found = CandidateWays::new(words);
        let n_words = words.len();
        let latent = found.stems.iter().map(|stem| &**stem);
        let mut spelling = Spelling::new(words.texts.iter().copied().chain(latent));
        let exists = vec![START_EXISTS; found.stems.len()];
        spelling.fit(std::iter::repeat_n(1.0, n_words).chain(exists.iter().copied()));

        let mut n_suffix = vec![0.0; found.suffixes.len()];
        let mut n_prefix = vec![0.0; found.prefixes.len()];
        for choices in &found.choices {
            for (i, choice) in choices.iter().enumerate() {
                let affix = |way| match way {
                    Way::Suffix { suffix, .. } | Way::Latent { suffix, .. } => (suffix, true),
                    Way::Prefix { prefix, .. } => (prefix, false),
                    Way::Joined { .. } => unreachable!("joined words come later"),
                };
                let (number, is_suffix) = affix(choice.way);
                if choices[..i].iter().all(|other| affix(other.way) != (number, is_suffix)) {
                    let counts = if is_suffix { &mut n_suffix } else { &mut n_prefix };
                    counts[number as usize] += START_SHARE;
                }
            }
        }
        let n_bases = n_words.max(1) as f64;
        let n_site = vec![0.0; found.changes.n_sites()];
        found.changes.fit(&n_site);
        Learner {
            words,
            spelling,
            roots: vec![1.0; n_words],
            totals: vec![0.0; n_words],
            n_roots: n_words as f64,
            productivity: Productivity::new(n_suffix.iter().sum::<f64>() / n_bases),
            n_suffix,
            n_prefix,
            n_bases,
            n_made: vec![0.0; n_words],
            n_made_latent: vec![0.0; exists.len()],
            exists,
            of_roots: Magnitudes::default(),
            of_suffixed: Magnitudes::default(),
            of_prefixed: Magnitudes::default(),
            joining: Joining::new(n_words, 0.0),
            found,
        }
    }

    /// E step: the share of each word's sources.
    fn expect(&mut self) {
        let mut rates = Vec::new();
        for id in 0..self.words.len() {
            let root = self.root_rate(id);
            rates.clear();
            rates.extend(self.found.choices[id].iter().map(|&choice| self.rate(id, choice)));
            let total = root + rates.iter().sum::<f64>();
            self.roots[id] = root / total;
            self.totals[id] = total;
            for (choice, rate) in self.found.choices[id].iter_mut().zip(&rates) {
                choice.share = rate / total;
            }
        }
    }

    /// Assigns to compounds the share that their words had as roots.
    fn start_joined(&mut self) {
        for (choices, root) in self.found.choices.iter_mut().zip(&mut self.roots) {
            let is_joined = |choice: &&mut Choice| matches!(choice.way, Way::Joined { .. });
            let n_ways = choices.iter_mut().filter(is_joined).count() as f64;
            let share = START_SHARE * *root / n_ways.max(1.0);
            choices.iter_mut().filter(is_joined).for_each(|choice| choice.share = share);
        }
        self.fit_joined();
    }

    /// Expected number of roots that are spelt like word `id`.
    fn root_rate(&self, id: usize) -> f64 {
        let spelt = self.spelling.ln_probability(id, self.roots[id]).exp();
        let rate = self.n_roots * spelt * self.of_roots.share(self.words.bins[id], 0);
        // The sum of the rates must stay a number that can be divided by.
        rate.max(1e-200)
    }

    /// Rate at which this derivation produces word `id`.
    fn rate(&self, id: usize, Choice { way, share: own }: Choice) -> f64 {
        let bin = self.words.bins[id];
        match way {
            Way::Suffix { base, suffix, site } => {
                let base = base as usize;
                let productivity =
                    self.productivity.of(self.words.n_chars[base], self.n_made[base] - own);
                self.suffix_rate(suffix, own)
                    * productivity
                    * self.found.changes.rate(site, own)
                    * self.of_suffixed.share(bin, self.words.bins[base])
            }
            Way::Latent { stem, suffix } => {
                self.exists[stem as usize] * self.latent_rate(id, stem, suffix, own)
            }
            Way::Prefix { base, prefix } => {
                let base_bin = self.words.bins[base as usize];
                let n_others = (self.n_prefix[prefix as usize] - own).max(0.0);
                n_others / self.words.len() as f64 * self.of_prefixed.share(bin, base_bin)
            }
            Way::Joined { left, right } => {
                self.joining.rate(left, right, own) * self.of_roots.share(bin, 0)
            }
        }
    }

    /// Words expected of a suffix for each base of productivity 1.
    fn suffix_rate(&self, suffix: u32, own: f64) -> f64 {
        (self.n_suffix[suffix as usize] - own).max(0.0) / self.n_bases
    }

    /// The rate of a word from a stem that is not a word, if the stem exists.
    fn latent_rate(&self, id: usize, stem: u32, suffix: u32, own: f64) -> f64 {
        let n_chars = self.found.stems[stem as usize].chars().count().min(255) as u8;
        let others = self.n_made_latent[stem as usize] - own;
        self.suffix_rate(suffix, own)
            * self.productivity.of(n_chars, others)
            * self.of_roots.share(self.words.bins[id], 0)
    }

    /// M step: all rates from the shares.
    fn maximise(&mut self) {
        self.fit_latent();
        let words = self.words;
        let choices = &self.found.choices;
        let mut n_suffix = vec![0.0; self.n_suffix.len()];
        let mut n_prefix = vec![0.0; self.n_prefix.len()];
        let mut n_site = vec![0.0; self.found.changes.n_sites()];
        self.n_made.fill(0.0);
        self.n_made_latent.fill(0.0);
        for &Choice { way, share } in choices.iter().flatten() {
            match way {
                Way::Suffix { base, suffix, site } => {
                    n_suffix[suffix as usize] += share;
                    n_site[site as usize] += share;
                    self.n_made[base as usize] += share;
                }
                Way::Latent { stem, suffix } => {
                    n_suffix[suffix as usize] += share;
                    self.n_made_latent[stem as usize] += share;
                }
                Way::Prefix { prefix, .. } => n_prefix[prefix as usize] += share,
                Way::Joined { .. } => {}
            }
        }
        self.fit_joined();
        self.fit_magnitudes();
        self.found.changes.fit(&n_site);

        self.n_bases = self.productivity_in_all().max(1.0);
        (self.n_suffix, self.n_prefix) = (n_suffix, n_prefix);
        let expected = self.n_suffix.iter().sum::<f64>() / self.n_bases;
        let bases = words.n_chars.iter().copied().zip(self.n_made.iter().copied());
        self.productivity.fit(expected, bases);
        self.n_roots = self.roots.iter().sum();
        self.spelling.fit(self.roots.iter().chain(&self.exists).copied());
    }

    /// Sum of the productivities of all bases in the E step.
    fn productivity_in_all(&self) -> f64 {
        let of_word = |(&n_chars, &n)| self.productivity.of(n_chars, n);
        let words: f64 = self.words.n_chars.iter().zip(&self.n_made).map(of_word).sum();
        let of_stem = |stem: usize| {
            let n_chars = self.found.stems[stem].chars().count().min(255) as u8;
            self.exists[stem] * self.productivity.of(n_chars, self.n_made_latent[stem])
        };
        words + (0..self.exists.len()).map(of_stem).sum::<f64>()
    }

    fn fit_joined(&mut self) {
        let joined = self.found.choices.iter().flatten().filter_map(|choice| match choice.way {
            Way::Joined { left, right } => Some((left, right, choice.share)),
            _ => None,
        });
        self.joining.fit(joined);
    }

    fn fit_magnitudes(&mut self) {
        let bins = &self.words.bins;
        let choices = &self.found.choices;
        let roots = bins.iter().zip(&self.roots).map(|(&bin, &root)| (bin, 0, root));
        self.of_roots.fit(roots);
        let shares = |id: usize| choices[id].iter().map(move |&choice| (id, choice));
        let suffixed =
            (0..bins.len()).flat_map(shares).filter_map(|(id, choice)| match choice.way {
                Way::Suffix { base, .. } => Some((bins[id], bins[base as usize], choice.share)),
                _ => None,
            });
        self.of_suffixed.fit(suffixed);
        let prefixed =
            (0..bins.len()).flat_map(shares).filter_map(|(id, choice)| match choice.way {
                Way::Prefix { base, .. } => Some((bins[id], bins[base as usize], choice.share)),
                _ => None,
            });
        self.of_prefixed.fit(prefixed);
    }

    /// Probability of each stem that is not a word: how much better it explains its words than
    /// their other sources, against the prior of such a string being a stem.
    fn fit_latent(&mut self) {
        let mut evidence = vec![self.productivity.ln_nothing(); self.exists.len()];
        for (id, choices) in self.found.choices.iter().enumerate() {
            for choice in choices {
                if let Way::Latent { stem, .. } = choice.way {
                    let exists = self.exists[stem as usize];
                    let explained = choice.share * self.totals[id];
                    let others = (self.totals[id] - explained).max(1e-200);
                    evidence[stem as usize] += (explained / exists / others).ln_1p();
                }
            }
        }
        let latent_rate = self.exists.iter().sum::<f64>() / self.n_roots.max(1.0);
        let n_latent = latent_rate.min(LATENT_RATE_MAX) * self.n_roots;
        let n_words = self.words.len();
        for (stem, evidence) in evidence.iter().enumerate() {
            let spelt = self.spelling.ln_probability(n_words + stem, self.exists[stem]);
            let log_odds = (LATENT_PRIOR * n_latent.max(1.0)).ln() + spelt + evidence;
            // Away from 0, since the evidence is divided by it.
            self.exists[stem] = (1.0 / (1.0 + (-log_odds).exp())).max(1e-9);
        }
    }

    /// Drops affixes and changes that save fewer bits than they cost, and derivations without
    /// weight.
    fn prune(&mut self) {
        let suffix_bits = self.bits(self.found.suffixes.len(), |way| match way {
            Way::Suffix { suffix, .. } | Way::Latent { suffix, .. } => Some(suffix),
            _ => None,
        });
        let prefix_bits = self.bits(self.found.prefixes.len(), |way| match way {
            Way::Prefix { prefix, .. } => Some(prefix),
            _ => None,
        });
        let (letter, rate) = self.costs();
        let spelt = |text: &str| (text.chars().count() + 1) as f64 * letter;
        let pays = |texts: &Interned<Box<str>>, bits: &[f64], n_rates: f64| -> Vec<bool> {
            let costs = texts.values().iter().map(|text| spelt(text) + n_rates * rate);
            costs.zip(bits).map(|(cost, &bits)| bits > cost).collect()
        };
        let keep_suffix = pays(&self.found.suffixes, &suffix_bits, RATES_OF_SUFFIX);
        let keep_prefix = pays(&self.found.prefixes, &prefix_bits, RATES_OF_PREFIX);
        let keep_site = self.changes_that_pay();
        for choices in &mut self.found.choices {
            choices.retain(|choice| {
                let pays = match choice.way {
                    Way::Suffix { suffix, site, .. } => {
                        keep_suffix[suffix as usize] && keep_site[site as usize]
                    }
                    Way::Latent { suffix, .. } => keep_suffix[suffix as usize],
                    Way::Prefix { prefix, .. } => keep_prefix[prefix as usize],
                    Way::Joined { .. } => true,
                };
                pays && choice.share >= SHARE_MIN
            });
        }
    }

    /// Bits that a letter and a rate cost.
    fn costs(&self) -> (f64, f64) {
        let letter = (self.spelling.alphabet_len() as f64 + 1.0).log2();
        (letter, 0.5 * (self.words.len().max(2) as f64).log2())
    }

    /// Sites that remain in use: those of a rule that pays for itself, before a suffix for which
    /// naming the rule pays. Doubling is one rule for all characters.
    fn changes_that_pay(&self) -> Vec<bool> {
        let changes = &self.found.changes;
        let (letter, rate) = self.costs();
        let mut groups: Interned<(Option<u32>, Option<char>, Change)> = Interned::default();
        let group = |suffix, (last, change): ChangeRule| {
            (suffix, Some(last).filter(|_| change != Change::Double), change)
        };
        let sites: Vec<(u32, u32)> = (0..changes.n_sites() as u32)
            .map(|site| {
                let rule = changes.rule(changes.rule_of(site));
                let suffix = changes.suffix_of(site);
                (groups.id(group(None, rule)), groups.id(group(Some(suffix), rule)))
            })
            .collect();
        let site_of = |way| match way {
            Way::Suffix { site, .. } => Some(sites[site as usize]),
            _ => None,
        };
        let by_rule = self.bits(groups.len(), |way| site_of(way).map(|(rule, _)| rule));
        let by_site = self.bits(groups.len(), |way| site_of(way).map(|(_, site)| site));
        let name = (self.found.suffixes.len().max(2) as f64).log2();
        let pays = |&(rule, site): &(u32, u32)| {
            let (_, last, change) = *groups.get(rule);
            let n_letters = 1 + last.is_some() as u32 + matches!(change, Change::Replace(_)) as u32;
            change == Change::Keep
                || (by_rule[rule as usize] > f64::from(n_letters) * letter + rate
                    && by_site[site as usize] > name)
        };
        sites.iter().map(pays).collect()
    }

    /// The bits by which all words would cost more without each of `n` items; `part` gives the item
    /// that a derivation uses.
    fn bits(&self, n: usize, part: impl Fn(Way) -> Option<u32>) -> Vec<f64> {
        // Without any other source a word could still be spelt out.
        const LEFT_MIN: f64 = 1.0 / (1u64 << 20) as f64;
        let mut bits = vec![0.0; n];
        for choices in &self.found.choices {
            for (i, choice) in choices.iter().enumerate() {
                let Some(used) = part(choice.way) else { continue };
                let is_same = |other: &&Choice| part(other.way) == Some(used);
                if !choices[..i].iter().any(|other| is_same(&other)) {
                    let share: f64 = choices[i..].iter().filter(is_same).map(|c| c.share).sum();
                    bits[used as usize] -= (1.0 - share).max(LEFT_MIN).log2();
                }
            }
        }
        bits
    }

    /// The likelier of root and best derivation, for each word.
    fn finish(self) -> LearntParts {
        let weights = self.roots.iter().chain(&self.exists).copied();
        let n_words = self.words.len().max(1) as f64;
        let nats_per_char = self.spelling.nats_per_char(weights);
        let choose = |(choices, &root): (&Vec<Choice>, &f64)| {
            let better = |a: Choice, b: &Choice| if b.share > a.share { *b } else { a };
            let first = choices.first().filter(|_| root < 0.5)?;
            Some(choices.iter().fold(*first, better).way)
        };
        LearntParts {
            chosen: self.found.choices.iter().zip(&self.roots).map(choose).collect(),
            suffixes: self.found.suffixes,
            suffix_rates: self.n_suffix.iter().map(|n| n / self.n_bases).collect(),
            prefixes: self.found.prefixes,
            prefix_rates: self.n_prefix.iter().map(|n| n / n_words).collect(),
            stems: self.found.stems,
            changes: self.found.changes,
            nats_per_char,
            n_joined: self.joining.n,
        }
    }
}
