//! Taking the steps of a run: train, evaluate, sample, save, and stop in order.

use super::error::RunError;
use super::open::{Machine, Run};
use crate::data::TokenSource;
use crate::generate::{Request, Sampling, generate};
use crate::train::events::{Evaluation, Event, Metrics, Observer, Outcome, Started};
use crate::train::{StepError, training_step};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Skipped steps in a row after which a run has diverged.
const SKIPPED_MAX: u64 = 5;

/// Tokens of a sample.
const SAMPLE_TOKENS: usize = 80;

/// One row of `samples.jsonl`.
#[derive(Serialize)]
struct SampleRow<'a> {
    step: u64,
    prompt: &'a str,
    text: &'a str,
}

impl Run {
    /// Takes steps until the last, or until the observer says stop; saved in either case.
    ///
    /// # Errors
    /// [`RunError`]. What was saved before stays.
    pub fn drive(&mut self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        let n_steps = self.machine.config.train.n_steps;
        self.report_start(observer);
        while self.step < n_steps {
            if observer.should_stop() {
                return self.stop(observer);
            }
            self.one_step(observer)?;
            let mut val_loss = None;
            let train = &self.machine.config.train;
            let is_last = self.step == n_steps;
            let is_due = |every: u64| is_last || self.step.is_multiple_of(every.max(1));
            let due =
                [is_due(train.eval_every), is_due(train.sample_every), is_due(train.save_every)];
            if due[0] && !observer.should_stop() {
                val_loss = self.evaluate(is_last, observer);
            }
            if due[2] || val_loss.is_some() && self.at.n_evals_since_best == 0 {
                self.save(val_loss)?;
            }
            if due[1] && !observer.should_stop() {
                self.sample(observer)?;
            }
            self.report_saves(observer);
        }
        self.saver.wait();
        self.report_saves(observer);
        self.metrics.sync()?;
        Ok(Outcome::Finished)
    }

    fn report_start(&mut self, observer: &mut dyn Observer) {
        if !self.rejected.is_empty() {
            observer.event(&Event::Rejected(&self.rejected));
        }
        let machine = &self.machine;
        let n_valid = machine.valid.as_ref().map_or(0, |valid| valid.tokens.len());
        observer.event(&Event::Started(Started {
            dir: &self.dir,
            config: &machine.config,
            n_params: machine.state.layout.n_params(),
            n_tokens: (machine.train.tokens.len(), n_valid),
            step: self.step,
            memory: self.memory(),
        }));
    }

    /// Trains on one batch and writes its row; a batch that is not finite is skipped.
    fn one_step(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let plan = self.machine.plan(self.step);
        let start = Instant::now();
        let Machine { state, lanes, train, .. } = &mut self.machine;
        let result = training_step(state, lanes, train, &plan);
        let (step_time, epoch) = (start.elapsed(), self.machine.train.batches.epoch(self.step));
        self.step += 1;
        self.at.epoch = epoch;
        self.at.train_seconds += step_time.as_secs_f64();
        match result {
            Ok(report) => {
                self.at.n_tok += report.n_tok as u64;
                self.at.n_skipped_in_row = 0;
                let elapsed = Duration::from_secs_f64(self.at.train_seconds);
                let row = Metrics::new(
                    self.step,
                    epoch,
                    self.at.n_tok,
                    report,
                    plan.lr,
                    elapsed,
                    step_time,
                );
                self.metrics.append(&row)?;
                observer.event(&Event::Step(row));
                Ok(())
            }
            Err(error) => self.skip(error, observer),
        }
    }

    fn skip(&mut self, error: StepError, observer: &mut dyn Observer) -> Result<(), RunError> {
        self.at.n_skipped += 1;
        self.at.n_skipped_in_row += 1;
        observer.event(&Event::Skipped(&error));
        if self.at.n_skipped_in_row < SKIPPED_MAX {
            return Ok(());
        }
        Err(RunError::Diverged { n: self.at.n_skipped_in_row, last: error })
    }

    /// Mean loss on held-out text: part of it on the way, all of it at the end.
    fn evaluate(&mut self, all: bool, observer: &mut dyn Observer) -> Option<f64> {
        let Machine { state, lanes, valid, config, .. } = &mut self.machine;
        let valid = valid.as_mut()?;
        let n_windows = valid.windows.n_windows();
        let part = config.train.eval_tokens.div_ceil(config.model.seq_len).max(1);
        valid.n_taken = if all { n_windows } else { part.min(n_windows) };
        let sum = lanes.evaluate(state.model(), &*valid, valid.n_taken);
        let val_loss = sum.nats / sum.n_tok.max(1) as f64;
        let is_best = self.at.best_val_loss_nats.is_none_or(|best| val_loss < best);
        if is_best {
            self.at.best_val_loss_nats = Some(val_loss);
            self.at.best_step = Some(self.step);
            self.at.n_evals_since_best = 0;
        } else {
            self.at.n_evals_since_best += 1;
        }
        let bits_per_byte = all.then(|| {
            let mut tokens = vec![0; valid.tokens.len()];
            valid.tokens.read(0, &mut tokens);
            let bytes: usize = tokens[1..].iter().map(|id| self.tokenizer.token_bytes(*id)).sum();
            sum.nats / std::f64::consts::LN_2 / bytes.max(1) as f64
        });
        let (step, n_tok) = (self.step, sum.n_tok);
        observer.event(&Event::Evaluated(Evaluation {
            step,
            val_loss,
            n_tok,
            bits_per_byte,
            is_best,
        }));
        Some(val_loss)
    }

    /// Lets the model write, and keeps what it wrote.
    ///
    /// # Errors
    /// [`RunError`] if the row cannot be written.
    pub fn sample(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let Machine { state, lanes, session, config, .. } = &mut self.machine;
        let prompt = &config.train.sample_prompt;
        let sampling = Sampling { seed: config.train.seed ^ self.step, ..Sampling::default() };
        let request = Request { sampling, max_tokens: SAMPLE_TOKENS, ..Request::default() };
        let ids = self.tokenizer.encode_ordinary(prompt);
        let mut text = String::new();
        session.rewind(0);
        generate(
            session,
            state.model(),
            lanes.pool(),
            &self.tokenizer,
            &ids,
            &request,
            &mut |t| {
                text.push_str(t);
                true
            },
        )?;
        let step = self.step;
        self.samples.append(&SampleRow { step, prompt, text: &text })?;
        observer.event(&Event::Sampled { step, prompt, text: &text });
        Ok(())
    }

    /// Saves where the run stands and waits until that is on disk.
    fn stop(&mut self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        if self.last_saved != Some(self.step) && self.step > 0 {
            self.save(None)?;
        }
        self.saver.wait();
        self.report_saves(observer);
        Ok(Outcome::Stopped { step: self.step })
    }

    fn report_saves(&mut self, observer: &mut dyn Observer) {
        while let Some(outcome) = self.saver.poll() {
            match outcome {
                Ok(saved) => observer.event(&Event::Saved(&saved)),
                Err(error) => {
                    self.last_saved = None;
                    observer.event(&Event::SaveFailed(&error));
                }
            }
        }
    }
}
