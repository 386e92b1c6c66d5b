//! Training of a tiny model: a text, a tokeniser, a table of tensors, a trainer, fifty steps.
//!
//! ```sh
//! cargo run --release -p crystalline-engine --example train_tiny
//! ```

use engine::model::{InputLayer, Layout, MicroShape, ModelConfig, init_params};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, Schedule, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::Precision;
use text::corpus::Batches;
use text::stories;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

const SEQ_LEN: usize = 64;
const BATCH_SEQS: usize = 16;
const N_STEPS: u64 = 50;

/// Sequences of a text in memory, in an order that is a pure function of (seed, step).
struct TextSource {
    ids: Vec<u32>,
    batches: Batches,
}

impl SequenceSource for TextSource {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.batches.fill(&self.ids[..], step, index, tokens, targets);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Text to ids.
    let story: String = stories::generate(1).take(300).collect();
    let options = TrainOptions::new(TokenizerKind::Char);
    let tokenizer = Tokenizer::train(&options, &[&story], &mut Control::threads(1))?;
    let ids = tokenizer.encode_ordinary(&story);
    let batches = Batches::new(ids.len(), SEQ_LEN, BATCH_SEQS, 1)?;
    let source = TextSource { ids, batches };

    // A model: its numbers, its table of tensors, fresh parameters.
    let config =
        ModelConfig { seq_len: SEQ_LEN, ..ModelConfig::new(tokenizer.vocab_size(), 64, 2, 2) };
    let layout = Layout::new(&config)?;
    let mut trainer = Trainer::new(TrainerSpec {
        params: init_params(&layout, 1),
        inputs: InputLayer::new(&layout, None, None),
        optimizer: Box::new(AdamW::new(&layout, AdamWOptions::default())),
        lanes: LanesSpec {
            shape: MicroShape::new(&config, SEQ_LEN, BATCH_SEQS, Precision::F32),
            n_lanes: 1,
            batch_seqs: BATCH_SEQS,
            threads: 1,
            seed: 1,
            token_counts: &[],
        },
        layout,
    });

    // Steps.
    let schedule = Schedule { lr: 5e-3, n_steps: N_STEPS, warmup_steps: 10, decay_steps: 30 };
    let mut losses = Vec::new();
    for step in 0..N_STEPS {
        let lr = schedule.at(step);
        let plan = StepPlan { step, lr, grad_norm_max: 1.0, dropout: 0.0, seed: 1 };
        let report = trainer.step(&source, &plan)?;
        losses.push(report.loss_nats);
        if step % 10 == 0 {
            println!("step {step:>2}: {:.3} nats per character", report.loss_nats);
        }
    }
    let last = losses[losses.len() - 1];
    println!("step {N_STEPS}: {last:.3} nats per character");
    assert!(last < 0.8 * losses[0], "the loss did not fall: {} to {last}", losses[0]);
    Ok(())
}
