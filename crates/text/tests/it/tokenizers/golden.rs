//! Golden ids from transformers for small committed tokenisers; see `scripts/check_tokenizer.py`.

use super::{golden_folder, small};
use text::tokenizer::{Tokenizer, TokenizerKind};

/// The ids of a file written by the script.
fn golden_ids(kind: TokenizerKind, text: &str) -> Vec<u32> {
    let path = golden_folder().join(kind.name()).join(format!("{text}.ids"));
    let ids = std::fs::read_to_string(path).unwrap();
    ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[test]
fn ids_are_those_of_transformers() {
    for kind in TokenizerKind::ALL {
        let folder = golden_folder().join(kind.name());
        let tokenizer = Tokenizer::load(&folder.join("tokenizer.json")).unwrap();
        for name in ["train", "other"] {
            let text =
                std::fs::read_to_string(golden_folder().join(format!("{name}.txt"))).unwrap();
            let ids = tokenizer.encode(&text);
            assert_eq!(ids, golden_ids(kind, name), "{kind} on {name}.txt");
            if kind != TokenizerKind::Split {
                assert_eq!(tokenizer.decode(&ids), text, "{kind} on {name}.txt");
            }
        }
    }
}

/// Training is part of what must not change: a resolved configuration reproduces its run.
#[test]
fn training_gives_the_committed_files() {
    for kind in TokenizerKind::ALL {
        let tokenizer = small(kind);
        let folder = golden_folder().join(kind.name());
        for (file, found) in [
            ("tokenizer.json", tokenizer.to_json()),
            ("tokenizer_config.json", tokenizer.config_json(None)),
        ] {
            let expected = std::fs::read(folder.join(file)).unwrap();
            assert!(found == expected, "{kind}: {file} is not the committed one");
        }
    }
}

/// Writes the committed files again; the script writes the ids.
#[test]
#[ignore = "writes into the source tree"]
fn write_golden_files() {
    for kind in TokenizerKind::ALL {
        let folder = golden_folder().join(kind.name());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tokenizer.json"), small(kind).to_json()).unwrap();
        std::fs::write(folder.join("tokenizer_config.json"), small(kind).config_json(None))
            .unwrap();
    }
}
