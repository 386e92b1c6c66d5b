//! Retention of checkpoints: removes unwanted ones, but never the last one that verifies.

use super::scan::{Listed, list, step_name, val_loss, verify};
use crate::disk::{Fs, LoadError, SaveError, remove_folders, remove_unread};
use std::path::{Path, PathBuf};

/// Rule for the checkpoints of a run that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Number of newest ones to keep; at least 2, so that a damaged newest one has a predecessor.
    pub keep_last: usize,
    /// Whether to keep the one with the lowest loss on held-out text.
    pub keep_best: bool,
    /// Keeps those whose step is a multiple of this.
    pub keep_every: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { keep_last: 2, keep_best: true, keep_every: None }
    }
}

/// Removes the checkpoints of `dir` that `retention` does not keep, oldest first; returns them.
///
/// Folders with a damaged manifest are left for the user to inspect. At least one checkpoint that
/// was read and verified in full stays, whatever `retention` says; if there is none, nothing is
/// removed.
///
/// # Errors
/// [`SaveError::Io`]. Some checkpoints may then be removed and others not.
pub fn prune(fs: &dyn Fs, dir: &Path, retention: &Retention) -> Result<Vec<PathBuf>, SaveError> {
    let mut sound = list(fs, dir).map_err(|error| SaveError::KeptUnverified { source: error })?;
    sound.retain(|listed| listed.manifest.is_ok());
    let (kept, unwanted) = split(sound, retention);
    if unwanted.is_empty() {
        return Ok(Vec::new());
    }
    let verifies = |listed: &&Listed| verify(fs, &listed.path).is_ok();
    let mut removed: Vec<PathBuf> = Vec::new();
    if kept.iter().any(|listed| verifies(&listed)) {
        removed.extend(unwanted.iter().rev().map(|listed| listed.path.clone()));
    } else if let Some(newest) = unwanted.iter().find(verifies) {
        let others = unwanted.iter().filter(|listed| listed.step != newest.step);
        removed.extend(others.rev().map(|listed| listed.path.clone()));
    }
    // One that is being read is removed by a later call.
    remove_unread(fs, dir, removed)
}

/// Splits checkpoints, newest first, into those to keep and the others, both newest first.
fn split(sound: Vec<Listed>, retention: &Retention) -> (Vec<Listed>, Vec<Listed>) {
    let keep_last = retention.keep_last.max(2);
    let losses = sound.iter().filter_map(|listed| Some((val_loss(listed)?, listed.step)));
    let best = losses.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let best_step = best.filter(|_| retention.keep_best).map(|(_, step)| step);
    // What the run may go back to, by its newest state.
    let state = sound.first().and_then(|listed| Some(&listed.manifest.as_ref().ok()?.facts.state));
    let to_return_to = state.map_or([None; 2], |state| [state.proven_step, state.unproven_step]);
    let mut rank = 0;
    sound.into_iter().partition(|listed| {
        rank += 1;
        let is_multiple = |n| n > 0 && listed.step.is_multiple_of(n);
        rank <= keep_last
            || best_step == Some(listed.step)
            || to_return_to.contains(&Some(listed.step))
            || retention.keep_every.is_some_and(is_multiple)
    })
}

/// Removes the checkpoints of `dir` after `step`, sound or not, and returns them: a run that
/// resumes from `step` writes these steps again, and must not mistake the old ones for its own.
///
/// # Errors
/// [`SaveError::KeptUnverified`] if the checkpoint of `step` does not verify, or a later one is of
/// a newer version of this program: nothing is removed. [`SaveError::Io`].
pub fn discard_after(fs: &dyn Fs, dir: &Path, step: u64) -> Result<Vec<PathBuf>, SaveError> {
    let kept = |source: LoadError| SaveError::KeptUnverified { source };
    verify(fs, &dir.join(step_name(step))).map_err(kept)?;
    let mut later = Vec::new();
    for Listed { path, manifest, .. } in
        list(fs, dir).map_err(kept)?.into_iter().filter(|l| l.step > step)
    {
        match manifest {
            Err(newer @ LoadError::NewerVersion { .. }) => return Err(kept(newer)),
            _ => later.push(path),
        }
    }
    remove_folders(fs, dir, &later)?;
    Ok(later)
}
