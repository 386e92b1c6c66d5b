//! Sampler tests: both methods follow the settings, and sampling from a factored output layer
//! equals sampling from the whole distribution.
//!
//! Every setting is compared with the same setting on log-probabilities of all tokens, computed
//! exhaustively.

use super::by_class::Draw;
use super::candidates::Candidate;
use super::*;
use crate::generate::Session;
use crate::head::{Expansion, HeadConfig};
use crate::model::{InputLayer, Layout, ModelConfig, OwnedModel};
use kernels::{AlignedVec, Pool, Precision};

/// Tokens that a sampler draws from, likeliest first, with normalised probabilities.
impl Sampler {
    fn distribution(&mut self, logits: &[f32]) -> &[Candidate] {
        whole::keep(&self.rules, &mut self.candidates, logits);
        self.candidates.sort();
        self.candidates.as_slice()
    }

    fn factored_distribution(&mut self, classes: &mut Expansion) -> &[Candidate] {
        Draw::new(&self.rules, &mut self.candidates, &mut self.bounds, classes).keep();
        self.candidates.sort();
        self.candidates.as_slice()
    }

    /// Whether `token` may be chosen.
    fn keeps(&mut self, classes: &mut Expansion, token: u32) -> bool {
        Draw::new(&self.rules, &mut self.candidates, &mut self.bounds, classes).keeps(token)
    }
}

const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 2.5];

fn all() -> Sampling {
    let off = Sampling { top_k: 0, top_p: 1.0, ..Sampling::default() };
    Sampling { temperature: 1.0, ..off }
}

fn tokens(settings: Sampling) -> Vec<u32> {
    let mut sampler = Sampler::new(settings, 5).unwrap();
    sampler.distribution(&LOGITS).iter().map(|c| c.token).collect()
}

#[test]
fn each_setting_keeps_the_right_tokens() {
    assert_eq!(tokens(all()), [4, 1, 2, 0, 3]);
    assert_eq!(tokens(Sampling { temperature: 0.0, ..all() }), [4]);
    assert_eq!(tokens(Sampling { top_k: 2, ..all() }), [4, 1]);
    // Probabilities are about 0.50, 0.30, 0.11, 0.04, 0.01 (times 1 / 1.0).
    assert_eq!(tokens(Sampling { top_p: 0.6, ..all() }), [4, 1]);
    assert_eq!(tokens(Sampling { min_p: 0.2, ..all() }), [4, 1, 2]);
}

#[test]
fn draws_from_logits_follow_the_distribution() {
    let mut sampler = Sampler::new(all(), 5).unwrap();
    let expected: Vec<_> = sampler.distribution(&LOGITS).to_vec();
    let n = 20_000;
    let mut counts = [0u32; 5];
    (0..n).for_each(|i| counts[sampler.choose(&mut Distribution::Whole(&LOGITS), i) as usize] += 1);
    for Candidate { score: p, token } in expected {
        // Five standard deviations of a binomial count.
        let sd = (n as f64 * p as f64 * (1.0 - p as f64)).sqrt();
        let difference = counts[token as usize] as f64 - n as f64 * p as f64;
        assert!(difference.abs() < 5.0 * sd, "token {token}: {difference} off, sd {sd}");
    }
}

#[test]
fn repetition_penalty_lowers_both_signs() {
    let settings = Sampling { repetition_penalty: 2.0, ..all() };
    let mut sampler = Sampler::new(settings, 5).unwrap();
    sampler.note(4);
    sampler.note(3);
    let order: Vec<_> = sampler.distribution(&LOGITS).iter().map(|c| c.token).collect();
    assert_eq!(order, [1, 4, 2, 0, 3]);
}

#[test]
fn bad_settings_are_named_and_bad_logits_survive() {
    let bad = Sampling { top_p: 0.0, ..all() };
    assert_eq!(Sampler::new(bad, 5).unwrap_err().field, "top_p");
    let nan = Sampling { temperature: f32::NAN, ..all() };
    assert_eq!(Sampler::new(nan, 5).unwrap_err().field, "temperature");
    let mut sampler = Sampler::new(all(), 3).unwrap();
    assert_eq!(
        sampler.choose(&mut Distribution::Whole(&[f32::NAN, f32::INFINITY, f32::NAN]), 0),
        1
    );
    sampler.choose(&mut Distribution::Whole(&[f32::NAN; 3]), 0);
}

