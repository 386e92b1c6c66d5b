//! Repository files that the rules read: those of this repository, or made-up ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders in the root that belong to the repository, unlike those of a user's runs.
const FOLDERS: [&str; 7] = [".ci", ".github", "bench", "crates", "docs", "fuzz", "scripts"];

/// Texts by path; paths are relative to the root and use `/`.
pub struct Repo {
    files: BTreeMap<String, String>,
}

impl Repo {
    /// The repository that this test was compiled in.
    pub fn here() -> Repo {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut repo = Repo { files: BTreeMap::new() };
        for (path, is_folder) in entries(&root) {
            let name = path.file_name().expect("entries of read_dir have a name").to_string_lossy();
            if !is_folder {
                repo.add(&root, &path);
            } else if FOLDERS.contains(&&*name) {
                repo.add_folder(&root, &path);
            }
        }
        assert!(repo.files.contains_key("Cargo.toml"), "{} is not the root", root.display());
        repo
    }

    /// A repository of the given (path, text) pairs.
    pub fn of(files: &[(&str, &str)]) -> Repo {
        Repo { files: files.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect() }
    }

    fn add_folder(&mut self, root: &Path, folder: &Path) {
        for (path, is_folder) in entries(folder) {
            if !is_folder {
                self.add(root, &path);
            } else if !path.ends_with("target") && !path.ends_with("__pycache__") {
                self.add_folder(root, &path);
            }
        }
    }

    /// Adds a file; one that is not text counts as empty.
    fn add(&mut self, root: &Path, path: &Path) {
        let relative = path.strip_prefix(root).expect("the path is below the root");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        self.files.insert(parts.join("/"), fs::read_to_string(path).unwrap_or_default());
    }

    /// The text of one file, if it is there.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// (path, text) of each Rust file, in the order of paths.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(|(p, _)| p.ends_with(".rs")).map(|(p, t)| (p.as_str(), t.as_str()))
    }

    /// The Rust files that are not tests, benchmarks or examples.
    pub fn program_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_test = |path: &str| is_test_file(path) || path.ends_with("tests.rs");
        self.rust_files().filter(move |(path, _)| !is_test(path))
    }
}

/// (path, whether it is a folder) of each entry of `folder`.
fn entries(folder: &Path) -> Vec<(PathBuf, bool)> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .into_iter()
        .map(|entry| entry.path())
        .map(|path| (path.clone(), path.is_dir()))
        .collect()
}

/// The name of the crate that a path lies in: `kernels` of `crates/kernels/src/isa.rs`.
pub fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split('/').next()
}

/// Whether a path lies in a crate's `tests/`, `benches/` or `examples/`.
pub fn is_test_file(path: &str) -> bool {
    ["/tests/", "/benches/", "/examples/"].iter().any(|folder| path.contains(folder))
}

/// Fails with all complaints, one per line.
pub fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Fails unless there is exactly one complaint and it holds `part`.
pub fn assert_caught(complaints: &[String], part: &str) {
    let caught = complaints.len() == 1 && complaints[0].contains(part);
    assert!(caught, "expected one complaint about {part:?}, found {complaints:?}");
}
