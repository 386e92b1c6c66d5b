//! Bit rot in a run's folder: whatever a run is computed from is compared before it goes on.

use super::scene::{Scene, copy, end, finish, refusal, stop_at};
use engine::disk::RealFs;
use engine::train::Run;
use engine::train::settings::{PrecisionName, RunConfig};
use std::fs;
use std::path::Path;
use text::tokenizer::TokenizerKind;

/// Changed bytes of a file that are tried, spread over it.
const N_CASES: usize = 120;

/// A run with all kinds of files, stopped at step 5.
fn scene() -> (Scene, std::path::PathBuf) {
    let scene = Scene::with(PrecisionName::F32, |settings| {
        settings.tokenizer.kind = Some(TokenizerKind::Word);
        settings.tokenizer.vocab_size = Some(400);
        settings.vocab.compose = Some(true);
        settings.vocab.ngram_rows = Some(64);
        settings.vocab.ngram_min_count = Some(1);
    });
    let dir = scene.fresh();
    stop_at(&dir, 5, 1);
    (scene, dir)
}

/// Checks that the run is refused with the name of the damaged file. The configuration is compared
/// by its values, so a change that leaves all of them is none, such as a lost line end.
fn assert_noticed(dir: &Path, name: &str, config: &RunConfig, damage: &str) {
    match Run::open(dir, 1) {
        Err(why) => assert!(why.to_string().contains(name), "{name}, {damage}: {why}"),
        Ok(run) => assert!(name == "config.toml" && run.config() == config, "{name}, {damage}"),
    }
}

#[test]
fn a_changed_byte_in_any_file_of_a_run_is_noticed_and_the_file_named() {
    let (_scene, dir) = scene();
    let config = Run::open(&dir, 1).unwrap().config().clone();
    let names = [
        "config.toml",
        "tokenizer.json",
        "codes.json",
        "ngrams.bin",
        "corpus.json",
        "train.tokens",
        "valid.tokens",
    ];
    for name in names {
        let path = dir.join(name);
        let good = fs::read(&path).unwrap();
        for i in (0..good.len()).step_by(good.len().div_ceil(N_CASES)) {
            let mut bad = good.clone();
            bad[i] ^= 1 << (i % 8);
            fs::write(&path, bad).unwrap();
            assert_noticed(&dir, name, &config, &format!("byte {i}"));
        }
        for len in [0, 1, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..len]).unwrap();
            assert_noticed(&dir, name, &config, &format!("cut to {len}"));
        }
        fs::remove_file(&path).unwrap();
        refusal(&dir);
        fs::write(path, good).unwrap();
    }
    stop_at(&dir, 6, 1);
}

/// Runs begun before have no such record: they go on as they did, to the same end.
#[test]
fn a_checkpoint_without_the_record_is_resumed_unchecked() {
    let (scene, dir) = scene();
    let straight = scene.uninterrupted();
    forget_record(&dir);
    let copied = dir.with_extension("old");
    copy(&dir, &copied);
    finish(&copied, 1);
    assert_eq!(straight.difference(&end(&copied)), None);
    // The damage that only the record shows: the control of the test above.
    let codes = dir.join("codes.json");
    let text = fs::read_to_string(&codes).unwrap();
    fs::write(&codes, text.replacen("\"join_nats\":", "\"join_nats\" :", 1)).unwrap();
    stop_at(&dir, 6, 1);
}

/// Takes the record out of the manifests, as in checkpoints of earlier programs.
fn forget_record(dir: &Path) {
    for listed in engine::checkpoint::list(&RealFs, &dir.join("checkpoints")).unwrap() {
        let mut manifest = listed.manifest.unwrap();
        assert_eq!(manifest.facts.run_files.len(), 6);
        manifest.facts.run_files.clear();
        let bytes = manifest.to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("run_files"));
        fs::write(listed.path.join("manifest.json"), bytes).unwrap();
    }
}
