//! Token orders of runs: the same text, exact resuming, and support for runs older than this
//! setting.

use super::scene::{Scene, end, finish, stop_at};
use engine::head::{HeadConfig, HeadName};
use engine::train::run::{CONFIG_NAME, TOKENIZER_NAME, TRAIN_NAME, VALID_NAME};
use engine::train::settings::{PrecisionName, RunConfig, Settings};
use std::path::Path;
use text::corpus::{TokenFile, TokenSource};
use text::tokenizer::{Tokenizer, TokenizerKind};
use text::vocab::order::TokenOrder;

fn scene(head: HeadName, order: Option<TokenOrder>, kind: TokenizerKind) -> Scene {
    Scene::with(PrecisionName::F32, |settings: &mut Settings| {
        settings.vocab.head = Some(head);
        settings.vocab.order = order;
        settings.tokenizer.kind = Some(kind);
    })
}

fn config(dir: &Path) -> RunConfig {
    toml::from_str(&std::fs::read_to_string(dir.join(CONFIG_NAME)).unwrap()).unwrap()
}

/// The decoded tokens of a run.
fn text(dir: &Path) -> String {
    let tokenizer = Tokenizer::load(&dir.join(TOKENIZER_NAME)).unwrap();
    let read = |name| {
        let file = TokenFile::open(&dir.join(name)).unwrap();
        let mut ids = vec![0; file.len()];
        file.read(0, &mut ids);
        tokenizer.decode(&ids)
    };
    read(TRAIN_NAME) + &read(VALID_NAME)
}

/// The tokens of each class; all tokens under the full layer.
fn classes(dir: &Path) -> Vec<Vec<String>> {
    let tokenizer = Tokenizer::load(&dir.join(TOKENIZER_NAME)).unwrap();
    let starts = match config(dir).model.head {
        HeadConfig::Factor { class_starts } => class_starts,
        _ => vec![0, tokenizer.vocab_size() as u32],
    };
    let class = |ids: &[u32]| {
        let mut tokens: Vec<String> = (ids[0]..ids[1]).map(|id| tokenizer.token_text(id)).collect();
        tokens.sort();
        tokens
    };
    let mut classes: Vec<Vec<String>> = starts.windows(2).map(class).collect();
    classes.sort();
    classes
}

#[test]
fn every_order_has_the_same_text_and_the_same_classes() {
    for head in [HeadName::Full, HeadName::Factor] {
        for kind in [TokenizerKind::Char, TokenizerKind::Bpe] {
            let plain = scene(head, None, kind);
            let plain = plain.fresh();
            let mut ids = Vec::new();
            for order in TokenOrder::ALL {
                let ordered = scene(head, Some(order), kind);
                let ordered = ordered.fresh();
                assert_eq!(config(&ordered).vocab.order, Some(order));
                assert_eq!(text(&ordered), text(&plain), "{order}");
                assert_eq!(classes(&ordered), classes(&plain), "{order}");
                ids.push(std::fs::read(ordered.join(TRAIN_NAME)).unwrap());
            }
            ids.dedup();
            assert_eq!(ids.len(), TokenOrder::ALL.len(), "all orders differ");
        }
    }
}

#[test]
fn stopped_runs_resume_in_every_order() {
    for (head, order) in [
        (HeadName::Full, TokenOrder::Spiral),
        (HeadName::Factor, TokenOrder::Hilbert),
        (HeadName::Factor, TokenOrder::Random),
    ] {
        let scene = scene(head, Some(order), TokenizerKind::Char);
        let dir = scene.fresh();
        stop_at(&dir, 25, 2);
        finish(&dir, 1);
        assert_eq!(scene.uninterrupted().difference(&end(&dir)), None, "{order}");
    }
}

/// Before this setting existed, ids of a factored layer were by frequency, and no file said so.
#[test]
fn runs_older_than_the_choice_of_order_still_open() {
    let full = scene(HeadName::Full, None, TokenizerKind::Char);
    let written = std::fs::read_to_string(full.fresh().join(CONFIG_NAME)).unwrap();
    assert!(!written.contains("order ="), "an order was written without being given: {written}");

    let factored = scene(HeadName::Factor, None, TokenizerKind::Char);
    let dir = factored.fresh();
    let written = std::fs::read_to_string(dir.join(CONFIG_NAME)).unwrap();
    let before = written.replacen("order = \"frequency\"\n", "", 1);
    assert_ne!(before, written);
    std::fs::write(dir.join(CONFIG_NAME), before).unwrap();
    assert_eq!(config(&dir).vocab.order, None);
    stop_at(&dir, 25, 1);
    finish(&dir, 2);
    let (expected, found) = (factored.uninterrupted(), end(&dir));
    assert!(expected.model == found.model && expected.metrics == found.metrics);
}
