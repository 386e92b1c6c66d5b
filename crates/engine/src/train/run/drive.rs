//! Step loop of a run: train, evaluate, sample, save, and stop cleanly.

use super::SAVED_NAME;
use super::error::RunError;
use super::open::{Machine, Run};
use super::vocabulary;
use super::watch::rate;
use crate::checkpoint::RunState;
use crate::disk::{RealFs, SaveError, commit_file};
use crate::generate::{Prompt, Request, Sampling, Written, generate};
use crate::train::events::{Evaluation, Event, Metrics, Notice, Observer, Outcome, Started};
use crate::train::{StepError, StepPlan};
use serde::Serialize;
use std::time::{Duration, Instant};
use text::corpus::TokenSource;

/// Length of a sample in tokens.
const SAMPLE_TOKENS: usize = 80;

/// One row of `samples.jsonl`.
#[derive(Serialize)]
struct SampleRow<'a> {
    step: u64,
    prompt: &'a str,
    text: &'a str,
}

impl Run {
    /// Takes steps until the last one or until the observer says stop, and saves in either case.
    ///
    /// When the observer says stop, a run first completes all work that is due after its last step.
    /// When it requests a [`Stop`](kernels::Stop), a step in progress is discarded, and due work in
    /// progress is left to the resumed run. So the run always resumes as if it had never stopped.
    ///
    /// # Errors
    /// [`RunError`]. Earlier checkpoints stay.
    pub fn drive(&mut self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        self.stop = observer.stop();
        self.machine.trainer.stop_at(&self.stop);
        self.report_start(observer);
        if self.at.is_work_due {
            self.after_step(observer)?;
        }
        while self.step < self.machine.config.train.n_steps && !self.should_stop(observer) {
            if self.one_step(observer)? {
                self.after_step(observer)?;
            }
        }
        self.ensure_saved(observer)?;
        if self.should_stop(observer) {
            return Ok(Outcome::Stopped { step: self.step });
        }
        self.end(observer)
    }

    fn should_stop(&self, observer: &dyn Observer) -> bool {
        self.stop.is_requested() || observer.should_stop()
    }

    /// Evaluates, samples and saves where due, in this order: when the checkpoint of a step exists,
    /// all other work of the step is done, and a kill after it loses nothing.
    fn after_step(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let train = &self.machine.config.train;
        let is_last = self.step == train.n_steps;
        let is_due = |every: u64| is_last || self.step.is_multiple_of(every.max(1));
        let [evaluate, sample, save] =
            [train.eval_every, train.sample_every, train.save_every].map(is_due);
        let before = RunState { is_work_due: true, ..self.at.clone() };
        self.at.is_work_due = false;
        let is_best = evaluate && self.evaluate_sample(observer)?;
        if sample {
            self.sample(observer)?;
        }
        // After a rollback the state before it is gone; a missing sample is not worth another.
        if self.stop.is_requested() && self.at.n_rollbacks == before.n_rollbacks {
            (self.at, self.val_loss_nats) = (before, None);
            return Ok(());
        }
        // A state after a bad step may be worth nothing.
        if (save || is_best) && self.at.n_bad_in_row == 0 {
            self.at.unproven_step = Some(self.step);
            self.save()?;
        }
        self.report_saves(observer);
        Ok(())
    }

    fn report_start(&mut self, observer: &mut dyn Observer) {
        self.notices.iter().for_each(|notice| observer.event(&Event::Noticed(notice)));
        for path in self.corpus.missing(&self.dir) {
            observer.event(&Event::Noticed(&Notice::TextMissing { path }));
        }
        if !self.rejected.is_empty() {
            observer.event(&Event::Rejected(&self.rejected));
        }
        let machine = &self.machine;
        let n_valid = machine.valid.as_ref().map_or(0, |valid| valid.tokens.len());
        let layout = machine.trainer.layout();
        observer.event(&Event::Started(Started {
            dir: &self.dir,
            config: &machine.config,
            output_layer: vocabulary::describe_output(layout, &machine.config.vocab),
            n_params: layout.n_params(),
            n_tokens: (machine.train.tokens.len(), n_valid),
            step: self.step,
            memory: self.memory(),
        }));
    }

