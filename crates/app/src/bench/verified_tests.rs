//! The record of tested kernels is read rightly; and the test that writes it.

use super::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

const HEADER: &str = "\
# The kernel files of each instruction path, as they were when all kernel tests passed on it.
# Written by `cargo test -p crystalline record_verification -- --ignored`, which runs those tests
# first and leaves alone the paths that the processor lacks. `crystalline bench` shows it.

";

/// Runs all kernel tests, and records every path of this processor as verified if they pass.
#[test]
#[ignore = "runs the kernel tests and rewrites bench/record/verified.toml"]
fn record_verification() {
    let cargo = std::env::var("CARGO").unwrap_or("cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--locked", "--package", "crystalline-kernels"]).current_dir(root());
    assert!(tests.env_remove("CRYSTALLINE_ISA").status().expect("cargo runs this test").success());

    let file = root().join("bench/record/verified.toml");
    let mut record: Record = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for isa in Isa::available() {
        let (date, processor, files) = (today(), processor(), hashes(isa, SOURCES));
        record.insert(isa.name().into(), Passed { date, processor, files });
    }
    fs::write(file, format!("{HEADER}{}", toml::to_string(&record).unwrap())).unwrap();
}

/// The date in UTC.
fn today() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output().expect("every Unix has `date`");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// What the processor calls itself; where the name is that of a whole line of them, also which.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
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

/// Files of the kernels' crate that compute nothing.
const OTHERS: [&str; 5] = ["aligned.rs", "lib.rs", "mapped_file.rs", "pool.rs", "probe.rs"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().unwrap() == "tests" {
            continue;
        }
        if path.is_dir() { rust_files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn every_kernel_file_is_hashed() {
    let folder = root().join("crates/kernels/src");
    let mut found = Vec::new();
    rust_files(&folder, &mut found);
    let name = |path: &PathBuf| path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
    let mut found: Vec<String> = found.iter().map(name).collect();
    found.retain(|name| !OTHERS.contains(&name.as_str()));
    found.sort();
    let mut listed: Vec<&str> = SOURCES.iter().map(|(file, _)| *file).collect();
    listed.sort();
    assert_eq!(found, listed);
}

#[test]
fn the_record_can_be_read_and_names_paths_that_exist() {
    let record: Record = toml::from_str(RECORD).unwrap();
    for name in record.keys() {
        assert!(Isa::from_name(name).is_some(), "{name}");
    }
}

/// Two files of the avx2 path, one of them its own.
const TWO: [(&str, &str); 2] = [("rows.rs", "one"), ("matmul/tile_avx2.rs", "two")];

fn record_of(isa: Isa) -> Record {
    let (date, processor) = ("2001-02-03".into(), "a processor".into());
    let passed = Passed { date, processor, files: hashes(isa, &TWO) };
    Record::from([(isa.name().to_string(), passed)])
}

#[test]
fn a_path_is_verified_until_one_of_its_files_changes() {
    let record = record_of(Isa::Avx2);
    let verdict = |isa, sources: &[(&str, &str)]| Verdict::of(&record, isa, sources).to_string();
    assert_eq!(verdict(Isa::Avx2, &TWO), "verified on 2001-02-03, a processor");
    assert_eq!(verdict(Isa::Portable, &TWO), "unverified");
    let changed = [TWO[0], (TWO[1].0, "two, but faster")];
    let text = "unverified: matmul/tile_avx2.rs is not what was tested on 2001-02-03";
    assert_eq!(verdict(Isa::Avx2, &changed), text);
    let more = [TWO[0], TWO[1], ("softmax.rs", "three")];
    assert!(verdict(Isa::Avx2, &more).starts_with("unverified: softmax.rs"));
    assert!(verdict(Isa::Avx2, &TWO[..1]).starts_with("unverified: matmul/tile_avx2.rs"));
}

#[test]
fn a_change_of_one_path_leaves_the_others_verified() {
    let changed = [TWO[0], (TWO[1].0, "two, but faster")];
    for isa in Isa::ALL {
        let is_verified =
            matches!(Verdict::of(&record_of(isa), isa, &changed), Verdict::Verified { .. });
        assert_eq!(is_verified, isa != Isa::Avx2, "{}", isa.name());
    }
}

#[test]
fn tiles_belong_to_the_paths_that_call_them() {
    let paths = |file| Isa::ALL.into_iter().filter(move |isa| is_part_of(file, *isa));
    let names = |file| paths(file).map(Isa::name).collect::<Vec<_>>();
    assert_eq!(names("attention/tile_portable.rs"), ["portable"]);
    assert_eq!(names("matmul/tile_avx512.rs"), ["avx512", "avx512bf16"]);
    assert_eq!(names("matmul/tile_avx512_bf16.rs"), ["avx512bf16"]);
    assert_eq!(names("attention/tile.rs").len(), Isa::ALL.len());
}
