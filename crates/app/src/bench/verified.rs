//! Verification record: the instruction paths and where each was last verified, as `bench` prints them.
//!
//! A test of the kernels compares all of them with their definitions on every path of its processor,
//! and writes the record. It states what was run, when and where, but does not cover later changes to a
//! kernel.

use kernels::Isa;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Record of the kernels' test `record_verification`, as of the build of this program.
const RECORD: &str = include_str!("../../../../bench/record/verified.toml");

/// The definition tests that one path passed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Passed {
    date: String,
    processor: String,
    /// Names of the functions compared with their definitions.
    kernels: Vec<String>,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Passed { date, processor, kernels } = self;
        write!(f, "{} kernels last verified on {date}, {processor}", kernels.len())
    }
}

/// The record: definition tests passed, by name of the path.
type Record = BTreeMap<String, Passed>;

/// One path, as printed by `crystalline bench`.
#[derive(Debug, Serialize)]
pub struct PathState {
    isa: &'static str,
    is_active: bool,
    is_available: bool,
    verified: String,
}

/// Every path, slowest first.
pub fn paths() -> Vec<PathState> {
    // A test checks that the record parses; here a bad record only means "not verified".
    let record: Record = toml::from_str(RECORD).unwrap_or_default();
    let state = |isa: Isa| PathState {
        isa: isa.name(),
        is_active: isa == Isa::active(),
        is_available: isa.is_available(),
        verified: record.get(isa.name()).map_or("unverified".into(), Passed::to_string),
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
mod tests {
    use super::*;

    #[test]
    fn the_record_parses_and_names_existing_paths() {
        let record: Record = toml::from_str(RECORD).unwrap();
        assert!(!record.is_empty());
        for (name, passed) in record {
            assert!(Isa::from_name(&name).is_some(), "{name}");
            assert!(passed.kernels.contains(&"rmsnorm_forward".to_string()), "{name}");
        }
    }

    #[test]
    fn a_path_is_shown_with_its_date_and_processor() {
        let (date, processor) = ("2001-02-03".into(), "a processor".into());
        let passed = Passed { date, processor, kernels: vec!["a".into(), "b".into()] };
        let verified = passed.to_string();
        let state = PathState { isa: "avx2", is_active: true, is_available: false, verified };
        assert_eq!(
            state.to_string(),
            "* avx2       2 kernels last verified on 2001-02-03, a processor (not on this processor)"
        );
    }
}
