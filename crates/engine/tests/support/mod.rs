//! A model small enough to train in a test, on a text that repeats itself.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part; a panic is how a test fails

mod words;

use engine::head::sampled::Candidates;
use engine::model::{HeadConfig, Layout, MicroShape, ModelConfig, init_params};
use engine::train::{
    AdamWOptions, IdleRows, Lanes, SequenceSource, StepPlan, TrainState, training_step,
};
use kernels::rng::{Purpose, Rng};
use kernels::{AlignedVec, Precision};
use text::vocab::compose::Composer;
use text::vocab::ngrams::{Ngrams, ngram_tables};

/// What to train.
#[derive(Clone, Debug)]
pub struct Tiny {
    pub vocab_size: usize,
    pub n_lanes: usize,
    pub batch_seqs: usize,
    pub micro_seqs: usize,
    pub seq_len: usize,
    pub precision: Precision,
    pub dropout: f32,
    pub qk_norm: bool,
    pub tie_embeddings: bool,
    pub lr: f32,
    pub unique_tokens: bool,
    pub head: HeadConfig,
    /// Tokens that targets are compared with, if a full softmax is trained on some of them.
    pub n_samples: Option<usize>,
    /// Whether input vectors are composed.
    pub composes: bool,
    /// What becomes of rows that a batch does not use.
    pub idle_rows: IdleRows,
    /// Whether rows of n-grams are added to them.
    pub has_ngrams: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        Tiny {
            vocab_size: 37,
            n_lanes: 2,
            batch_seqs: 6,
            micro_seqs: 2,
            seq_len: 12,
            precision: Precision::F32,
            dropout: 0.0,
            qk_norm: false,
            tie_embeddings: true,
            lr: 3e-3,
            unique_tokens: true,
            head: HeadConfig::Full,
            n_samples: None,
            composes: false,
            idle_rows: IdleRows::Dense,
            has_ngrams: false,
        }
    }
}

/// Each output layer, for a vocabulary of this size.
pub fn heads(vocab_size: usize) -> [HeadConfig; 3] {
    let factor = HeadConfig::equal_classes(vocab_size, 5);
    let cutoffs = HeadConfig::usual_cutoffs(vocab_size);
    [HeadConfig::Full, factor, HeadConfig::Adaptive { cutoffs }]
}

/// Each output layer as it is trained: the last is a full softmax trained on ten tokens a step.
pub fn trained_heads(tiny: &Tiny) -> [Tiny; 4] {
    let [full, factor, adaptive] = heads(tiny.vocab_size).map(|head| Tiny { head, ..tiny.clone() });
    let sampled = Tiny { n_samples: Some(10), ..full.clone() };
    [full, factor, adaptive, sampled]
}

/// Every token is followed by itself times three, plus one, modulo the vocabulary.
pub struct Cycle(pub usize);

impl SequenceSource for Cycle {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let next = |t: u32| ((3 * t as usize + 1) % self.0) as u32;
        let mut token = ((step as usize * 31 + index * 7) % self.0) as u32;
        for (t, target) in tokens.iter_mut().zip(targets) {
            *t = token;
            token = next(token);
            *target = token;
        }
    }
}

pub struct Trained {
    pub losses: Vec<f64>,
    pub params: Vec<f32>,
}

