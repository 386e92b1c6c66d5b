//! Corpus of a run, identified by its size and hash at the start of the run.

use super::scene::{Scene, Watcher, end, finish, settings, stop_at, write_text};
use engine::checkpoint::{CHECKPOINTS_NAME, newest};
use engine::disk::RealFs;
use engine::train::Run;
use engine::train::run::{Budget, Place, RunError, prepare};
use engine::train::settings::PrecisionName;
use std::path::Path;

fn check(dir: &Path) -> Result<(), RunError> {
    Run::open(dir, 1).unwrap().check_corpus()
}

/// Checks that `file` is refused by name.
fn assert_refused(dir: &Path, file: &Path) {
    let error = check(dir).unwrap_err();
    assert!(matches!(error, RunError::CorpusChanged { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&file.display().to_string()), "{message}");
    assert_eq!(error.code(), "corpus-changed");
}

#[test]
fn a_manifest_holds_the_size_and_the_hash_of_the_text() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    stop_at(&dir, 1, 1);
    let dataset = newest(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap().manifest.facts.dataset;
    assert_eq!(dataset.bytes, std::fs::metadata(scene.text()).unwrap().len());
    assert_eq!(dataset.blake3.len(), 64);
}

/// With and without a checkpoint, since the run's tokens are those of the old text.
#[test]
fn a_changed_text_is_refused_by_name() {
    let scene = Scene::new(PrecisionName::F32);
    let (begun, new) = (scene.fresh(), scene.fresh());
    stop_at(&begun, 5, 1);
    let text = std::fs::read(scene.text()).unwrap();
    let mut other = text.clone();
    other[100] ^= 1;
    let longer = [&text[..], b"More.\n"].concat();
    for changed in [&other[..], &longer, &text[..500], b"", b"\xff\xfe"] {
        std::fs::write(scene.text(), changed).unwrap();
        assert_refused(&begun, &scene.text());
        assert_refused(&new, &scene.text());
    }
    std::fs::write(scene.text(), &text).unwrap();
    check(&begun).unwrap();
    check(&new).unwrap();
}

/// A run that continues despite a changed text uses the tokens of the old text.
#[test]
fn a_run_whose_text_changed_or_is_gone_still_ends_the_same() {
    let scene = Scene::new(PrecisionName::F32);
    let uninterrupted = scene.uninterrupted();
    let (changed, gone) = (scene.fresh(), scene.fresh());
    std::fs::write(scene.text(), "Another text.\n").unwrap();
    finish(&changed, 1);
    assert_eq!(uninterrupted.difference(&end(&changed)), None);
    std::fs::remove_file(scene.text()).unwrap();
    check(&gone).unwrap();
    finish(&gone, 1);
    assert_eq!(uninterrupted.difference(&end(&gone)), None);
}

#[test]
fn a_changed_validation_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let [train, valid, dir] =
        ["train.txt", "valid.txt", "run"].map(|name| folder.path().join(name));
    write_text(&train, 1_200, 3);
    write_text(&valid, 400, 4);
    let mut settings = settings(&train, PrecisionName::F32);
    settings.data.valid = Some(valid.clone());
    prepare(Place::At(&dir), &settings, Budget::Steps(1), 1, &mut Watcher::default()).unwrap();
    check(&dir).unwrap();
    write_text(&valid, 400, 5);
    assert_refused(&dir, &valid);
}

/// An interrupted attempt leaves held-out tokens; a run without held-out text must not use them.
#[test]
fn tokens_of_an_interrupted_attempt_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let [text, dir] = ["text.txt", "run"].map(|name| folder.path().join(name));
    write_text(&text, 1_200, 3);
    let mut settings = settings(&text, PrecisionName::F32);
    let prepare = |settings: &_| {
        prepare(Place::At(&dir), settings, Budget::Steps(1), 1, &mut Watcher::default())
    };
    prepare(&settings).unwrap();
    std::fs::remove_file(dir.join("config.toml")).unwrap();
    std::fs::write(dir.join("train.tokens.tmp-123"), "half").unwrap();
    let refused = prepare(&settings).unwrap_err();
    assert!(matches!(refused, RunError::NotEmpty { .. }), "no attempt of ours: {refused}");
    std::fs::write(dir.join("run.preparing"), "").unwrap();
    settings.data.holdout = Some(0.0);
    prepare(&settings).unwrap();
    assert!(!dir.join("valid.tokens").exists());
    assert!(!dir.join("train.tokens.tmp-123").exists());
    assert_eq!(finish(&dir, 1), []);
}
