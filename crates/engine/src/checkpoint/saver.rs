//! Background saves during training: a thread writes a copy of the state.
//!
//! At a step boundary the tensors are copied into a snapshot that was allocated at the start; the
//! optimiser may then change them. If memory is short, the state is written in place instead, while
//! training waits. In both modes the outcome is returned as a value, and training continues.

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

/// Method of writing checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveMode {
    /// From a copy, during training; needs memory for the given number of floats.
    Background {
        /// Total number of values of a checkpoint's tensors.
        snapshot_len: usize,
    },
    /// In place, while training waits; needs no memory.
    Inline,
}

/// Configuration of a [`Saver`].
#[derive(Clone)]
pub struct SaverOptions {
    /// File system.
    pub fs: Arc<dyn Fs>,
    /// Folder of the run's checkpoints, which exists.
    pub dir: PathBuf,
    /// Retention rule.
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

/// Writer thread with its channels.
struct Writer {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
    /// `None` while a save is in progress.
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
    /// Allocates the snapshot and starts the thread, if the mode needs them.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(options: SaverOptions) -> io::Result<Saver> {
        let writer = match options.mode {
            SaveMode::Inline => None,
            SaveMode::Background { snapshot_len } => Some(Writer::start(&options, snapshot_len)?),
        };
        Ok(Saver { options, writer, outcomes: VecDeque::new() })
    }

    /// Starts a save of `checkpoint`; its state may change as soon as this returns.
    ///
    /// Waits for the previous save if it is still in progress. The outcome comes from
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

    /// Whether a save is in progress.
    pub fn is_busy(&mut self) -> bool {
        self.receive(false);
        self.writer.as_ref().is_some_and(|writer| writer.snapshot.is_none())
    }

    /// Outcome of the oldest finished save that was not reported yet; does not wait.
    pub fn poll(&mut self) -> Option<Result<Saved, SaveError>> {
        self.receive(false);
        self.outcomes.pop_front()
    }

    /// Waits until no save is in progress; the outcomes stay for [`Saver::poll`].
    pub fn wait(&mut self) {
        self.receive(true);
    }

    /// Waits for the save in progress, ends the thread and returns the outcomes not yet reported.
    pub fn finish(mut self) -> Vec<Result<Saved, SaveError>> {
        self.wait();
        self.stop();
        std::mem::take(&mut self.outcomes).into()
    }

    /// Collects the outcome of the save in progress, if it has finished or `wait` is set.
    fn receive(&mut self, wait: bool) {
        let Some(writer) = &mut self.writer else { return };
        if writer.snapshot.is_some() {
            return;
        }
        let done = if wait {
            writer.done.recv().ok()
        } else {
            match writer.done.try_recv() {
                Err(std::sync::mpsc::TryRecvError::Empty) => return,
                result => result.ok(),
            }
        };
        match done {
            Some(Done { snapshot, outcome }) => {
                writer.snapshot = Some(snapshot);
                self.outcomes.push_back(outcome);
            }
            None => {
                // The thread panicked and its snapshot is lost: later saves are written in place.
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

/// Finishes the save in progress, because the program may be ending.
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

    /// Copies the state and hands it to the thread. Requires the snapshot to be present.
    fn submit(&mut self, checkpoint: &Checkpoint<'_>) {
        let snapshot = self.snapshot.take().expect("the caller has waited for the previous save");
        // A dead thread is detected when its answer is awaited.
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

    /// The checkpoint, with its tensors in the snapshot.
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
