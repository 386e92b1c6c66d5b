//! Flags shared by several commands: number format, threads, sampling.

use super::quantity::{count, parse_seed, whole};
use super::say::say;
use anyhow::Result;
use engine::generate::{Request, SamplerError, Sampling};
use engine::memory;
use engine::train::settings::PrecisionName;
use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer};

/// `--precision`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    F32,
    Bf16,
    // bf16 where the processor has instructions that multiply it faster.
    Auto,
}

impl PrecisionArg {
    /// The format on this machine.
    pub fn resolve(self) -> kernels::Precision {
        match self {
            PrecisionArg::F32 => kernels::Precision::F32,
            PrecisionArg::Bf16 => kernels::Precision::Bf16,
            PrecisionArg::Auto => PrecisionName::auto().kernels(),
        }
    }

    /// True if the processor decides.
    pub fn is_auto(&self) -> bool {
        *self == PrecisionArg::Auto
    }
}

/// Sampling flags.
#[derive(Debug, clap::Args)]
pub struct SamplingArgs {
    /// Maximum number of tokens to generate.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count(0))]
    pub max_tokens: usize,
    /// Sampling temperature; 0 always takes the most likely token, higher is more varied.
    #[arg(long, value_name = "X", default_value_t = 0.8)]
    temperature: f32,
    /// Sample from the k most likely tokens only; 0 for all [default: 50].
    #[arg(long, value_name = "K", value_parser = count(0))]
    top_k: Option<usize>,
    /// Sample from the most likely tokens whose probabilities sum to p [default: 0.95].
    #[arg(long, value_name = "P")]
    top_p: Option<f32>,
    /// Sample only tokens with at least this share of the highest probability [default: 0].
    #[arg(long, value_name = "P")]
    min_p: Option<f32>,
    /// Above 1, tokens already in the text become less likely.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Random seed; the same seed gives the same text [default: a new one each time].
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    seed: Option<u64>,
    /// String that ends the text; may be repeated. \n is a line end, \t a tab, \\ a backslash.
    #[arg(long, value_name = "TEXT", value_parser = parse_stop)]
    stop: Vec<String>,
    /// Never choose a token that ends the text: write on up to the maximum.
    #[arg(long)]
    ignore_end: bool,
    /// Number format of matrix products.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub precision: PrecisionArg,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub threads: Option<usize>,
}

impl SamplingArgs {
    /// Whether the text depends on a seed that the user does not know and has to be told.
    pub fn draws_seed(&self) -> bool {
        self.seed.is_none() && self.temperature > 0.0
    }

    /// The generation request of these flags, to a model whose texts end at `text_ends`.
    ///
    /// # Errors
    /// If a sampling setting is invalid.
    pub fn request(&self, text_ends: &[u32]) -> Result<Request, SamplerError> {
        let usual = Sampling::default();
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k.unwrap_or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            min_p: self.min_p.unwrap_or(usual.min_p),
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.unwrap_or_else(fresh_seed),
        };
        sampling.check()?;
        let ignored = self.ignored();
        if !ignored.is_empty() {
            say!(
                "note: --temperature 0 always takes the most likely token, so these change nothing: {}",
                ignored.join(", ")
            );
        }
        Ok(Request {
            sampling,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            ends: text_ends.to_vec(),
            forbidden: if self.ignore_end { text_ends.to_vec() } else { Vec::new() },
            ..Request::default()
        })
    }
}

impl SamplingArgs {
    /// The flags given that have no effect, since nothing is drawn.
    fn ignored(&self) -> Vec<&'static str> {
        let given = [
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p.is_some()),
            ("--min-p", self.min_p.is_some()),
            ("--seed", self.seed.is_some()),
        ];
        let is_drawn = self.temperature != 0.0;
        given.iter().filter(|(_, is_given)| *is_given && !is_drawn).map(|(flag, _)| *flag).collect()
    }
}

/// Parses `--stop`. Shells pass a backslash and an n on as they are.
fn parse_stop(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("expected at least one character".to_owned());
    }
    let (mut stop, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            stop.push(c);
            continue;
        }
        stop.push(match chars.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('\\') => '\\',
            _ => return Err(r"after a backslash, expected n, r, t or a second one".to_owned()),
        });
    }
    Ok(stop)
}

/// A seed from the clock, short enough to be typed again.
pub fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |time| time.as_nanos() as u64);
    // The upper half of a product by an odd constant depends on all lower digits.
    nanos.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Parses a value by its serde name; the error lists the valid names.
pub fn parse_name<T: DeserializeOwned>(name: &str) -> Result<T, String> {
    T::deserialize(name.into_deserializer()).map_err(|error: serde::de::value::Error| {
        let message = error.to_string();
        let unknown = format!("unknown variant `{name}`, ");
        message.strip_prefix(&unknown).unwrap_or(&message).to_owned()
    })
}

/// Most threads.
const THREADS_MAX: usize = 1024;

/// Parses `--threads`.
pub fn parse_threads(text: &str) -> Result<usize, String> {
    whole(1..=THREADS_MAX)(text)
}

/// Number of threads: the given one, or one per available core.
///
/// # Errors
/// If the system does not start so many; the message says how many it starts.
pub fn threads(given: Option<usize>) -> Result<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    let wanted = given.unwrap_or_else(cores).clamp(1, THREADS_MAX);
    // A thread that starts as the last memory goes would panic in the standard library.
    let n_fit = 1 + memory::threads_max();
    if wanted > n_fit {
        let why = std::io::ErrorKind::OutOfMemory.into();
        return Err(TooManyThreads { wanted, n_started: n_fit, why }.into());
    }
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let mut started = Vec::new();
    let refusal = (1..wanted).find_map(|_| {
        let held = std::sync::Arc::clone(&held);
        // Each waits until all were started, and ends.
        let wait = move || drop(held.lock().map(|held| held.recv()));
        match std::thread::Builder::new().spawn(wait) {
            Ok(thread) => {
                started.push(thread);
                None
            }
            Err(error) => Some(error),
        }
    });
    drop(hold);
    let n_started = started.len() + 1;
    started.into_iter().for_each(|thread| drop(thread.join()));
    match refusal {
        Some(why) => Err(TooManyThreads { wanted, n_started, why }.into()),
        None => Ok(wanted),
    }
}

/// The system does not start as many threads as are wanted.
#[derive(Debug, thiserror::Error)]
#[error("--threads {wanted}: the system starts {n_started} of them ({why}); ask for fewer")]
pub struct TooManyThreads {
    wanted: usize,
    n_started: usize,
    why: std::io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_strings_may_be_written_with_backslashes() {
        for (given, meant) in [("END", "END"), (r"\n\n", "\n\n"), (r"a\tb\\n\r", "a\tb\\n\r")] {
            assert_eq!(parse_stop(given).as_deref(), Ok(meant));
        }
        for bad in ["", r"\", r"\d", r"a\ b"] {
            assert!(parse_stop(bad).is_err(), "{bad}");
        }
    }
}
