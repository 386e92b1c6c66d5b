//! Opening of a run: allocates everything before the first step, fresh or from a checkpoint.

use super::corpus::CorpusRecord;
use super::error::RunError;
use super::own_folder::OwnFolder;
use super::rollback::Accident;
use super::watch::LossLimits;
use super::{CONFIG_NAME, SAVED_NAME, TOKENIZER_NAME, TRAIN_NAME, VALID_NAME, files, save};
use crate::checkpoint::{
    CHECKPOINTS_NAME, CorpusFingerprint, Found, Retention, RunState, SaveMode, Saver, SaverOptions,
    discard_after, newest,
};
use crate::disk::{
    FileRecord, LineFile, LoadError, RealFs, Rejected, Resumed, RunLock, clean, ensure_dir,
};
use crate::formats::ConstantFiles;
use crate::generate::Session;
use crate::memory::held_bytes;
use crate::model::{InputLayer, Layout, MicroShape, init_params};
use crate::train::events::Notice;
use crate::train::memory::{check_memory, micro_shape};
use crate::train::settings::RunConfig;
use crate::train::{AdamW, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec};
use kernels::{AlignedVec, Stop};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use text::TargetCounts;
use text::corpus::{Batches, EvalWindows, Input, TokenFile, TokenSource};
use text::tokenizer::Tokenizer;
use text::vocab::classes::count_tokens;
use text::vocab::read_codes;

/// File names of the rows of a run.
const METRICS_NAME: &str = "metrics.jsonl";
const SAMPLES_NAME: &str = "samples.jsonl";
const EVALS_NAME: &str = "evals.jsonl";

/// Largest state that is copied before a save; a larger one is written in place while training
/// waits.
pub(in crate::train) const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// Largest configuration that is read; the longest parts are the names of a large corpus's files.
pub const CONFIG_BYTES_MAX: u64 = 64 << 20;

/// Configuration, trainer, data and sample session of a run.
pub(super) struct Machine {
    pub config: RunConfig,
    pub trainer: Trainer,
    pub train: TrainSource,
    pub valid: Option<ValidSource>,
    pub session: Session,
    /// Bytes that the process held before any of this: the program, and what preparing left.
    pub held_before: u64,
}

/// Training sequences.
pub(super) struct TrainSource {
    pub tokens: TokenFile,
    pub batches: Batches,
}

/// Held-out sequences.
pub(super) struct ValidSource {
    pub tokens: TokenFile,
    pub windows: EvalWindows,
    /// What all of its targets stand for.
    pub counts: TargetCounts,
    /// Number of windows in the current evaluation.
    pub n_taken: usize,
}

/// Run that is ready to take steps.
pub struct Run {
    pub(super) dir: PathBuf,
    pub(super) machine: Machine,
    pub(super) tokenizer: Tokenizer,
    pub(super) corpus: CorpusRecord,
    pub(super) dataset: CorpusFingerprint,
    pub(super) files: ConstantFiles,
    pub(super) saver: Saver,
    pub(super) metrics: LineFile,
    pub(super) samples: LineFile,
    pub(super) evals: LineFile,
    pub(super) at: RunState,
    pub(super) step: u64,
    /// Held-out loss at the current step, if it was measured.
    pub(super) val_loss_nats: Option<f64>,
    /// Step of the newest checkpoint known to be on disk.
    pub(super) last_saved: Option<u64>,
    pub(super) rejected: Vec<Rejected>,
    /// What the user should know of the run's files.
    pub(super) notices: Vec<Notice>,
    /// The files that the run is computed from.
    pub(super) run_files: Vec<FileRecord>,
    /// Request to stop, of the current observer.
    pub(super) stop: Stop,
    pub(super) limits: LossLimits,
    /// Accident that a test plants.
    pub(super) accident: Option<Accident>,
    pub(super) lock: Arc<RunLock>,
}

impl SequenceSource for TrainSource {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.batches.fill(&self.tokens, step, index, tokens, targets);
    }
}

impl SequenceSource for ValidSource {
    fn fill(&self, _step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        // The same windows every time, spread over the text.
        let window = index * self.windows.n_windows() / self.n_taken;
        self.windows.fill(&self.tokens, window, tokens, targets);
    }
}

