//! Held-out text and beginnings: what a run is measured on says how well it writes, and what it
//! writes begins as its text does.

use crate::program::process::{Ended, run};
use std::fmt::Write;
use std::path::Path;
use text::stories;

fn stories(n: usize) -> String {
    stories::generate(7).take(n).collect::<Vec<String>>().join("\n\n")
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
    folder
}

const SMALL: &str = "--dim 32 --layers 1 --heads 2 --threads 1";

/// Trains into `r` with these words and [`SMALL`]; `expected` is in what is said.
fn train(folder: &Path, words: &str) -> Ended {
    let args: Vec<&str> = words.split_whitespace().chain(SMALL.split_whitespace()).collect();
    let ended = run(folder, &[&["train"], &args[..], &["--out", "r"]].concat());
    ended.assert_success();
    ended
}

fn evaluations(folder: &Path) -> Vec<serde_json::Value> {
    let rows = std::fs::read_to_string(folder.join("r/evals.jsonl")).unwrap();
    rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// With the end of the text held out, the best model was one of the first, which knew least.
#[test]
fn a_tail_of_numbers_does_not_choose_an_early_model() {
    let mut text = stories(300);
    (1..6_000).for_each(|i| writeln!(text, "{i}").unwrap());
    let folder = folder(&[("a.txt", &text)]);
    train(folder.path(), "a.txt --steps 120 --eval-every 10 --tokenizer word --vocab 1000");
    let best = evaluations(folder.path()).into_iter().rfind(|row| row["is_best"] == true).unwrap();
    assert!(best["step"].as_u64().unwrap() > 60, "{best}");
}

#[test]
fn text_begins_as_a_paragraph_does_with_every_tokeniser() {
    let folder = folder(&[("book.txt", &stories(150))]);
    for (kind, steps) in [("word", 250), ("bpe", 250), ("char", 800)] {
        let _ = std::fs::remove_dir_all(folder.path().join("r"));
        let vocab = if kind == "char" { "" } else { "--vocab 500" };
        let words =
            format!("book.txt --steps {steps} --batch 16 --seq-len 64 --tokenizer {kind} {vocab}");
        train(folder.path(), &words);
        let begins = |seed: usize| {
            let seed = seed.to_string();
            let args =
                ["generate", "r", "--max-tokens", "8", "--temperature", "0.7", "--seed", &seed];
            let ended = run(folder.path(), &args);
            ended.assert_success();
            ended.stdout.starts_with(|c: char| c.is_uppercase() || c == '"')
        };
        let n = (1..=12).filter(|seed| begins(*seed)).count();
        assert!(n >= 10, "{kind}: {n} of 12 texts begin as one does");
    }
}

#[test]
fn repeated_text_and_text_of_another_kind_are_said() {
    let numbers: String = (0..3_000).map(|i| format!("{}\n", i * 7919 % 100_003)).collect();
    let (a, b) = (stories(40), stories(80)[40_000..].to_owned());
    let repeated = format!("{a}\n\n{a}");
    let files = [
        ("a.txt", &*a),
        ("copy.txt", &a),
        ("b.txt", &b),
        ("twice.txt", &repeated),
        ("n.txt", &numbers),
    ];
    let folder = folder(&files);
    let notes = |words: &str| {
        let _ = std::fs::remove_dir_all(folder.path().join("r"));
        let said = train(folder.path(), &format!("{words} --steps 1")).stderr;
        let notes = said.lines().filter(|line| line.starts_with("note: "));
        notes.map(str::to_owned).collect::<Vec<String>>().join("\n")
    };
    assert_eq!(notes("a.txt"), "");
    assert_eq!(notes("a.txt --valid b.txt"), "");
    let same = notes("a.txt copy.txt");
    assert!(same.contains("copy.txt has the same text as a.txt"), "{same}");
    assert!(
        same.contains(" % of the held-out text stands in the training text word for word"),
        "{same}"
    );
    for words in ["a.txt --valid a.txt", "a.txt --valid copy.txt", "b.txt a.txt --valid a.txt"] {
        let said = notes(words);
        assert!(said.contains("100 % of the held-out text"), "{words}: {said}");
    }
    let twice = notes("twice.txt");
    assert!(twice.contains(" % of the held-out text stands in the training text"), "{twice}");
    let other = notes("a.txt --valid n.txt");
    assert!(other.contains("seems to be of another kind"), "{other}");
}

#[test]
fn a_text_too_short_to_hold_some_out_is_trained_on_as_a_whole() {
    let folder = folder(&[("a.txt", "It is a short text, and that is all of it there is.\n")]);
    let said = train(folder.path(), "a.txt --steps 2 --seq-len 8 --batch 2").stderr;
    assert!(said.contains("too few to hold some out"), "{said}");
    assert!(!folder.path().join("r/valid.tokens").exists());
}

/// Lanes are part of the result, so they must not follow the machine.
#[test]
fn the_number_of_threads_does_not_change_the_model() {
    let folder = folder(&[("a.txt", &stories(30))]);
    let model = |threads: &str| {
        let args = ["train", "a.txt", "--steps", "3", "--out", threads, "--threads", threads];
        run(folder.path(), &args).assert_success();
        std::fs::read(
            folder.path().join(threads).join("checkpoints/step-00000003/model.safetensors"),
        )
        .unwrap()
    };
    assert!(model("1") == model("3"));
}

#[test]
fn the_name_of_a_special_token_is_ordinary_text_unless_it_separates_documents() {
    let all = stories::generate(7).take(60).collect::<Vec<String>>().join("\n<|endoftext|>\n");
    let folder = folder(&[("a.txt", &all)]);
    let tokens = |words: &str| {
        let _ = std::fs::remove_dir_all(folder.path().join("r"));
        let said =
            train(folder.path(), &format!("a.txt --steps 1 --tokenizer char {words}")).stderr;
        let file = text::corpus::TokenFile::open(&folder.path().join("r/train.tokens")).unwrap();
        let mut ids = vec![0; text::corpus::TokenSource::len(&file)];
        text::corpus::TokenSource::read(&file, 0, &mut ids);
        let tokenizer = text::tokenizer::Tokenizer::load(&folder.path().join("r/tokenizer.json"));
        let end = tokenizer.unwrap().eos_id();
        let n_ends = ids.iter().filter(|id| Some(**id) == end).count();
        (n_ends - file.beginnings().len(), said.contains("--separator \"<|endoftext|>\""))
    };
    assert_eq!(tokens(""), (1, true));
    let (n_ends, is_said) = tokens("--separator <|endoftext|>");
    assert!((50..60).contains(&n_ends) && !is_said, "{n_ends}");
}
