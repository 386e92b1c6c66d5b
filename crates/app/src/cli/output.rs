//! Output files that a user names: one that exists is replaced only if the user says so.

use anyhow::Result;
use engine::disk::SaveError;
use std::path::Path;

/// `--force`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Force {
    /// Replace output files that exist.
    #[arg(long)]
    force: bool,
}

impl Force {
    /// Checks that `path` may be written: nothing is there, or the user wants a file replaced. To be
    /// called before any work.
    ///
    /// # Errors
    /// [`SaveError::Exists`].
    pub fn check(self, path: &Path) -> Result<()> {
        // A link counts by itself, even one to nothing.
        let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(()) };
        if self.force && !there.is_dir() {
            return Ok(());
        }
        Err(SaveError::Exists { path: path.to_owned() }.into())
    }
}