impl Machine {
    pub fn open(dir: &Path, config: &RunConfig, threads: usize) -> Result<Machine, RunError> {
        let (model, train) = (&config.model, &config.train);
        let tokens = TokenFile::open(&dir.join(TRAIN_NAME))?;
        let batches = Batches::new(tokens.len(), model.seq_len, train.batch_seqs, train.seed)?;
        let tokenizer = Tokenizer::load(&dir.join(TOKENIZER_NAME))?;
        let valid_path = dir.join(VALID_NAME);
        let valid = if valid_path.exists() {
            let tokens = TokenFile::open(&valid_path)?;
            let windows = EvalWindows::new(tokens.len(), model.seq_len)?;
            let counts = TargetCounts::of(&tokens, &tokenizer, |_| true);
            Some(ValidSource { tokens, n_taken: windows.n_windows(), windows, counts })
        } else {
            None
        };
        check_memory(model, train, config.vocab.n_samples, threads)??;
        let held_before = held_bytes();
        let layout = Layout::for_training(model, config.vocab.n_samples)?;
        let hash = &tokens.origin().tokenizer_hash;
        let mut inputs = InputLayer::open(dir, &tokenizer, hash, &layout)?;
        let held_out = valid.as_ref().map(|valid| &valid.tokens);
        [Some(&tokens), held_out].into_iter().flatten().for_each(|text| inputs.add_words_of(text));
        let token_counts = token_counts(&layout, &tokens, model.vocab_size)?;
        let params = initial(&layout, train.seed, &token_counts);
        let precision = train.precision.kernels();
        let lanes = LanesSpec {
            shape: MicroShape { n_inputs: inputs.n_inputs(), ..micro_shape(model, train) },
            n_lanes: train.n_lanes,
            batch_seqs: train.batch_seqs,
            threads,
            seed: train.seed,
            token_counts: &token_counts,
        };
        let session = Session::new(&layout, precision, model.seq_len, threads);
        let optimizer = Box::new(AdamW::new(&layout, train.optimizer));
        let trainer = Trainer::new(TrainerSpec { layout, params, inputs, optimizer, lanes });
        let train = TrainSource { tokens, batches };
        Ok(Machine { config: config.clone(), trainer, train, valid, session, held_before })
    }

    /// Puts the model and the optimiser back to their state before the first step.
    pub fn begin_again(&mut self) -> Result<(), RunError> {
        let (train, layout) = (&self.config.train, self.trainer.layout());
        let counts = token_counts(layout, &self.train.tokens, self.config.model.vocab_size)?;
        let params = initial(layout, train.seed, &counts);
        let optimizer = Box::new(AdamW::new(layout, train.optimizer));
        self.trainer.begin_again(&params, optimizer);
        Ok(())
    }

    pub fn plan(&self, step: u64) -> StepPlan {
        let train = &self.config.train;
        let schedule = crate::train::Schedule {
            lr: train.lr,
            n_steps: train.n_steps,
            warmup_steps: train.warmup_steps,
            decay_steps: train.decay_steps,
        };
        StepPlan {
            step,
            lr: schedule.at(step),
            grad_norm_max: train.grad_norm_max,
            dropout: train.dropout,
            seed: train.seed,
        }
    }

    /// Seconds per training step, including its share of evaluations; `None` if a stop is requested
    /// meanwhile.
    pub fn measure_step(mut self, stop: &Stop) -> Option<f64> {
        self.trainer.stop_at(stop);
        let (mut times, start) = (Vec::new(), Instant::now());
        for step in 0.. {
            let plan = StepPlan { lr: 0.0, ..self.plan(step) };
            let one = Instant::now();
            // A step that fails here fails again as the run's first step, which reports it.
            let _ = self.trainer.step(&self.train, &plan);
            if stop.is_requested() {
                return None;
            }
            times.push(one.elapsed().as_secs_f64());
            if times.len() >= 5 && start.elapsed().as_secs_f64() > 1.5 || times.len() >= 100 {
                break;
            }
        }
        times.sort_by(f64::total_cmp);
        // Evaluations and samples take about a twentieth.
        Some(1.05 * times[times.len() / 2])
    }
}