const VOCAB: usize = 300;

/// Tokens that are penalised.
const SEEN: [u32; 6] = [3, 17, 44, 91, 92, 250];

/// First tokens of unequal classes, and the vocabulary's size.
const CLASS_STARTS: [u32; 10] = [0, 1, 4, 30, 31, 90, 200, 230, 299, 300];

fn model(pool: &mut Pool, precision: Precision) -> OwnedModel {
    model_of(pool, precision, &CLASS_STARTS)
}

/// A model with these classes, whose distributions are peaked enough for the limits to matter.
fn model_of(pool: &mut Pool, precision: Precision, class_starts: &[u32]) -> OwnedModel {
    let mut config = ModelConfig { seq_len: 64, ..ModelConfig::new(VOCAB, 32, 1, 4) };
    let class_starts = class_starts.to_vec();
    config.head = HeadConfig::Factor { class_starts };
    let layout = Layout::new(&config).unwrap();
    let mut params = AlignedVec::zeroed(layout.len);
    for (i, tensor) in layout.tensors.iter().enumerate() {
        let values = tensor.span.of_mut(&mut params);
        Rng::new(5, Purpose::Test, i as u64).fill_normal(values, 0, 0.4);
        if tensor.name.contains("norm") {
            values.fill(1.0);
        }
    }
    let inputs = InputLayer::new(&layout, None, None);
    OwnedModel::new(layout, params, inputs, precision, pool)
}

fn settings() -> Vec<Sampling> {
    let all = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, ..Sampling::default() };
    let limits = [
        all,
        Sampling { temperature: 0.0, ..all },
        Sampling { top_k: 1, ..all },
        Sampling { top_k: 7, ..all },
        Sampling { top_k: 250, ..all },
        Sampling { top_p: 0.1, ..all },
        Sampling { top_p: 0.6, ..all },
        Sampling { top_p: 0.97, ..all },
        Sampling { min_p: 0.05, ..all },
        Sampling { min_p: 0.9, ..all },
        Sampling { top_k: 20, top_p: 0.7, ..all },
        Sampling { top_p: 0.8, min_p: 0.1, ..all },
        Sampling { top_k: 40, top_p: 0.9, min_p: 0.02, ..all },
    ];
    let temperatures = [0.3, 1.0, 1.7];
    let penalties = [0.8, 1.0, 1.3];
    let with = |s: Sampling| {
        temperatures.into_iter().flat_map(move |t| {
            penalties.map(move |repetition_penalty| {
                let temperature = if s.temperature == 0.0 { 0.0 } else { t };
                Sampling { temperature, repetition_penalty, ..s }
            })
        })
    };
    limits.into_iter().flat_map(with).collect()
}

/// Two identical samplers that have seen the penalised tokens.
fn samplers(settings: Sampling) -> [Sampler; 2] {
    [(), ()].map(|()| {
        let mut sampler = Sampler::new(settings, VOCAB).unwrap();
        SEEN.iter().for_each(|seen| sampler.note(*seen));
        sampler
    })
}

/// Kept tokens and their normalised probabilities.
fn shares(kept: &[Candidate]) -> Vec<(u32, f64)> {
    let total: f64 = kept.iter().map(|c| c.score as f64).sum();
    kept.iter().map(|c| (c.token, c.score as f64 / total)).collect()
}

/// Difference of two lists of shares, if it exceeds the rounding of f32.
fn difference(found: &[(u32, f64)], expected: &[(u32, f64)]) -> Option<String> {
    if found.len() != expected.len() {
        return Some(format!("{} tokens are kept, not {}", found.len(), expected.len()));
    }
    let mut pairs = found.iter().zip(expected);
    // A share is a quotient of sums of up to V terms, each rounded by 2^-24.
    let bound = |p: f64| p * VOCAB as f64 * 2f64.powi(-23);
    let bad = pairs.find(|(a, b)| a.0 != b.0 || (a.1 - b.1).abs() > bound(b.1));
    bad.map(|(a, b)| format!("{a:?} instead of {b:?}"))
}

