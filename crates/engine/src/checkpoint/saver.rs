//! Background saves, while training goes on: a copy of the state is written by a thread of its own.
//!
//! At a step boundary the tensors are copied into a snapshot that was allocated at the start; the
//! optimiser is then free to change them. Where memory is short the state is written from where it
//! lies instead, while training waits. Either way the outcome is a value, and training goes on.

use super::manifest::Facts;
use super::prune::Retention;
use super::save::{Checkpoint, Saved, save_checkpoint};
use crate::disk::{Fs, SaveError};
use crate::formats::{FileContents, FileEntry, TensorRef};
use kernels::AlignedVec;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// How checkpoints are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveMode {
    /// From a copy, while training goes on; memory for this many floats.
    Background {
        /// Values of all tensors of a checkpoint together.
        snapshot_len: usize,
    },
    /// From where the state lies, while training waits; no memory.
    Inline,
}

/// Where checkpoints go and how.
#[derive(Clone)]
pub struct SaverOptions {
    /// The disk.
    pub fs: Arc<dyn Fs>,
    /// The folder of the run's checkpoints; it exists.
    pub dir: PathBuf,
    /// Which ones stay.
    pub retention: Retention,
    /// From a copy or in place.
    pub mode: SaveMode,
}

/// Writes the checkpoints of one run, one at a time.
pub struct Saver {
    options: SaverOptions,
    writer: Option<Writer>,
    outcomes: VecDeque<Result<Saved, SaveError>>,
}

/// The thread, what it is given and what it gives back.
struct Writer {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
    /// Here unless a save is under way.
    snapshot: Option<AlignedVec<f32>>,
}

/// A checkpoint whose tensors are ranges of a snapshot.
struct Job {
    snapshot: AlignedVec<f32>,
    facts: Facts,
    files: Vec<(String, JobContents)>,
}

enum JobContents {
    Bytes(Arc<[u8]>),
    Tensors(Vec<(String, Vec<usize>, Range<usize>)>),
}

struct Done {
    snapshot: AlignedVec<f32>,
    outcome: Result<Saved, SaveError>,
}

impl Saver {
    /// Allocates the snapshot and starts the thread, if the mode has them.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(options: SaverOptions) -> io::Result<Saver> {
        let writer = match options.mode {
            SaveMode::Inline => None,
            SaveMode::Background { snapshot_len } => Some(Writer::start(&options, snapshot_len)?),
        };
        Ok(Saver { options, writer, outcomes: VecDeque::new() })
    }

    /// Takes the state of `checkpoint` to be saved; it may change as soon as this returns.
    ///
    /// If the save before is still under way, waits for it first. The outcome comes from
    /// [`Saver::poll`].
    ///
    /// # Panics
    /// If the tensors have more values than the snapshot.
    pub fn save(&mut self, checkpoint: &Checkpoint<'_>) {
        self.wait();
        let SaverOptions { fs, dir, retention, .. } = &self.options;
        match &mut self.writer {
            None => {
                self.outcomes.push_back(save_checkpoint(fs.as_ref(), dir, checkpoint, retention))
            }
            Some(writer) => writer.submit(checkpoint),
        }
    }

    /// Whether a save is under way.
    pub fn is_busy(&mut self) -> bool {
        self.receive(false);
        self.writer.as_ref().is_some_and(|writer| writer.snapshot.is_none())
    }

    /// The outcome of the oldest save that is finished and was not reported yet; does not wait.
    pub fn poll(&mut self) -> Option<Result<Saved, SaveError>> {
        self.receive(false);
        self.outcomes.pop_front()
    }

    /// Waits until no save is under way; the outcomes stay for [`Saver::poll`].
    pub fn wait(&mut self) {
        self.receive(true);
    }

    /// Waits for the save under way, ends the thread and returns the outcomes not yet reported.
    pub fn finish(mut self) -> Vec<Result<Saved, SaveError>> {
        self.wait();
        self.stop();
        std::mem::take(&mut self.outcomes).into()
    }

    /// Collects the outcome of the save under way, if there is one and it has finished or `wait`.
    fn receive(&mut self, wait: bool) {
        let Some(writer) = &mut self.writer else { return };
        if writer.snapshot.is_some() {
            return;
        }
        let done = match wait {
            true => writer.done.recv().ok(),
            false => match writer.done.try_recv() {
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                result => result.ok(),
            },
        };
        match done {
            Some(Done { snapshot, outcome }) => {
                writer.snapshot = Some(snapshot);
                self.outcomes.push_back(outcome);
            }
            None => {
                // The thread panicked and its snapshot is gone: later saves are made in place.
                self.outcomes.push_back(Err(SaveError::WriterStopped));
                self.stop();
            }
        }
    }

    fn stop(&mut self) {
        if let Some(Writer { jobs, thread, .. }) = self.writer.take() {
            drop(jobs); // ends its loop
            let _ = thread.join();
        }
    }
}

