//! Generation benchmark: prefill of a prompt, and decoding token by token from an empty context.
//!
//! The workload is that of llama.cpp's own benchmark: a context of 1,024 tokens, a prompt of 512 of
//! which the last logits are needed, and single tokens from position 0 on.

use super::training::peak_rss_mib;
use super::{Shape, on_all_threads};
use anyhow::Result;
use engine::generate::Session;
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel, init_params};
use kernels::{Isa, Pool, Precision, probe};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Context length in tokens.
const CONTEXT: usize = 1024;

/// Tokens of the prompt.
const PROMPT: usize = 512;

/// Bytes that each thread's read probe covers: more than any cache.
const PROBE_BYTES: usize = 256 << 20;

/// Phase that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// A prompt of 512 tokens.
    Prefill,
    /// Single tokens from an empty context.
    Decode,
}

/// Results: medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    shape: String,
    phase: &'static str,
    precision: &'static str,
    isa: &'static str,
    threads: usize,
    rounds: usize,
    tokens_per_second: f64,
    /// Bytes of packed weights that a pass reads.
    weight_bytes: usize,
    /// Gigabytes of weights read per second.
    weight_gb_s: f64,
    /// Read bandwidth of all threads together, in GB/s.
    probe_gb_s: f64,
    share_of_probe: f64,
    peak_rss_mib: u64,
}

/// Times `rounds` rounds after an untimed one.
pub fn measure(
    shape: Shape,
    phase: Phase,
    precision: Precision,
    threads: usize,
    rounds: usize,
) -> Result<Report> {
    let config = ModelConfig { seq_len: CONTEXT, ..shape.config().0 };
    let layout = Layout::new(&config)?;
    let params = init_params(&layout, 1);
    let mut pool = Pool::new(threads);
    let inputs = InputLayer::new(&layout, None, None);
    let model = OwnedModel::new(layout, params, inputs, precision, &mut pool);
    let mut session = Session::new(model.layout(), precision, CONTEXT, threads);
    // Written once, so that every page is backed by memory.
    let memory = vec![1u64; threads * PROBE_BYTES / size_of::<u64>()];
    let v = config.vocab_size;
    let n_tokens = match phase {
        Phase::Prefill => PROMPT,
        // About a tenth of a second or more.
        Phase::Decode => (2_000_000_000 / model.layout().n_params()).clamp(48, 256),
    };
    let (mut seconds, mut probes) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        session.rewind(0);
        let prompt: Vec<u32> = (0..n_tokens).map(|i| ((i * 7919 + round) % v) as u32).collect();
        let start = Instant::now();
        match phase {
            Phase::Prefill => drop(session.feed(model.model(), &mut pool, &prompt)?),
            Phase::Decode => {
                for token in prompt.chunks(1) {
                    session.feed(model.model(), &mut pool, token)?;
                }
            }
        }
        if round > 0 {
            seconds.push(start.elapsed().as_secs_f64());
            let part = memory.len() / threads;
            probes.push(on_all_threads(threads, |t| {
                probe::read_bandwidth(&memory[t * part..(t + 1) * part])
            }));
        }
    }
    let (seconds, probe) = (super::median(&mut seconds), super::median(&mut probes));
    let passes = if phase == Phase::Decode { n_tokens } else { 1 };
    let weight_bytes = model.model().packed.bytes();
    let weight_rate = (weight_bytes * passes) as f64 / seconds;
    Ok(Report {
        shape: format!("{shape:?}").to_lowercase(),
        phase: if phase == Phase::Decode { "decode" } else { "prefill" },
        precision: precision.name(),
        isa: Isa::active().name(),
        threads,
        rounds,
        tokens_per_second: n_tokens as f64 / seconds,
        weight_bytes,
        weight_gb_s: weight_rate / 1e9,
        probe_gb_s: probe / 1e9,
        share_of_probe: weight_rate / probe,
        peak_rss_mib: peak_rss_mib() - ((memory.len() * size_of::<u64>()) >> 20) as u64,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} on {}: {:.0} tokens/s",
            self.shape, self.phase, self.precision, self.isa, self.tokens_per_second
        )?;
        if self.phase == "decode" {
            write!(
                f,
                "\n{:.1} GB/s of weights ({} MB a token), read probe {:.1} GB/s ({:.0} %)",
                self.weight_gb_s,
                self.weight_bytes / 1_000_000,
                self.probe_gb_s,
                100.0 * self.share_of_probe
            )?;
        }
        Ok(())
    }
}