impl Run {
    /// Opens the run in `dir` at its newest sound checkpoint, or at its beginning.
    ///
    /// # Errors
    /// [`RunError`], for example if the tokens, the tokeniser or the configuration differ from the
    /// checkpoint's. Does not check the text files ([`Run::check_corpus`]).
    pub fn open(dir: &Path, threads: usize) -> Result<Run, RunError> {
        if !dir.join(CONFIG_NAME).exists() {
            return Err(RunError::NoRun { dir: dir.to_owned() });
        }
        let lock = Arc::new(RunLock::take(dir)?);
        let config = read_config(dir)?;
        let checkpoints = dir.join(CHECKPOINTS_NAME);
        let found = newest_or_none(dir, &checkpoints)?;
        let run_files = files::record(dir)?;
        if let Some(Found { manifest, .. }) = &found {
            save::check_config(&manifest.facts.config, &config)?;
            files::check(dir, &manifest.facts.run_files, &run_files)?;
        }
        let tokenizer = Tokenizer::load(&dir.join(TOKENIZER_NAME))?;
        let mut machine = Machine::open(dir, &config, threads)?;
        let corpus = CorpusRecord::read(dir)?;
        let dataset = corpus.fingerprint(&machine.train.tokens);
        let codes = read_codes(dir, &tokenizer)?;
        let inputs = machine.trainer.inputs();
        let files = ConstantFiles::new(&config.model, &tokenizer, codes.as_ref(), inputs);

        let (mut at, mut step, mut rejected) = (RunState::default(), 0, Vec::new());
        let mut val_loss_nats = None;
        if let Some(Found { path, manifest, rejected: why }) = found {
            manifest.check_inputs(&path, &dataset, files.tokenizer_blake3())?;
            save::load_state(&path, &mut machine.trainer, manifest.facts.state.n_updates)?;
            val_loss_nats = manifest.facts.val_loss_nats;
            (at, step, rejected) = (manifest.facts.state, manifest.facts.step, why);
            discard_after(&RealFs, &checkpoints, step)?;
        }
        let mut notices = if step == 0 { set_rows_aside(dir)? } else { Vec::new() };
        let lines = |name: &str, step| LineFile::resume(&RealFs, &dir.join(name), step);
        // Work that is still due writes its rows again.
        let done = step.saturating_sub(at.is_work_due.into());
        let metrics = lines(METRICS_NAME, step)?;
        let [samples, evals] = [lines(SAMPLES_NAME, done)?, lines(EVALS_NAME, done)?];
        notices.extend(missing(&at, &metrics.1, &evals.1, machine.valid.is_some()));
        let [metrics, samples, evals] = [metrics.0, samples.0, evals.0];
        let saver = start_saver(dir, &lock, &machine.trainer)
            .map_err(RunError::io("start a thread for", dir))?;
        let last_saved = (step > 0).then_some(step);
        let limits = LossLimits::of(config.model.vocab_size);
        Ok(Run {
            dir: dir.to_owned(),
            machine,
            tokenizer,
            corpus,
            dataset,
            files,
            saver,
            metrics,
            samples,
            evals,
            at,
            step,
            val_loss_nats,
            last_saved,
            rejected,
            notices,
            run_files,
            stop: Stop::default(),
            limits,
            accident: None,
            lock,
        })
    }

    /// Checks that all text files that still exist are unchanged since the run began. The run
    /// itself needs only its tokens.
    ///
    /// # Errors
    /// [`RunError::CorpusChanged`] with the first file that differs.
    pub fn check_corpus(&self) -> Result<(), RunError> {
        self.corpus.check(&self.dir)
    }

