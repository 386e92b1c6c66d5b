//! Verification record: the processor on which each instruction path last passed the definition tests.

use crate::definitions::{N_SHAPES, for_each_output};
use crate::ops;
use crate::paths::on_every_isa;
use std::collections::BTreeSet;
use std::process::Command;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/record/verified.toml");

const HEADER: &str = "\
# When and on which processor the kernels of each instruction path were last compared with their
# definitions, and which. `crystalline bench` shows it. Written by
# `cargo test -p crystalline-kernels record_verification -- --ignored`, which leaves alone the paths
# that the processor lacks.
";

/// Compares every kernel on every path of this processor, and records those that passed.
#[test]
#[ignore = "rewrites bench/record/verified.toml"]
fn record_verification() {
    let mut record = std::fs::read_to_string(RECORD).unwrap();
    on_every_isa(|isa| {
        let mut kernels = BTreeSet::new();
        for op in ops::ALL {
            for_each_output(&op, N_SHAPES, |output| {
                assert_eq!(output.mismatch(), None, "{}", isa.name());
                kernels.insert(output.what.split(' ').next().unwrap());
            });
        }
        let kernels: Vec<_> = kernels.iter().map(|name| format!("    \"{name}\",\n")).collect();
        let (date, processor) = (today(), processor());
        let section = format!(
            "date = \"{date}\"\nprocessor = \"{processor}\"\nkernels = [\n{}]\n",
            kernels.concat()
        );
        record = with_section(&record, isa.name(), &section);
    });
    std::fs::write(RECORD, record).unwrap();
}

/// The record with one section replaced; sections begin with `[name]` and are sorted.
fn with_section(record: &str, name: &str, section: &str) -> String {
    let others = record.split("\n[").skip(1).filter_map(|section| section.split_once("]\n"));
    let mut sections: Vec<_> = others.filter(|(other, _)| *other != name).collect();
    sections.push((name, section));
    sections.sort();
    let text = |(name, text): &(&str, &str)| format!("\n[{name}]\n{}\n", text.trim_end());
    sections.iter().map(text).fold(HEADER.to_string(), |all, section| all + &section)
}

#[test]
fn one_section_is_replaced_and_the_others_stay() {
    let record = with_section("", "avx2", "date = \"a\"\nkernels = [\n    \"x\",\n]\n");
    let both = with_section(&record, "avx512", "date = \"b\"\n");
    assert_eq!(
        both.strip_prefix(HEADER).unwrap(),
        "\n[avx2]\ndate = \"a\"\nkernels = [\n    \"x\",\n]\n\n[avx512]\ndate = \"b\"\n"
    );
    let again = with_section(&both, "avx2", "date = \"c\"\n");
    assert_eq!(
        again.strip_prefix(HEADER).unwrap(),
        "\n[avx2]\ndate = \"c\"\n\n[avx512]\ndate = \"b\"\n"
    );
}

/// The date in UTC.
fn today() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output().expect("every Unix has `date`");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// The processor's name; if that names a whole product line, the model too.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().unwrap_or("").trim() == name);
        line.and_then(|line| line.split(':').nth(1)).map(|value| value.trim().to_string())
    };
    let name = field("model name").unwrap_or(std::env::consts::ARCH.into());
    match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}
