//! Stops in the middle of steps and of the work between them: the run ends with the same bytes.

use super::scene::{End, Scene, end, finish, with_classes};
use engine::train::RowUpdates;
use engine::train::events::{Event, Observer, Outcome};
use engine::train::run::Run;
use engine::train::settings::PrecisionName;
use kernels::Stop;
use std::path::Path;
use std::time::Duration;

/// Observer that requests a stop at an event.
struct Interrupter {
    stop: Stop,
    is_at: fn(&Event) -> bool,
    /// Events of this kind before the stop.
    n_before: usize,
}

impl Observer for Interrupter {
    fn event(&mut self, event: &Event) {
        if (self.is_at)(event) {
            match self.n_before.checked_sub(1) {
                Some(left) => self.n_before = left,
                None => self.stop.request(),
            }
        }
    }

    fn should_stop(&self) -> bool {
        false
    }

    fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

fn rows(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("evals.jsonl")).unwrap().lines().count()
}

/// Stops a run at the first event of this kind, the second, and so on, and finishes it each time.
fn at_every(is_at: fn(&Event) -> bool) -> usize {
    let scene = Scene::with(PrecisionName::F32, |settings| {
        settings.train.eval_every = Some(3);
        settings.train.sample_every = Some(7);
        settings.train.save_every = Some(11);
    });
    let whole = scene.fresh();
    finish(&whole, 1);
    let uninterrupted: End = end(&whole);
    for n_before in 0.. {
        let dir = scene.fresh();
        let mut observer = Interrupter { stop: Stop::default(), is_at, n_before };
        let outcome = Run::open(&dir, 1).unwrap().drive(&mut observer).unwrap();
        if outcome == Outcome::Finished {
            return n_before;
        }
        finish(&dir, 1);
        assert_eq!(uninterrupted.difference(&end(&dir)), None, "stopped at event {n_before}");
        assert_eq!(rows(&dir), rows(&whole), "evaluations, stopped at event {n_before}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
    0
}

#[test]
fn stopped_before_the_work_after_every_step() {
    assert_eq!(at_every(|event| matches!(event, Event::Step(_))), 60);
}

#[test]
fn stopped_after_every_evaluation_before_the_save_of_its_step() {
    assert!(at_every(|event| matches!(event, Event::Evaluated(_))) >= 20);
}

#[test]
fn stopped_after_every_sample() {
    assert!(at_every(|event| matches!(event, Event::Sampled { .. })) >= 8);
}

/// Stops at any time, in a chain: when they come does not matter.
#[test]
fn stopped_at_any_time() {
    let scenes = [
        Scene::new(PrecisionName::F32),
        Scene::with(PrecisionName::Bf16, |s| with_classes(s, false, RowUpdates::Lazy)),
    ];
    for scene in scenes {
        let dir = scene.fresh();
        for n in 0.. {
            let stop = Stop::default();
            let mut run = Run::open(&dir, 1 + n % 2).unwrap();
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(200 * n as u64));
                    stop.request();
                });
                let (stop, n_before) = (stop.clone(), 0);
                run.drive(&mut Interrupter { stop, is_at: |_| false, n_before }).unwrap()
            });
            if outcome == Outcome::Finished {
                break;
            }
        }
        assert_eq!(scene.uninterrupted().difference(&end(&dir)), None);
    }
}
