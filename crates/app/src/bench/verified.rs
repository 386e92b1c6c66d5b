//! Which kernel files were tested on which processor, and whether they have changed since.
//!
//! The record holds the hash of every file that a path is made of, from the time when the kernel
//! tests last passed on that path. The same files are hashed as they are built into this program:
//! a path whose files differ is unverified, whatever its figures say.

use kernels::Isa;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What the ignored test `record_verification` wrote, as it was when this program was built.
const RECORD: &str = include_str!("../../../../bench/record/verified.toml");

/// Pairs of a path below the sources of the kernels and the text of that file.
macro_rules! sources {
    ($($path:literal),+ $(,)?) => {
        [$(($path, include_str!(concat!("../../../kernels/src/", $path)))),+]
    };
}

/// Every file on which a kernel's result depends.
const SOURCES: &[(&str, &str)] = &sources![
    "accum.rs",
    "adamw.rs",
    "arch.rs",
    "composed.rs",
    "cross_entropy.rs",
    "dropout.rs",
    "embedding.rs",
    "exp.rs",
    "gated_mlp.rs",
    "isa.rs",
    "lanes.rs",
    "qk_norm.rs",
    "reduce.rs",
    "rmsnorm.rs",
    "rope.rs",
    "row_dot.rs",
    "row_sums.rs",
    "rows.rs",
    "scalar.rs",
    "attention/backward.rs",
    "attention/cached.rs",
    "attention/forward.rs",
    "attention/layout.rs",
    "attention/mod.rs",
    "attention/naive.rs",
    "attention/pack.rs",
    "attention/tile.rs",
    "attention/tile_avx2.rs",
    "attention/tile_avx512.rs",
    "attention/tile_portable.rs",
    "matmul/blocks.rs",
    "matmul/mod.rs",
    "matmul/naive.rs",
    "matmul/pack.rs",
    "matmul/panels.rs",
    "matmul/prefetch.rs",
    "matmul/straight.rs",
    "matmul/tile.rs",
    "matmul/tile_avx2.rs",
    "matmul/tile_avx512.rs",
    "matmul/tile_avx512_bf16.rs",
    "matmul/tile_portable.rs",
    "matmul/transpose.rs",
    "matmul/wgrad.rs",
];

/// The tests that were passed on one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Passed {
    date: String,
    processor: String,
    /// blake3 of each file of the path.
    files: BTreeMap<String, String>,
}

/// The record: what passed, by the name of the path.
type Record = BTreeMap<String, Passed>;

/// Whether the kernels of a path are the ones that were tested.
#[derive(Debug, PartialEq)]
enum Verdict {
    Verified {
        date: String,
        processor: String,
    },
    /// A file is not the one that was tested.
    Changed {
        file: String,
        date: String,
    },
    Never,
}

impl Verdict {
    fn of(record: &Record, isa: Isa, sources: &[(&str, &str)]) -> Verdict {
        let Some(passed) = record.get(isa.name()) else { return Verdict::Never };
        let (now, then) = (hashes(isa, sources), &passed.files);
        let changed = now.keys().chain(then.keys()).find(|file| now.get(*file) != then.get(*file));
        let date = passed.date.clone();
        match changed {
            Some(file) => Verdict::Changed { file: file.clone(), date },
            None => Verdict::Verified { date, processor: passed.processor.clone() },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Verified { date, processor } => write!(f, "verified on {date}, {processor}"),
            Verdict::Changed { file, date } => {
                write!(f, "unverified: {file} is not what was tested on {date}")
            }
            Verdict::Never => write!(f, "unverified"),
        }
    }
}

/// Whether the file is a part of the path: the tiles of a path are in files of its name, except
/// that avx512bf16 takes from avx512 whatever has nothing to do with bf16.
fn is_part_of(file: &str, isa: Isa) -> bool {
    let stem = file.trim_end_matches(".rs");
    match stem.rsplit_once("tile_") {
        None => true,
        Some((_, "portable")) => isa == Isa::Portable,
        Some((_, "avx2")) => isa == Isa::Avx2,
        Some((_, "avx512")) => isa >= Isa::Avx512,
        Some((_, "avx512_bf16")) => isa == Isa::Avx512Bf16,
        // Not known here: whoever adds it must have tested everything.
        Some(_) => true,
    }
}

/// The hash of each file of a path.
fn hashes(isa: Isa, sources: &[(&str, &str)]) -> BTreeMap<String, String> {
    let files = sources.iter().filter(|(file, _)| is_part_of(file, isa));
    files
        .map(|(file, text)| (file.to_string(), blake3::hash(text.as_bytes()).to_string()))
        .collect()
}

/// One path, as `crystalline bench` shows it.
#[derive(Debug, Serialize)]
pub struct PathState {
    isa: &'static str,
    is_active: bool,
    is_available: bool,
    verified: String,
}

/// Every path, slowest first.
pub fn paths() -> Vec<PathState> {
    // That the record can be read is the matter of a test; here it would be no reason to stop.
    let record: Record = toml::from_str(RECORD).unwrap_or_default();
    let state = |isa: Isa| PathState {
        isa: isa.name(),
        is_active: isa == Isa::active(),
        is_available: isa.is_available(),
        verified: Verdict::of(&record, isa, SOURCES).to_string(),
    };
    Isa::ALL.into_iter().map(state).collect()
}

impl fmt::Display for PathState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_active { '*' } else { ' ' };
        let absent = if self.is_available { "" } else { " (not on this processor)" };
        write!(f, "{mark} {:<10} {}{absent}", self.isa, self.verified)
    }
}

#[cfg(test)]
#[path = "verified_tests.rs"]
mod tests;
