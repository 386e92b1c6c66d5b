//! Ctrl-C, SIGTERM and a closed terminal: while there is something to save, the first requests a
//! clean stop and the second ends the program at once; before and after, the first does so.

use anyhow::{Context, Result};
use kernels::Stop;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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

/// Ends the program without any further code of it.
pub fn exit_now(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// The last signal received, if any.
#[derive(Clone, Debug)]
pub struct Signals {
    came: Arc<AtomicUsize>,
    /// Whether a signal ends the program at once.
    at_once: Arc<AtomicBool>,
    stop: Stop,
}

impl Signals {
    /// Installs the handlers. Until [`Signals::ask_first`], a signal ends the program at once.
    pub fn listen() -> Result<Signals> {
        let (came, stop) = (Arc::new(AtomicUsize::new(0)), Stop::default());
        let at_once = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // `nohup` has its program ignore a closed terminal, and so it does.
            if signal == SIGHUP && is_ignored(signal) {
                continue;
            }
            // Registered before the flag is set, so that only a second signal ends the program.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&at_once),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&at_once)))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(stop.flag())))
            .and_then(|_| {
                signal_hook::flag::register_usize(signal, Arc::clone(&came), signal as usize)
            })
            .context("cannot install the handler for Ctrl-C")?;
        }
        Ok(Signals { came, at_once, stop })
    }

    /// From now on there is something to save or to tidy up: the first signal requests a stop.
    pub fn ask_first(&self) {
        if !self.came() {
            self.at_once.store(false, Ordering::Relaxed);
        }
    }

    /// From now on there is nothing to save: a signal ends the program at once.
    pub fn end_at_once(&self) {
        self.at_once.store(true, Ordering::Relaxed);
    }

    /// The request to stop that a signal makes.
    pub fn stop(&self) -> &Stop {
        &self.stop
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

/// Whether the program was started with this signal ignored, where the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
