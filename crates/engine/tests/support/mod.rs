//! Model for tests, small enough to train, and a repeating text.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses a part; a panic is how a test fails

pub mod words;

use engine::head::HeadConfig;
use engine::model::{InputLayer, Layout, MicroShape, ModelConfig, init_params};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, Optimizer, RowUpdates, SequenceSource, StepPlan, Trainer,
    TrainerSpec,
};
use kernels::rng::{Purpose, Rng};
use kernels::{AlignedVec, Precision};
use text::vocab::compose::Composer;
use text::vocab::ngrams::{Ngrams, ngram_tables};

/// Configuration of a training.
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
    pub distinct_inputs: bool,
    pub head: HeadConfig,
    /// Number of samples per step, if a full softmax is trained on sampled tokens.
    pub n_samples: Option<usize>,
    /// Whether input vectors are composed.
    pub composes: bool,
    /// Updates of rows that a batch does not use.
    pub row_updates: RowUpdates,
    /// Whether rows of n-grams are added to input vectors.
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
            distinct_inputs: true,
            head: HeadConfig::Full,
            n_samples: None,
            composes: false,
            row_updates: RowUpdates::Dense,
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

/// Each trained output layer; the last is a full softmax trained on ten samples per step.
pub fn trained_heads(tiny: &Tiny) -> [Tiny; 4] {
    let [full, factor, adaptive] = heads(tiny.vocab_size).map(|head| Tiny { head, ..tiny.clone() });
    let sampled = Tiny { n_samples: Some(10), ..full.clone() };
    [full, factor, adaptive, sampled]
}

/// Text in which token x is followed by 3x + 1, modulo the vocabulary.
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

    /// Layout for training.
    pub fn layout(&self) -> Layout {
        Layout::for_training(&self.config(), self.n_samples).unwrap()
    }

    /// A trainer of fresh parameters on `threads` threads.
    pub fn trainer(&self, threads: usize) -> Trainer {
        let layout = self.layout();
        let options = AdamWOptions { row_updates: self.row_updates, ..AdamWOptions::default() };
        self.trainer_of(self.params(&layout), Box::new(AdamW::new(&layout, options)), threads)
    }

    /// The same with these parameters and this optimiser.
    pub fn trainer_of(
        &self,
        params: AlignedVec<f32>,
        optimizer: Box<dyn Optimizer>,
        threads: usize,
    ) -> Trainer {
        let layout = self.layout();
        let inputs = self.inputs(&layout);
        let lanes = LanesSpec {
            shape: self.micro(),
            n_lanes: self.n_lanes,
            batch_seqs: self.batch_seqs,
            threads,
            seed: 1,
            token_counts: &vec![1; self.vocab_size],
        };
        Trainer::new(TrainerSpec { layout, params, inputs, optimizer, lanes })
    }

    /// Input layer with every word of [`Cycle`].
    pub fn inputs(&self, layout: &Layout) -> InputLayer {
        InputLayer::new(layout, self.composer(), self.ngrams())
    }

    /// Fresh parameters, except that rows of parts and n-grams are not zero.
    pub fn params(&self, layout: &Layout) -> AlignedVec<f32> {
        let mut params = init_params(layout, 1);
        for (i, span) in (0..).zip([layout.inputs.parts, layout.inputs.ngrams]) {
            if let Some(span) = span {
                Rng::new(1, Purpose::Test, i).fill_normal(span.of_mut(&mut params), 0, 0.02);
            }
        }
        params
    }

    /// N-grams of [`Cycle`], found in the text of half of all tokens.
    pub fn ngrams(&self) -> Option<Ngrams> {
        let text: Vec<u32> = (0..self.vocab_size / 2).flat_map(|token| self.text(token)).collect();
        self.has_ngrams.then(|| Ngrams::learn(&ngram_tables(24), &text, 2))
    }

    /// The text of [`Cycle`] from `token` on.
    fn text(&self, token: usize) -> Vec<u32> {
        let (mut tokens, mut targets) =
            (vec![0; 2 * self.vocab_size], vec![0; 2 * self.vocab_size]);
        let index = (0..self.vocab_size).find(|index| index * 7 % self.vocab_size == token);
        Cycle(self.vocab_size).fill(0, index.unwrap_or(0), &mut tokens, &mut targets);
        tokens
    }

    /// Composer without any word.
    pub fn fresh_composer(&self) -> Option<Composer> {
        self.composes.then(|| words::composer(self.vocab_size))
    }

    /// Composer with every word of [`Cycle`].
    pub fn composer(&self) -> Option<Composer> {
        let mut composer = self.fresh_composer()?;
        (0..self.vocab_size).for_each(|token| composer.add_words(&self.text(token)));
        Some(composer)
    }

    /// Micro-batches smaller than necessary, so that there are several.
    pub fn micro(&self) -> MicroShape {
        let usual = MicroShape::new(&self.config(), self.seq_len, self.micro_seqs, self.precision);
        MicroShape {
            n_seqs: self.micro_seqs,
            logit_rows_max: 8,
            distinct_inputs: self.distinct_inputs,
            n_inputs: self.inputs(&self.layout()).n_inputs(),
            ..usual
        }
    }

    pub fn plan(&self, step: u64) -> StepPlan {
        StepPlan { step, lr: self.lr, grad_norm_max: 1.0, dropout: self.dropout, seed: 1 }
    }
}

/// Trains for `n_steps` on `threads` threads.
pub fn train(tiny: &Tiny, threads: usize, n_steps: u64) -> Trained {
    let (mut trainer, source) = (tiny.trainer(threads), Cycle(tiny.vocab_size));
    let losses =
        (0..n_steps).map(|step| trainer.step(&source, &tiny.plan(step)).unwrap().loss_nats);
    Trained { losses: losses.collect(), params: trainer.params().to_vec() }
}

/// Bits of everything that a step writes, except the stored rows of a lazy optimiser, which are
/// valid only while caught-up rows are shown.
pub fn bits(trainer: &Trainer) -> Vec<u32> {
    let optimizer = trainer.optimizer();
    let state = optimizer.state(trainer.layout());
    let state = state.iter().filter(|tensor| !tensor.name.starts_with("live."));
    let numbers = trainer.params().iter().chain(state.flat_map(|tensor| tensor.values.iter()));
    numbers.map(|x| x.to_bits()).chain([optimizer.n_updates() as u32]).collect()
}

/// A trainer's state as in a checkpoint.
#[derive(Clone)]
pub struct Saved {
    pub params: Vec<f32>,
    pub n_updates: u64,
    pub tensors: Vec<(String, Vec<f32>)>,
}

impl Saved {
    pub fn of(trainer: &mut Trainer) -> Saved {
        trainer.with_current(|model, _, optimizer| {
            let tensors = optimizer.state(model.layout).into_iter();
            Saved {
                params: model.params.to_vec(),
                n_updates: optimizer.n_updates(),
                tensors: tensors.map(|t| (t.name, t.values.into_owned())).collect(),
            }
        })
    }

    /// The numbers of a tensor of the optimiser's state.
    pub fn tensor(&mut self, name: &str) -> &mut [f32] {
        &mut self.tensors.iter_mut().find(|(found, _)| found == name).unwrap().1
    }

    pub fn restore(mut self, trainer: &mut Trainer) {
        let (params, n_updates) = (std::mem::take(&mut self.params), self.n_updates);
        let mut read = |name: &str, _: &[usize], values: &mut [f32]| {
            values.copy_from_slice(self.tensor(name));
            Ok(())
        };
        trainer.restore(&params, n_updates, &mut read).unwrap();
    }
}