    /// Trains on one batch, writes its metrics, and judges the step; one that is not finite is
    /// skipped. Returns whether the step was taken: not if the run is stopped in it.
    fn one_step(&mut self, observer: &mut dyn Observer) -> Result<bool, RunError> {
        let plan = self.machine.plan(self.step);
        let plan = StepPlan { lr: plan.lr * rate(&self.at), ..plan };
        let start = Instant::now();
        let Machine { trainer, train, .. } = &mut self.machine;
        let result = match &mut self.accident {
            None => trainer.step(train, &plan),
            Some(accident) => {
                trainer.accumulate(train, &plan);
                accident(trainer, plan.step, self.at.n_rollbacks);
                trainer.apply(&plan)
            }
        };
        train.tokens.check()?;
        if let Err(StepError::Stopped { .. }) = result {
            return Ok(false);
        }
        let (step_time, epoch) = (start.elapsed(), self.machine.train.batches.epoch(self.step));
        self.step += 1;
        self.val_loss_nats = None;
        self.at.epoch = epoch;
        self.at.train_seconds += step_time.as_secs_f64();
        if let Ok(report) = result {
            self.at.n_tok += report.n_tok as u64;
            let elapsed = Duration::from_secs_f64(self.at.train_seconds);
            let (step, n_tok, lr) = (self.step, self.at.n_tok, plan.lr);
            let row = Metrics::new(step, epoch, n_tok, report, lr, elapsed, step_time);
            self.metrics.append(&row)?;
            observer.event(&Event::Step(row));
        }
        self.judge(plan.step, result, observer)?;
        Ok(true)
    }

    /// Evaluates on a fixed sample of the held-out text, so that losses are comparable; returns
    /// whether the loss is the lowest so far. A model whose loss is not finite goes back at once.
    fn evaluate_sample(&mut self, observer: &mut dyn Observer) -> Result<bool, RunError> {
        let Some(mut evaluation) = self.measure(self.n_sample_windows())? else { return Ok(false) };
        let val_loss = evaluation.val_loss;
        let is_finite = val_loss.is_finite();
        let is_lower = self.at.best_val_loss_nats.is_none_or(|best| val_loss < best);
        // Far worse than guessing is not the best, even if nothing came before it.
        evaluation.is_best = val_loss <= self.limits.highest && is_lower;
        self.val_loss_nats = Some(val_loss).filter(|_| is_finite);
        if evaluation.is_best {
            self.at.best_val_loss_nats = Some(val_loss);
            self.at.best_step = Some(self.step);
            self.at.n_evals_since_best = 0;
        } else {
            self.at.n_evals_since_best += 1;
        }
        self.evals.append(&evaluation)?;
        observer.event(&Event::Evaluated(evaluation));
        if !is_finite {
            let why = format!("the held-out loss after step {} was {val_loss}", self.step);
            self.roll_back(why, observer)?;
        }
        Ok(evaluation.is_best)
    }

    /// Ends a run whose steps are taken: evaluates on all of the held-out text, unless the sample
    /// already was all of it. That loss is only reported, because it is not comparable with those on
    /// the sample.
    fn end(&mut self, observer: &mut dyn Observer) -> Result<Outcome, RunError> {
        let (n_all, mut held_out) = (self.n_windows(), None);
        if self.n_sample_windows() < n_all {
            let Some(evaluation) = self.measure(n_all)? else {
                return Ok(Outcome::Stopped { step: self.step });
            };
            self.evals.append(&evaluation)?;
            observer.event(&Event::Evaluated(evaluation));
            held_out = Some(evaluation.val_loss);
        }
        self.check_end(held_out)?;
        Ok(Outcome::Finished)
    }

    fn n_windows(&self) -> usize {
        self.machine.valid.as_ref().map_or(0, |valid| valid.windows.n_windows())
    }

