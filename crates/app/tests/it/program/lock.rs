//! Run locks: a second trainer of a run is refused and told which process holds the lock.

use crate::program::process::{read_until, run};
use crate::program::scene::Scene;
use engine::disk::RunLock;

#[test]
fn a_second_trainer_is_refused_with_the_process_id_of_the_first() {
    let scene = Scene::new();
    let mut first = scene.train_slowly(&["--steps", "60"]).spawn().unwrap();
    let _open = read_until(&mut first, "folder ");
    let owner = format!("process {}", first.id());
    let second = run(scene.path(), &["resume", "slow"]);
    let again = run(scene.path(), &["train", "text.txt", "--out", "slow", "--steps", "1"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.complaint(1, &["slow is being trained by", &owner]), None);
    assert_eq!(again.complaint(2, &["slow: there is a run here already", "resume"]), None);
}

/// A lock ends with its process, even if that is killed.
#[test]
fn a_lock_is_released_when_its_holder_dies() {
    let scene = Scene::new();
    scene.stopped("run");
    for _ in 0..5 {
        let lock = RunLock::take(&scene.path().join("run")).unwrap();
        let owner = format!("process {}", std::process::id());
        let refused = run(scene.path(), &["resume", "run"]);
        assert_eq!(refused.complaint(1, &["run is being trained by", &owner]), None);
        drop(lock);
    }
    scene.finish("run");
}

/// Two processes that create a run in the same folder would mix their tokens.
#[test]
fn a_folder_in_which_a_run_is_being_created_is_refused() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path().join("run")).unwrap();
    let _lock = RunLock::take(&scene.path().join("run")).unwrap();
    let refused: crate::program::process::Ended = scene.train("run", "").output().unwrap().into();
    let owner = format!("process {}", std::process::id());
    assert_eq!(refused.complaint(1, &["run is being trained by", &owner]), None);
}
