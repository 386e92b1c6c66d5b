//! Tests of the claim of a folder for a new run.

use super::*;
use std::collections::BTreeSet;
use std::thread;

fn at(dir: &Path) -> Result<Claim, RunError> {
    Claim::new(Place::At(dir))
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn runs_that_begin_together_get_folders_of_their_own() {
    let parent = tempfile::tempdir().unwrap();
    let dirs: BTreeSet<PathBuf> = thread::scope(|scope| {
        let new = || new_dir(parent.path(), "book").unwrap();
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(new)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(dirs.len(), 16);
    assert!(["book", "book-16"].iter().all(|name| dirs.contains(&parent.path().join(name))));
    assert!(new_dir(&parent.path().join("book/x"), "y").is_ok());
    std::fs::write(parent.path().join("file"), "").unwrap();
    assert!(new_dir(&parent.path().join("file"), "y").is_err());
}

#[test]
fn a_name_that_leads_elsewhere_is_replaced() {
    let parent = tempfile::tempdir().unwrap();
    for (name, dir) in
        [("..", "run"), (".", "run-2"), ("", "run-3"), ("a/b", "run-4"), ("/", "run-5")]
    {
        assert_eq!(new_dir(parent.path(), name).unwrap(), parent.path().join(dir), "{name}");
    }
    assert_eq!(new_dir(parent.path(), "a b.c").unwrap(), parent.path().join("a b.c"));
}

#[test]
fn a_folder_that_was_made_stays_only_with_a_run() {
    let parent = tempfile::tempdir().unwrap();
    let claim = || Claim::new(Place::New { parent: &parent.path().join("runs"), name: "book" });
    drop(claim().unwrap());
    drop(at(&parent.path().join("a/b/c")).unwrap());
    assert_eq!(names(parent.path()), BTreeSet::new(), "nothing is left");
    let claim = claim().unwrap();
    let dir = claim.dir().to_owned();
    assert_eq!(claim.keep(), dir);
    assert_eq!(names(&dir), BTreeSet::from(["checkpoints".to_owned(), LOCK_NAME.to_owned()]));
}

#[test]
fn an_empty_folder_that_was_there_stays_empty() {
    let dir = tempfile::tempdir().unwrap();
    let claim = at(dir.path()).unwrap();
    std::fs::write(dir.path().join(TRAIN_NAME), "half").unwrap();
    std::fs::write(dir.path().join("train.tokens.tmp-7"), "half").unwrap();
    std::fs::write(dir.path().join("notes"), "put there in the meantime").unwrap();
    drop(claim);
    assert_eq!(names(dir.path()), BTreeSet::from(["notes".to_owned()]));
}

/// Whatever its name: it could be a tokeniser or a log that the user needs.
#[test]
fn a_folder_with_anything_in_it_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let own = OWN_NAMES.iter().filter(|name| ![LOCK_NAME, MARK_NAME, CONFIG_NAME].contains(name));
    for name in own.chain(&["metrics.jsonl", "notes", "x.tmp-1-0123456789abcdef", ".hidden"]) {
        let path = dir.path().join(name);
        std::fs::write(&path, "mine").unwrap();
        let fault = at(dir.path()).unwrap_err();
        assert!(matches!(&fault, RunError::NotEmpty { .. }), "{name}: {fault}");
        assert!(fault.to_string().contains(name), "{fault}");
        assert_eq!(names(dir.path()), BTreeSet::from([(*name).to_owned()]));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine", "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_no_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, dangling) = (dir.path().join("file"), dir.path().join("dangling"));
    std::fs::write(&file, "mine").unwrap();
    std::os::unix::fs::symlink(dir.path().join("nothing"), &dangling).unwrap();
    for path in [&file, &dangling] {
        assert!(matches!(at(path), Err(RunError::NotEmpty { .. })), "{}", path.display());
    }
    assert!(matches!(at(&file.join("below")), Err(RunError::Io { .. })));
    assert_eq!(names(dir.path()).len(), 2);
    // A link to an empty folder is that folder.
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    std::fs::create_dir(&target).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    drop(at(&link).unwrap());
    assert!(target.is_dir() && link.is_symlink() && names(&target).is_empty());
}

#[test]
fn what_a_killed_attempt_left_is_taken_over() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("run");
    std::mem::forget(at(&dir).unwrap()); // its lock ends with the process; here it must be removed
    std::fs::write(dir.join(TRAIN_NAME), "half").unwrap();
    std::fs::remove_file(dir.join(LOCK_NAME)).unwrap();
    let claim = at(&dir).unwrap();
    assert!(!dir.join(TRAIN_NAME).exists());
    drop(claim);
    std::mem::forget(at(&dir).unwrap());
    std::fs::remove_file(dir.join(LOCK_NAME)).unwrap();
    std::fs::write(dir.join("notes"), "mine").unwrap();
    assert!(matches!(at(&dir), Err(RunError::NotEmpty { .. })));
}

#[test]
fn two_that_prepare_in_one_folder_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let first = at(dir.path()).unwrap();
    assert!(matches!(at(dir.path()), Err(RunError::Lock(_))));
    let expected = [CHECKPOINTS_NAME, LOCK_NAME, MARK_NAME].map(str::to_owned);
    assert_eq!(names(dir.path()), BTreeSet::from(expected));
    drop(first);
}
