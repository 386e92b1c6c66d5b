//! Layers: rule that crates, and the folders of the engine, depend on lower layers only.

use crate::tidy::repo::{Repo, assert_caught, assert_none, crate_of};
use crate::tidy::rust_text::{code_of, has_word};

/// Crates from bottom to top; crates of one layer must not depend on each other.
const LAYERS: [(&str, u32); 5] =
    [("kernels", 0), ("lattice", 0), ("text", 1), ("engine", 2), ("app", 3)];

/// Folders of the engine from bottom to top; folders of one layer may import each other.
const FOLDERS: [(&str, u32); 9] = [
    ("disk", 0),
    ("head", 1),
    ("model", 1),
    ("formats", 2),
    ("checkpoint", 3),
    ("generate", 3),
    ("train", 4),
    ("convert", 5),
    ("vocabulary", 5),
];

fn layer(name: &str) -> Option<u32> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

fn upward_dependencies(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for path in repo.paths().filter(|p| p.starts_with("crates/") && p.ends_with("/Cargo.toml")) {
        let name = crate_of(path).unwrap_or_default();
        let Some(own) = layer(name) else {
            complaints.push(format!("{path}: `{name}` has no layer; give it one in this test"));
            continue;
        };
        for dependency in dependencies(repo.get(path).unwrap_or_default()) {
            if layer(&dependency).is_some_and(|other| other >= own) {
                complaints.push(format!("{path}: `{name}` must not depend on `{dependency}`"));
            }
        }
    }
    complaints
}

/// Names of all dependencies in a manifest; crates of this repository by their folder name.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("cargo has read it before this test");
    let targets = manifest.get("target").and_then(|t| t.as_table());
    let tables = targets.into_iter().flat_map(|t| t.values()).filter_map(|t| t.as_table());
    let mut names = Vec::new();
    for table in tables.chain([&manifest]) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(|t| t.as_table()).into_iter().flatten() {
                let package = value.get("package").and_then(|p| p.as_str()).unwrap_or(key);
                names.push(match package {
                    "crystalline" => "app".to_string(),
                    other => other.trim_start_matches("crystalline-").to_string(),
                });
            }
        }
    }
    names
}

/// Complaints about upward imports between folders of the engine.
fn upward_imports(repo: &Repo) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in repo.rust_files() {
        let Some(inside) = path.strip_prefix("crates/engine/src/") else { continue };
        let Some((folder, _)) = inside.split_once('/') else { continue };
        let Some(&(_, own)) = FOLDERS.iter().find(|(name, _)| *name == folder) else {
            complaints.push(format!("{path}: `{folder}` has no layer; give it one in this test"));
            continue;
        };
        for (i, line) in code_of(text).lines().enumerate().filter(|(_, l)| l.contains("crate::")) {
            let above = FOLDERS.iter().filter(|(_, layer)| *layer > own);
            for (name, _) in above.filter(|(name, _)| has_word(line, name)) {
                complaints.push(format!("{path}:{}: `{folder}` must not import `{name}`", i + 1));
            }
        }
    }
    complaints
}

#[test]
fn arrows_point_down() {
    assert_none(upward_dependencies(&Repo::here()));
    assert_none(upward_imports(&Repo::here()));
}

#[test]
fn catches_upward_dependencies() {
    let check = |name: &str, manifest: &str| {
        upward_dependencies(&Repo::of(&[(&format!("crates/{name}/Cargo.toml"), manifest)]))
    };
    assert_none(check("app", "[dependencies]\nengine.workspace = true\nkernels.workspace = true"));
    assert_none(check(
        "engine",
        "[dependencies]\ntext.workspace = true\nkernels.workspace = true\nserde = \"1\"",
    ));
    let upward = [
        ("kernels", "[dependencies]\nengine.workspace = true"),
        ("kernels", "[dev-dependencies]\nlattice.workspace = true"),
        ("text", "[dev-dependencies]\nengine.workspace = true"),
        (
            "lattice",
            "[build-dependencies]\nk = { path = \"../k\", package = \"crystalline-kernels\" }",
        ),
        ("engine", "[target.'cfg(unix)'.dependencies]\ncrystalline = { path = \"../app\" }"),
    ];
    for (name, manifest) in upward {
        assert_caught(&check(name, manifest), "must not depend on");
    }
    assert_caught(&check("gadget", ""), "`gadget` has no layer");
}

#[test]
fn catches_upward_imports() {
    let check = |path: &str, text| {
        upward_imports(&Repo::of(&[(&format!("crates/engine/src/{path}"), text)]))
    };
    let forward = "model/forward.rs";
    assert_none(check(forward, "use crate::tidy::head; // crate::train is above\nfn train() {}\n"));
    assert_none(check("train/run/save.rs", "use crate::tidy::{disk, checkpoint};\n"));
    assert_none(check("lib.rs", "pub use crate::tidy::train::Run;\n"));
    assert_caught(&check(forward, "use crate::tidy::train::AdamW;\n"), "forward.rs:1");
    assert_caught(&check(forward, "\nuse crate::tidy::{head, train};\n"), "forward.rs:2");
    assert_caught(
        &check("disk/fs.rs", "use crate::tidy::formats::TensorRef;\n"),
        "import `formats`",
    );
    assert_caught(
        &check("formats/folder.rs", "use crate::tidy::checkpoint::best;\n"),
        "`checkpoint`",
    );
    assert_caught(&check("checkpoint/scan.rs", "use crate::tidy::train::Run;\n"), "import `train`");
    assert_caught(&check("attic/mod.rs", "\n"), "`attic` has no layer");
}