#[test]
fn both_methods_keep_the_same_tokens() {
    let mut pool = Pool::new(2);
    for precision in [Precision::F32, Precision::Bf16] {
        let model = model(&mut pool, precision);
        let mut session = Session::new(model.layout(), precision, 64, 2);
        let mut token = 7u32;
        for settings in settings() {
            let [mut lazy, mut whole] = samplers(settings);
            session.rewind(0);
            for _ in 0..3 {
                let log_p = session.feed(model.model(), &mut pool, &[token]).unwrap().to_vec();
                session.rewind(session.len() - 1);
                let next = session.feed_next(model.model(), &mut pool, &[token]).unwrap();
                let Distribution::ByClass(mut classes) = next else {
                    panic!("the layer is factored")
                };
                for is_forbidden in [|_| false, |token| token % 3 == 0 || token < 40] {
                    lazy.forbid(is_forbidden);
                    whole.forbid(is_forbidden);
                    let found = shares(lazy.factored_distribution(&mut classes));
                    let expected = shares(whole.distribution(&log_p));
                    assert_eq!(difference(&found, &expected), None, "{settings:?}");
                    assert!(found.iter().all(|(token, _)| !is_forbidden(*token)));
                }
                token = (token * 7 + 3) % VOCAB as u32;
            }
        }
    }
}

/// A sampler used with one model draws from another, which has as many classes but of other sizes,
/// exactly as a new sampler does.
#[test]
fn class_bounds_follow_a_change_of_model() {
    let mut pools = [Pool::new(1), Pool::new(1)];
    let other = [0, 110, 120, 121, 122, 125, 130, 131, 290, 300];
    let models = [&CLASS_STARTS, &other].map(|c| model_of(&mut pools[0], Precision::F32, c));
    let mut sessions = [0, 1].map(|i| Session::new(models[i].layout(), Precision::F32, 64, 1));
    let [first, second] = &mut sessions;
    let [pool, other_pool] = &mut pools;
    let mut first = first.feed_next(models[0].model(), pool, &[7]).unwrap();
    let mut second = second.feed_next(models[1].model(), other_pool, &[7]).unwrap();
    for temperature in [0.5, 1.7] {
        let settings = Sampling { temperature, top_k: 0, top_p: 1.0, ..Sampling::default() };
        let [mut used, mut new] = samplers(settings);
        used.choose(&mut first, 0);
        for position in 0..200 {
            let (found, expected) =
                (used.choose(&mut second, position), new.choose(&mut second, position));
            assert_eq!(found, expected, "temperature {temperature}, position {position}");
        }
    }
}

/// Decisions from bounds equal exhaustive decisions.
#[test]
fn a_token_is_kept_if_the_whole_distribution_keeps_it() {
    let mut pool = Pool::new(2);
    let model = model(&mut pool, Precision::F32);
    let mut session = Session::new(model.layout(), Precision::F32, 64, 2);
    let log_p = session.feed(model.model(), &mut pool, &[7]).unwrap().to_vec();
    session.rewind(0);
    let next = session.feed_next(model.model(), &mut pool, &[7]).unwrap();
    let Distribution::ByClass(mut classes) = next else { panic!("the layer is factored") };
    for settings in settings() {
        let [mut lazy, mut whole] = samplers(settings);
        let mut kept: Vec<u32> = (0..VOCAB as u32).collect();
        kept.retain(|token| lazy.keeps(&mut classes, *token));
        let distribution = whole.distribution(&log_p);
        let mut expected: Vec<u32> = distribution.iter().map(|c| c.token).collect();
        expected.sort_unstable();
        assert_eq!(kept, expected, "{settings:?}");
    }
}

/// The whole is a distribution: e^(log-probability) sums to 1.
#[test]
fn the_whole_sums_to_one() {
    let mut pool = Pool::new(1);
    let model = model(&mut pool, Precision::F32);
    let mut session = Session::new(model.layout(), Precision::F32, 64, 1);
    let log_p = session.feed(model.model(), &mut pool, &[1, 2, 3]).unwrap();
    let sum: f64 = log_p.iter().map(|x| (*x as f64).exp()).sum();
    assert!((sum - 1.0).abs() < VOCAB as f64 * 2f64.powi(-23), "{sum}");
}

