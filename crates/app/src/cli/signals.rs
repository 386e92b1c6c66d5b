//! Ctrl-C and SIGTERM: the first requests a clean stop, the second ends the program at once.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Handles SIGXFSZ, so that exceeding a file size limit fails the write, with an error that names
/// the file, instead of killing the program.
pub fn survive_file_limits() -> Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())
        .context("cannot install the handler for SIGXFSZ")?;
    Ok(())
}

/// The first signal received, if any.
#[derive(Clone, Debug)]
pub struct Signals {
    came: Arc<AtomicUsize>,
}

impl Signals {
    /// Installs the handlers.
    pub fn listen() -> Result<Signals> {
        let came = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Registered before the flag is set, so that only a second signal ends the program.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&again),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&again)))
            .and_then(|_| {
                signal_hook::flag::register_usize(signal, Arc::clone(&came), signal as usize)
            })
            .context("cannot install the handler for Ctrl-C")?;
        }
        Ok(Signals { came })
    }

    /// True once a signal was received.
    pub fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed) != 0
    }

    /// 128 plus the signal, as shells report it; success if none was received.
    pub fn exit_code(&self) -> ExitCode {
        match self.came.load(Ordering::Relaxed) as u8 {
            0 => ExitCode::SUCCESS,
            signal => ExitCode::from(128 + signal),
        }
    }
}