    fn n_sample_windows(&self) -> usize {
        let config = &self.machine.config;
        config.train.eval_tokens.div_ceil(config.model.seq_len).clamp(1, self.n_windows().max(1))
    }

    /// Mean loss on up to `n_windows` windows of the held-out text; `None` without such text, or if
    /// the run is stopped in it.
    ///
    /// # Errors
    /// [`RunError`] if its tokens cannot be read.
    fn measure(&mut self, n_windows: usize) -> Result<Option<Evaluation>, RunError> {
        let Machine { trainer, valid, .. } = &mut self.machine;
        let Some(valid) = valid.as_mut() else { return Ok(None) };
        let n_all = valid.windows.n_windows();
        valid.n_taken = n_windows.min(n_all);
        let sum = trainer.evaluate(&*valid, valid.n_taken);
        valid.tokens.check()?;
        if self.stop.is_requested() {
            return Ok(None);
        }
        let is_all = valid.n_taken == n_all;
        Ok(Some(Evaluation {
            step: self.step,
            val_loss: sum.nats / sum.n_tok.max(1) as f64,
            n_tok: sum.n_tok,
            bits_per_byte: valid.counts.bits_per_byte(sum.nats).filter(|_| is_all),
            unknown_share: valid.counts.unknown_share(),
            elapsed_s: self.at.train_seconds,
            is_best: self.at.best_step == Some(self.step),
        }))
    }

    /// Generates a sample, reports it and appends it to `samples.jsonl`, unless the run is stopped
    /// meanwhile.
    ///
    /// # Errors
    /// [`RunError`] if the row cannot be written.
    pub fn sample(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let Machine { trainer, session, config, .. } = &mut self.machine;
        let prompt = &config.train.sample_prompt;
        let sampling = Sampling { seed: config.train.seed ^ self.step, ..Sampling::default() };
        let ends = self.tokenizer.text_end().into_iter().collect();
        let Prompt { ids, owes_blank } = Prompt::new(&self.tokenizer, prompt);
        let max_tokens = SAMPLE_TOKENS;
        let request = Request { sampling, max_tokens, ends, owes_blank, ..Request::default() };
        let (mut text, stop) = (String::new(), self.stop.clone());
        let mut write = |written: Written| {
            text.push_str(written.text());
            !stop.is_requested()
        };
        session.rewind(0);
        trainer.with_current(|model, lanes, _| {
            let tokenizer = &self.tokenizer;
            generate(session, model, lanes.pool(), tokenizer, &ids, &request, &mut write)
        })?;
        if self.stop.is_requested() {
            return Ok(());
        }
        let step = self.step;
        self.samples.append(&SampleRow { step, prompt, text: &text })?;
        observer.event(&Event::Sampled { step, prompt, text: &text });
        Ok(())
    }

    /// Waits until the state is on disk; a failed save is retried once.
    fn ensure_saved(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        self.saver.wait();
        self.report_saves(observer);
        if self.step == 0 || self.last_saved == Some(self.step) {
            return Ok(());
        }
        self.save()?;
        self.saver.wait();
        self.report_saves(observer).map_or(Ok(()), |error| Err(error.into()))
    }

    /// Notes that the run has a checkpoint. Without the note, a loss of all checkpoints would be taken
    /// for an end before the first: not worth an error.
    fn note_saved(&self) {
        let path = self.dir.join(SAVED_NAME);
        if self.lock.is_of(&self.dir) && !path.exists() {
            let _ = commit_file(&RealFs, &path, b"");
        }
    }

    /// Reports finished saves; returns the error of the last failed one.
    pub(super) fn report_saves(&mut self, observer: &mut dyn Observer) -> Option<SaveError> {
        let mut failed = None;
        while let Some(outcome) = self.saver.poll() {
            match outcome {
                Ok(saved) => {
                    self.last_saved = Some(saved.step);
                    self.note_saved();
                    observer.event(&Event::Saved(&saved));
                }
                Err(error) => {
                    observer.event(&Event::SaveFailed(&error));
                    failed = Some(error);
                }
            }
        }
        failed
    }
}
