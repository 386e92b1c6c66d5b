//! Sampler benchmark: a trained model writes with each sampler in turn.

use anyhow::Result;
use engine::formats::LoadedModel;
use engine::generate::{Request, Sampling, Session, generate};
use engine::head::HeadName;
use kernels::{Isa, Pool};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Results: medians over the rounds, each of which runs every sampler.
#[derive(Debug, Serialize)]
pub struct Report {
    isa: &'static str,
    head: HeadName,
    vocab_size: usize,
    model_dim: usize,
    threads: usize,
    rounds: usize,
    tokens: usize,
    samplers: Vec<Speed>,
}

/// One sampler.
#[derive(Debug, Serialize)]
struct Speed {
    sampler: &'static str,
    tokens_per_s: f64,
}

/// Tokens per text: a number that fits most models' contexts.
const N_TOKENS: usize = 120;

fn samplers() -> [(&'static str, Sampling); 7] {
    let all = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, ..Sampling::default() };
    [
        ("greedy", Sampling { temperature: 0.0, ..all }),
        ("top-k 50", Sampling { top_k: 50, ..all }),
        ("top-p 0.9", Sampling { top_p: 0.9, ..all }),
        ("min-p 0.05", Sampling { min_p: 0.05, ..all }),
        ("all", all),
        ("temperature 0.8, top-k 50, top-p 0.95", Sampling::default()),
        ("temperature 1.3, top-p 0.9", Sampling { temperature: 1.3, top_p: 0.9, ..all }),
    ]
}

/// Times `rounds` texts for each sampler, after an untimed one.
pub fn measure(opened: &LoadedModel, pool: &mut Pool, rounds: usize) -> Result<Report> {
    let (model, layout) = (opened.model.model(), opened.model.layout());
    let max_len = opened.model.max_len();
    let mut session = Session::new(layout, model.packed.precision(), max_len, pool.threads());
    let mut times = vec![Vec::new(); samplers().len()];
    let n_tokens = N_TOKENS.min(max_len.saturating_sub(1)).max(1);
    for round in 0..=rounds {
        for ((_, sampling), times) in samplers().into_iter().zip(&mut times) {
            let sampling = Sampling { seed: round as u64, ..sampling };
            let request = Request { sampling, max_tokens: n_tokens, ..Request::default() };
            session.rewind(0);
            let start = Instant::now();
            let tokenizer = &opened.tokenizer;
            generate(&mut session, model, pool, tokenizer, &[], &request, &mut |_| true)?;
            if round > 0 {
                times.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let speeds = samplers().into_iter().zip(&mut times).map(|((sampler, _), times)| Speed {
        sampler,
        tokens_per_s: n_tokens as f64 / super::median(times),
    });
    Ok(Report {
        isa: Isa::active().name(),
        head: layout.config.head.name(),
        vocab_size: layout.config.vocab_size,
        model_dim: layout.config.model_dim,
        threads: pool.threads(),
        rounds,
        tokens: n_tokens,
        samplers: speeds.collect(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "writing with the {} output layer, V={} C={}, on {}:",
            self.head, self.vocab_size, self.model_dim, self.isa
        )?;
        for Speed { sampler, tokens_per_s } in &self.samplers {
            write!(f, "\n{sampler:<40} {tokens_per_s:>8.0} tokens/s")?;
        }
        Ok(())
    }
}