    /// Plants an accident in the steps to come, and sets what losses are compared with: for tests.
    #[doc(hidden)]
    pub fn plant(&mut self, accident: Accident, change: impl FnOnce(&mut LossLimits)) {
        self.accident = Some(accident);
        change(&mut self.limits);
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.machine.config
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Name and bytes of every allocation.
    pub(super) fn memory(&self) -> Vec<(&'static str, usize)> {
        let trainer = &self.machine.trainer;
        let snapshot = snapshot_len(trainer) * size_of::<f32>();
        let (cache, workspace) = self.machine.session.bytes();
        let mut memory = trainer.memory();
        memory.push(("samples", cache + workspace));
        memory.push(("snapshot of a save", snapshot));
        memory.push(("the program", self.machine.held_before as usize));
        memory
    }
}

/// The newest sound checkpoint of the run in `dir`, if it has any; removes what a crash left.
///
/// # Errors
/// [`RunError::CheckpointsGone`] if it had one.
fn newest_or_none(dir: &Path, checkpoints: &Path) -> Result<Option<Found>, RunError> {
    let was_saved = dir.join(SAVED_NAME).exists();
    if was_saved && !checkpoints.exists() {
        return Err(RunError::CheckpointsGone { dir: dir.to_owned() });
    }
    ensure_dir(&RealFs, checkpoints).map_err(RunError::io("make", checkpoints))?;
    clean(&RealFs, checkpoints)?;
    match newest(&RealFs, checkpoints) {
        Ok(found) => Ok(Some(found)),
        Err(LoadError::NoCheckpoint { rejected, .. }) if rejected.is_empty() && was_saved => {
            Err(RunError::CheckpointsGone { dir: dir.to_owned() })
        }
        Err(LoadError::NoCheckpoint { rejected, .. }) if rejected.is_empty() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What is missing from the files of a run in the state `at`, but does not keep it from going on.
fn missing(at: &RunState, metrics: &Resumed, evals: &Resumed, has_valid: bool) -> Vec<Notice> {
    let mut notices = Vec::new();
    if metrics.n_rows < at.n_metrics_rows {
        let (found, expected) = (metrics.n_rows, at.n_metrics_rows);
        notices.push(Notice::RowsMissing { file: METRICS_NAME, found, expected });
    }
    if at.best_step.is_some() && evals.n_rows == 0 {
        notices.push(Notice::RowsMissing { file: EVALS_NAME, found: 0, expected: 1 });
    }
    if at.best_step.is_some() && !has_valid {
        notices.push(Notice::HeldOutTextMissing);
    }
    notices
}

/// (V) occurrences of each token, for an output layer that needs them.
fn token_counts(layout: &Layout, tokens: &TokenFile, vocab: usize) -> Result<Vec<u64>, RunError> {
    Ok(if layout.shares_tables() { count_tokens(tokens, vocab)? } else { Vec::new() })
}

/// Parameters before the first step.
fn initial(layout: &Layout, seed: u64, token_counts: &[u64]) -> AlignedVec<f32> {
    let mut params = init_params(layout, seed);
    layout.head.init(&mut params, token_counts);
    params
}

/// Renames the rows of an attempt that ended before its first checkpoint: the run begins again, and
/// nothing is lost if its checkpoints were removed by mistake.
fn set_rows_aside(dir: &Path) -> Result<Vec<Notice>, RunError> {
    let is_kept = |path: &PathBuf| path.metadata().is_ok_and(|rows| rows.len() > 0);
    let names = [METRICS_NAME, SAMPLES_NAME, EVALS_NAME];
    let mut notices = Vec::new();
    for path in names.map(|name| dir.join(name)).into_iter().filter(is_kept) {
        let number = (1u64..).find(|n| !path.with_extension(format!("jsonl.{n}")).exists());
        let to = path.with_extension(format!("jsonl.{}", number.unwrap_or(0)));
        std::fs::rename(&path, &to).map_err(RunError::io("rename", &path))?;
        notices.push(Notice::BeginsAgain { rows: to });
    }
    notices.truncate(1);
    Ok(notices)
}

fn start_saver(dir: &Path, lock: &Arc<RunLock>, trainer: &Trainer) -> std::io::Result<Saver> {
    let mode = match snapshot_len(trainer) {
        0 => SaveMode::Inline,
        snapshot_len => SaveMode::Background { snapshot_len },
    };
    let fs = Arc::new(OwnFolder { dir: dir.to_owned(), lock: Arc::clone(lock) });
    let (dir, retention) = (dir.join(CHECKPOINTS_NAME), Retention::default());
    Saver::start(SaverOptions { fs, dir, retention, mode })
}

/// Floats of the copy that a save is written from: parameters and optimiser state; 0 if that would
/// take too much memory.
fn snapshot_len(trainer: &Trainer) -> usize {
    let layout = trainer.layout();
    let state = trainer.optimizer().state_len(layout);
    let len = layout.len + state;
    if len * size_of::<f32>() <= SNAPSHOT_BYTES_MAX { len } else { 0 }
}

/// The configuration in a run's folder.
pub(super) fn read_config(dir: &Path) -> Result<RunConfig, RunError> {
    let path = dir.join(CONFIG_NAME);
    let bytes = Input::open(&path)?.bytes(CONFIG_BYTES_MAX)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        .map_err(RunError::io("read", &path))?;
    toml::from_str(&text).map_err(|error| RunError::ConfigFile { path, message: error.to_string() })
}
