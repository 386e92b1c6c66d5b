//! Ends of texts: generation stops at any token that a model's files or its tokeniser name.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::formats::{LoadedModel, ModelFolder, ModelFolderError};
use engine::generate::{Finish, Request, Sampling, Session, Usage, generate};
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel, init_params};
use kernels::{Pool, Precision};
use serde_json::{Value, json};
use std::path::PathBuf;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// A folder with a small model of random weights.
struct Folder {
    parent: tempfile::TempDir,
    tokenizer: Tokenizer,
}

impl Folder {
    fn new(kind: TokenizerKind) -> Folder {
        let text = "to be or not to be , that is the question\n".repeat(20);
        let options = TrainOptions::new(kind);
        let tokenizer = Tokenizer::train(&options, &[&text], &mut Control::threads(1)).unwrap();
        let layout = Layout::new(&ModelConfig::new(tokenizer.vocab_size(), 32, 1, 1)).unwrap();
        let (params, inputs) = (init_params(&layout, 1), InputLayer::new(&layout, None, None));
        let mut pool = Pool::new(1);
        let model = OwnedModel::new(layout, params, inputs, Precision::F32, &mut pool);
        let folder = Folder { parent: tempfile::tempdir().unwrap(), tokenizer };
        ModelFolder::write(&folder.path(), model.model(), &folder.tokenizer, None).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join("model")
    }

    /// Puts `ends` in the place of the tokens that end a text.
    fn set(&self, file: &str, ends: Value) {
        let path = self.path().join(file);
        let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        json["eos_token_id"] = ends;
        std::fs::write(path, json.to_string()).unwrap();
    }

    fn load(&self) -> Result<LoadedModel, ModelFolderError> {
        ModelFolder::open(&self.path())?.load(Precision::F32, &mut Pool::new(1))
    }
}

/// The likeliest tokens from a text's beginning on: at most eight, ended by any of `ends`.
fn write(loaded: &LoadedModel, ends: &[u32]) -> (Usage, Option<u32>) {
    let (model, mut pool, mut first) = (loaded.model.model(), Pool::new(1), None);
    let mut session = Session::new(loaded.model.layout(), Precision::F32, 16, 1);
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let ends = ends.to_vec();
    let request = Request { sampling, max_tokens: 8, ends, log_probs: true, ..Request::default() };
    let mut report = |written: engine::generate::Written| {
        if let engine::generate::Written::Token { id, .. } = written {
            first.get_or_insert(id);
        }
        true
    };
    let tokenizer = &loaded.tokenizer;
    let usage = generate(&mut session, model, &mut pool, tokenizer, &[1], &request, &mut report);
    (usage.unwrap(), first)
}

#[test]
fn generation_stops_at_any_end_that_the_files_name() {
    let folder = Folder::new(TokenizerKind::Char);
    let (free, likeliest) = write(&folder.load().unwrap(), &[]);
    assert_eq!((free.new_tokens, free.finish), (8, Finish::Length));
    let (own, likeliest) = (folder.tokenizer.eos_id().unwrap(), likeliest.unwrap());
    let other = (0..).find(|id| ![own, likeliest].contains(id)).unwrap();
    folder.set(GENERATION, json!([other, likeliest]));
    let loaded = folder.load().unwrap();
    let mut ends = vec![own, other, likeliest];
    ends.sort_unstable();
    ends.dedup();
    assert_eq!(loaded.text_ends, ends);
    let (usage, _) = write(&loaded, &loaded.text_ends);
    assert_eq!((usage.new_tokens, usage.finish), (0, Finish::EndOfText));
}

#[test]
fn the_generation_config_comes_before_the_config_and_may_be_missing() {
    let folder = Folder::new(TokenizerKind::Char);
    let own = folder.tokenizer.eos_id().unwrap();
    let ends = |ids: &[u32]| {
        let mut ends = [ids, &[own]].concat();
        ends.sort_unstable();
        ends.dedup();
        ends
    };
    folder.set(CONFIG, json!([own, 5, 6]));
    folder.set(GENERATION, json!(7));
    assert_eq!(folder.load().unwrap().text_ends, ends(&[7]));
    folder.set(GENERATION, Value::Null);
    assert_eq!(folder.load().unwrap().text_ends, ends(&[5, 6]));
    std::fs::remove_file(folder.path().join(GENERATION)).unwrap();
    assert_eq!(folder.load().unwrap().text_ends, ends(&[5, 6]));
    folder.set(CONFIG, Value::Null);
    assert_eq!(folder.load().unwrap().text_ends, [own]);
}

#[test]
fn a_generation_config_that_is_damaged_is_refused() {
    let folder = Folder::new(TokenizerKind::Char);
    for ends in [json!("x"), json!([1, folder.tokenizer.vocab_size()])] {
        folder.set(GENERATION, ends.clone());
        let error = folder.load().unwrap_err();
        assert_eq!(error.code(), "file-damaged", "{ends}: {error}");
        assert!(error.to_string().contains(GENERATION), "{ends}: {error}");
    }
}

/// The files of a model of pre-tokenised text name the end of a line, which a text may contain.
#[test]
fn a_line_does_not_end_a_text() {
    let folder = Folder::new(TokenizerKind::Split);
    let line_end = folder.tokenizer.eos_id().unwrap();
    let json: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join(CONFIG)).unwrap()).unwrap();
    assert_eq!(json["eos_token_id"], line_end);
    assert!(folder.load().unwrap().text_ends.is_empty());
    let other = if line_end == 3 { 4 } else { 3 };
    folder.set(GENERATION, json!([line_end, other]));
    assert_eq!(folder.load().unwrap().text_ends, [other]);
}