/// Draws follow the distribution with either method.
#[test]
fn draws_follow_the_distribution() {
    let mut pool = Pool::new(1);
    let model = model(&mut pool, Precision::F32);
    let mut session = Session::new(model.layout(), Precision::F32, 64, 1);
    let log_p = session.feed(model.model(), &mut pool, &[5]).unwrap().to_vec();
    session.rewind(0);
    let mut next = session.feed_next(model.model(), &mut pool, &[5]).unwrap();
    let all = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, ..Sampling::default() };
    let cases = [
        all,
        Sampling { temperature: 0.6, ..all },
        Sampling { temperature: 1.8, repetition_penalty: 1.3, ..all },
        Sampling { repetition_penalty: 0.7, ..all },
        Sampling { top_k: 20, ..all },
        Sampling { temperature: 1.4, top_p: 0.8, ..all },
        Sampling { top_k: 40, temperature: 0.8, top_p: 0.9, min_p: 0.01, ..all },
        // So peaked that most proposals are rejected.
        Sampling { temperature: 0.1, ..all },
    ];
    for settings in cases {
        let mut sampler = Sampler::new(settings, VOCAB).unwrap();
        SEEN.iter().for_each(|seen| sampler.note(*seen));
        let likeliest = sampler.distribution(&log_p)[0].token;
        sampler.forbid(|token| settings.top_p < 1.0 && token == likeliest);
        let expected = shares(sampler.distribution(&log_p));
        let n = 10_000;
        let mut counts = vec![0u32; VOCAB];
        (0..n).for_each(|i| counts[sampler.choose(&mut next, i) as usize] += 1);
        assert_eq!(far_off(&counts, &expected, n), None, "{settings:?}");
        // Exchanging two tokens is detected.
        counts.swap(expected[0].0 as usize, expected[1].0 as usize);
        let is_seen = far_off(&counts, &expected, n).is_some();
        assert!(is_seen || (expected[0].1 - expected[1].1).abs() < 0.1, "{settings:?}");
    }
}

/// A token whose count in `n` draws is far from its share.
fn far_off(counts: &[u32], expected: &[(u32, f64)], n: usize) -> Option<String> {
    let mut shares = vec![0.0; counts.len()];
    expected.iter().for_each(|(token, p)| shares[*token as usize] = *p);
    let mut tokens = counts.iter().zip(shares).enumerate();
    let found = tokens.find(|(_, (count, p))| {
        // Six standard deviations of a binomial count, and one for small ones.
        let bound = 6.0 * (n as f64 * p * (1.0 - p)).sqrt() + if *p > 0.0 { 1.0 } else { 0.0 };
        (**count as f64 - n as f64 * p).abs() > bound
    });
    found.map(|(token, (count, p))| format!("token {token}: {count} of {n} for {p}"))
}

#[test]
fn a_difference_is_found() {
    let whole = [(3, 0.5), (1, 0.3), (9, 0.2)];
    assert_eq!(difference(&whole, &whole), None);
    assert!(difference(&whole[..2], &whole).is_some());
    assert!(difference(&[(3, 0.5), (9, 0.3), (1, 0.2)], &whole).is_some());
    assert!(difference(&[(3, 0.501), (1, 0.299), (9, 0.2)], &whole).is_some());
}

#[test]
fn forbidden_tokens_are_never_chosen() {
    for settings in [all(), Sampling { temperature: 0.0, ..all() }, Sampling { top_k: 2, ..all() }]
    {
        let mut sampler = Sampler::new(settings, 5).unwrap();
        sampler.forbid(|token| token != 3 && token != 2);
        let mut choose = |i| sampler.choose(&mut Distribution::Whole(&LOGITS), i);
        assert!((0..500).all(|i| [2, 3].contains(&choose(i))), "{settings:?}");
        // Nothing is left to choose from.
        sampler.forbid(|_| true);
        let chosen = sampler.choose(&mut Distribution::Whole(&LOGITS), 0);
        assert!(settings.temperature > 0.0 || chosen == 4);
    }
}