impl Tiny {
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            seq_len: self.seq_len,
            n_kv_heads: 2,
            qk_norm: self.qk_norm,
            tie_embeddings: self.tie_embeddings && self.head.can_be_tied(),
            head: self.head.clone(),
            n_parts: if self.composes { words::N_PARTS } else { 0 },
            ngrams: if self.has_ngrams { ngram_tables(24) } else { vec![] },
            ..ModelConfig::new(self.vocab_size, 32, 2, 4)
        }
    }

    /// Fresh parameters and zero moments.
    pub fn state(&self) -> TrainState {
        let config = self.config();
        let layout = match self.n_samples {
            None => Layout::new(&config).unwrap(),
            Some(_) => Layout::for_sampling(&config).unwrap(),
        };
        let params = self.params(&layout);
        let options = AdamWOptions { idle_rows: self.idle_rows, ..AdamWOptions::default() };
        let state = TrainState::new(layout, params, self.precision, options);
        TrainState { composer: self.composer(), ngrams: self.ngrams(), ..state }
    }

    /// Fresh parameters, and rows of parts and n-grams that are not zero as fresh ones would be.
    pub fn params(&self, layout: &Layout) -> AlignedVec<f32> {
        let mut params = init_params(layout, 1);
        for (i, span) in (0..).zip([layout.parts, layout.ngrams]) {
            if let Some(span) = span {
                Rng::new(1, Purpose::Test, i).fill_normal(span.of_mut(&mut params), 0, 0.02);
            }
        }
        params
    }

    /// Finds n-grams: those of [`Cycle`] that come from half of all tokens.
    pub fn ngrams(&self) -> Option<Ngrams> {
        let text: Vec<u32> = (0..self.vocab_size / 2).flat_map(|token| self.text(token)).collect();
        self.has_ngrams.then(|| Ngrams::learn(&ngram_tables(24), &text, 2))
    }

    /// The text of [`Cycle`] from a token on.
    fn text(&self, token: usize) -> Vec<u32> {
        let (mut tokens, mut targets) =
            (vec![0; 2 * self.vocab_size], vec![0; 2 * self.vocab_size]);
        let index = (0..self.vocab_size).find(|index| index * 7 % self.vocab_size == token);
        Cycle(self.vocab_size).fill(0, index.unwrap_or(0), &mut tokens, &mut targets);
        tokens
    }

    /// What composes the input vectors, without any word yet.
    pub fn fresh_composer(&self) -> Option<Composer> {
        self.composes.then(|| words::composer(self.vocab_size))
    }

    /// The same with every word of [`Cycle`].
    pub fn composer(&self) -> Option<Composer> {
        let mut composer = self.fresh_composer()?;
        (0..self.vocab_size).for_each(|token| composer.add_words(&self.text(token)));
        Some(composer)
    }

    /// Micro-batches that are cut smaller than they need be, so that there are several.
    pub fn micro(&self) -> MicroShape {
        let (n_seqs, head_rows, unique_tokens) = (self.micro_seqs, 8, self.unique_tokens);
        let usual = MicroShape::new(&self.config(), self.seq_len, n_seqs, self.precision);
        MicroShape { n_seqs, head_rows, unique_tokens, n_inputs: self.n_inputs(), ..usual }
    }

    /// Different inputs that there are.
    pub fn n_inputs(&self) -> usize {
        self.composer().map_or(self.vocab_size, |composer| composer.n_inputs())
    }

    pub fn lanes(&self, layout: &Layout, threads: usize) -> Lanes {
        let mut lanes = Lanes::new(layout, &self.micro(), self.n_lanes, self.batch_seqs, threads);
        if let Some(n) = self.n_samples {
            let (counts, c) = (vec![1; self.vocab_size], layout.config.model_dim);
            lanes.train_on(Candidates::new(&counts, n, c, self.precision, 1), layout);
        }
        lanes
    }

    pub fn plan(&self, step: u64) -> StepPlan {
        StepPlan { step, lr: self.lr, grad_norm_max: 1.0, dropout: self.dropout, seed: 1 }
    }
}

/// Trains for `n_steps` on `threads` threads.
pub fn train(tiny: &Tiny, threads: usize, n_steps: u64) -> Trained {
    let mut state = tiny.state();
    let mut lanes = tiny.lanes(&state.layout, threads);
    state.pack(lanes.pool());
    let source = Cycle(tiny.vocab_size);
    let losses = (0..n_steps).map(|step| {
        training_step(&mut state, &mut lanes, &source, &tiny.plan(step)).unwrap().loss_nats
    });
    Trained { losses: losses.collect(), params: state.params.to_vec() }
}
