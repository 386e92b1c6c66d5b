//! Fuzz loop: mutate, write, parse, and watch for panics, time and memory.

use crate::mutate::{MutationRng, mutate};
use crate::targets::Target;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

/// Duration of a run, and limits on a single input.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// The run ends after this time.
    pub time: Duration,
    /// Longest time for one input.
    pub input_time: Duration,
    /// Most memory for one input, in bytes; checked where the system reports it (Linux).
    pub input_bytes: u64,
}

impl RunLimits {
    /// A run of this duration, with a second and 256 MiB per input.
    pub fn of(time: Duration) -> RunLimits {
        RunLimits { time, input_time: Duration::from_secs(1), input_bytes: 256 << 20 }
    }
}

/// Counts of a run without failures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All inputs.
    pub inputs: usize,
    /// Inputs that the parser accepted.
    pub accepted: usize,
}

/// Failure of a parser on an input, which is kept in the given file.
#[derive(Debug)]
pub enum Failure {
    /// The parser panicked.
    Panic(PathBuf),
    /// The parser took this long.
    Slow(PathBuf, Duration),
    /// The parser took this much memory, in bytes.
    Memory(PathBuf, u64),
    /// An input could not be written, or the target has no valid files.
    Io(PathBuf, io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Panic(path) => write!(f, "panic, on the input in {}", path.display()),
            Failure::Slow(path, time) => write!(f, "{time:?}, on the input in {}", path.display()),
            Failure::Memory(path, bytes) => {
                write!(f, "{} MiB, on the input in {}", bytes >> 20, path.display())
            }
            Failure::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// Parses mutated files until the time is over or an input fails.
///
/// Each input is written to `folder` before it is parsed, so it is there even if the process dies.
///
/// # Errors
/// The first [`Failure`].
pub fn run(target: Target, seed: u64, limits: RunLimits, folder: &Path) -> Result<Counts, Failure> {
    let seeds = valid_files(target.name)?;
    let path = folder.join(format!("{}.input", target.name));
    let (mut random, mut counts, start) = (MutationRng(seed), Counts::default(), Instant::now());
    while start.elapsed() < limits.time {
        let bytes = mutate(&mut random, &seeds, target.repair);
        write(&path, &bytes).map_err(|error| Failure::Io(path.clone(), error))?;
        counts.inputs += 1;
        counts.accepted += usize::from(parse(target, &path, &bytes, limits)?);
    }
    Ok(counts)
}

/// Replaces the contents of the file by `bytes`. Not by `fs::write`: some file systems treat a file
/// truncated to zero as a replaced document and wait for the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

/// Parses one input; returns whether it was accepted.
fn parse(target: Target, path: &Path, bytes: &[u8], limits: RunLimits) -> Result<bool, Failure> {
    let (before, start) = (peak_bytes(), Instant::now());
    let parsed = catch_unwind(AssertUnwindSafe(|| (target.parse)(path, bytes)));
    let (time, memory) = (start.elapsed(), peak_bytes().saturating_sub(before));
    match parsed {
        Err(_) => Err(Failure::Panic(path.into())),
        Ok(_) if time > limits.input_time => Err(Failure::Slow(path.into(), time)),
        Ok(_) if memory > limits.input_bytes => Err(Failure::Memory(path.into(), memory)),
        Ok(is_accepted) => Ok(is_accepted),
    }
}

/// The valid files of a target, sorted by name.
///
/// # Errors
/// [`Failure::Io`].
pub fn valid_files(name: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
    let read = || -> io::Result<Vec<Vec<u8>>> {
        let entries = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<_> = entries.iter().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().map(fs::read).collect()
    };
    read().map_err(|error| Failure::Io(folder.clone(), error))
}

/// Peak memory of the process, or 0 where the system does not report it.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
