//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Makes a file that may not grow an error of the write, which says what was being written; unheard,
/// the signal of it would end the program.
pub fn survive_file_limits() -> Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
        .context("cannot listen for a limit on files")?;
    Ok(())
}

/// Whether a signal came, and which.
#[derive(Clone, Debug)]
pub struct Signals {
    came: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Result<Signals> {
        let came = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Registered first, so that it sees the flag of an earlier signal only.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&again),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&again)))
            .and_then(|_| {
                signal_hook::flag::register_usize(signal, Arc::clone(&came), signal as usize)
            })
            .context("cannot listen for Ctrl-C")?;
        }
        Ok(Signals { came })
    }

    /// Whether one came.
    pub fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed) != 0
    }

    /// What a program that ended because of it exits with; success if none came.
    pub fn exit_code(&self) -> ExitCode {
        match self.came.load(Ordering::Relaxed) as u8 {
            0 => ExitCode::SUCCESS,
            signal => ExitCode::from(128 + signal),
        }
    }
}