/// A save under way is finished: the program may be ending.
impl Drop for Saver {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Writer {
    fn start(options: &SaverOptions, snapshot_len: usize) -> io::Result<Writer> {
        let (jobs, todo) = channel::<Job>();
        let (report, done) = channel();
        let SaverOptions { fs, dir, retention, .. } = options.clone();
        let thread = thread::Builder::new().name("checkpoint".to_string()).spawn(move || {
            for job in todo {
                let outcome = save_checkpoint(fs.as_ref(), &dir, &job.checkpoint(), &retention);
                if report.send(Done { snapshot: job.snapshot, outcome }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Writer { jobs, done, thread, snapshot: Some(AlignedVec::zeroed(snapshot_len)) })
    }

    /// Copies the state and hands it to the thread. The snapshot must be here.
    fn submit(&mut self, checkpoint: &Checkpoint<'_>) {
        let snapshot = self.snapshot.take().expect("the caller has waited for the save before");
        // That the thread is gone is found when its answer is waited for.
        let _ = self.jobs.send(Job::copy_of(checkpoint, snapshot));
    }
}

impl Job {
    fn copy_of(checkpoint: &Checkpoint<'_>, mut snapshot: AlignedVec<f32>) -> Job {
        let mut start = 0;
        let mut copy = |data: &[f32]| {
            let range = start..start + data.len();
            assert!(range.end <= snapshot.len(), "Saver::save: more values than the snapshot has");
            snapshot[range.clone()].copy_from_slice(data);
            start = range.end;
            range
        };
        let files = checkpoint.files.iter().map(|file| {
            let contents = match &file.contents {
                FileContents::Bytes(bytes) => JobContents::Bytes(bytes.clone()),
                FileContents::Tensors(tensors) => JobContents::Tensors(
                    tensors
                        .iter()
                        .map(|t| (t.name.clone(), t.shape.clone(), copy(t.data)))
                        .collect(),
                ),
            };
            (file.name.clone(), contents)
        });
        let files = files.collect();
        Job { facts: checkpoint.facts.clone(), files, snapshot }
    }

    /// The checkpoint again, its tensors in the snapshot.
    fn checkpoint(&self) -> Checkpoint<'_> {
        let files = self.files.iter().map(|(name, contents)| {
            let contents = match contents {
                JobContents::Bytes(bytes) => FileContents::Bytes(bytes.clone()),
                JobContents::Tensors(tensors) => FileContents::Tensors(
                    tensors
                        .iter()
                        .map(|(name, shape, range)| TensorRef {
                            name: name.clone(),
                            shape: shape.clone(),
                            data: &self.snapshot[range.clone()],
                        })
                        .collect(),
                ),
            };
            FileEntry { name: name.clone(), contents }
        });
        Checkpoint { facts: self.facts.clone(), files: files.collect() }
    }
}
