//! Flags that several commands have: the number format, threads, sampling.

use engine::generate::{Request, Sampling};
use engine::train::settings::PrecisionName;
use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer};

/// `--precision`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionArg {
    F32,
    Bf16,
    // bf16 where the processor multiplies it faster.
    Auto,
}

impl PrecisionArg {
    /// What it stands for on this machine.
    pub fn resolve(self) -> kernels::Precision {
        match self {
            PrecisionArg::F32 => kernels::Precision::F32,
            PrecisionArg::Bf16 => kernels::Precision::Bf16,
            PrecisionArg::Auto => PrecisionName::auto().kernels(),
        }
    }

    /// Whether the machine decides.
    pub fn is_auto(&self) -> bool {
        *self == PrecisionArg::Auto
    }
}

/// How to sample.
#[derive(Debug, clap::Args)]
pub struct SamplingArgs {
    /// Tokens to write at most.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_tokens: usize,
    /// 0 always takes the likeliest token; higher is more varied.
    #[arg(long, value_name = "X", default_value_t = 0.8)]
    temperature: f32,
    /// Only the k likeliest tokens; 0 is all.
    #[arg(long, value_name = "K", default_value_t = 50)]
    top_k: usize,
    /// Only the likeliest tokens that reach p together.
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    top_p: f32,
    /// Only tokens at least this many times as likely as the likeliest.
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Above 1 makes tokens already in the text less likely.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Seed; the same seed writes the same text [default: another each time].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// A string that ends the text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Keep writing after an end-of-text token.
    #[arg(long)]
    ignore_end: bool,
    /// Number format of matrix products.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub precision: PrecisionArg,
    /// Threads [default: one per core].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl SamplingArgs {
    /// The request these flags make.
    pub fn request(&self) -> Request {
        let sampling = Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed.unwrap_or_else(fresh_seed),
        };
        let (stop, ignore_end) = (self.stop.clone(), self.ignore_end);
        Request { sampling, max_tokens: self.max_tokens, stop, ignore_end, log_probs: false }
    }
}

/// Another seed each time, from the clock.
pub fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.as_nanos() as u64)
}

/// A value by the name that it has in files; a complaint lists the names there are.
pub fn parse_name<T: DeserializeOwned>(name: &str) -> Result<T, serde::de::value::Error> {
    T::deserialize(name.into_deserializer())
}

/// Threads to use: as many as the machine has cores for us, unless told otherwise.
pub fn threads(given: Option<usize>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get());
    given.unwrap_or_else(cores).clamp(1, 1024)
}
