//! Training that goes wrong: accidents planted in steps are detected, and a run goes back in the same
//! way whether it was stopped or not.

use super::scene::{End, Scene, end};
use engine::checkpoint::{CHECKPOINTS_NAME, list, newest, verify};
use engine::disk::RealFs;
use engine::train::events::{Event, Notice, Observer, Outcome};
use engine::train::run::{Accident, LossLimits, Run, RunError};
use engine::train::settings::PrecisionName;
use std::ops::Range;
use std::path::Path;

/// Bad steps in a row that a run goes back after.
const IN_ROW: u64 = 5;
/// Steps between saves.
const SAVE_EVERY: u64 = 4;
/// Tokens of a batch.
const N_TOK: f64 = 64.0;

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// The loss of the batch, per token.
    Loss(f64),
    Gradient(f32),
    Parameter(f32),
}

const SPIKE: What = What::Loss(12.0);
const BAD: [What; 7] = [
    SPIKE,
    What::Loss(437.0),
    What::Loss(f64::NAN),
    What::Loss(f64::INFINITY),
    What::Gradient(f32::NAN),
    What::Gradient(f32::NEG_INFINITY),
    What::Parameter(f32::NAN),
];

/// Bad steps of a run, until it has gone back or for ever.
#[derive(Clone, Debug)]
struct Script {
    what: What,
    steps: Range<u64>,
    for_ever: bool,
}

impl Script {
    fn new(what: What, steps: Range<u64>) -> Script {
        Script { what, steps, for_ever: false }
    }

    fn accident(&self) -> Accident {
        let Script { what, steps, for_ever } = self.clone();
        Box::new(move |trainer, step, n_rollbacks| {
            if !steps.contains(&step) || n_rollbacks > 0 && !for_ever {
                return;
            }
            match what {
                What::Loss(loss) => trainer.lanes().plant_loss(loss * N_TOK),
                What::Gradient(x) => trainer.lanes().gradients().0.lanes[0].grads[3] = x,
                What::Parameter(x) => trainer.edit_params(|params| params[3] = x),
            }
        })
    }

    /// Step of the checkpoint that the run must go back to: the last one that was due before the
    /// first bad step.
    fn to(&self) -> u64 {
        (self.steps.start - 1) / SAVE_EVERY * SAVE_EVERY
    }
}

/// Observer that stops a run and records what it did about accidents.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    step: u64,
    n_skipped: u64,
    /// (steps taken, step that the run went back to).
    rollbacks: Vec<(u64, u64)>,
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Started(started) => self.step = started.step,
            Event::Step(row) => self.step = row.step,
            Event::Skipped(_) => {
                self.step += 1;
                self.n_skipped += 1;
            }
            Event::Noticed(Notice::RolledBack { from, to, .. }) => {
                self.rollbacks.push((*from, *to));
            }
            Event::SaveFailed(error) => panic!("{error}"),
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.stop_at.is_some_and(|step| self.step >= step)
    }
}

fn scene() -> Scene {
    Scene::with(PrecisionName::F32, |settings| {
        settings.train.save_every = Some(SAVE_EVERY);
        settings.train.eval_every = Some(20);
    })
}

/// Goes on with the run in `dir`.
fn drive(
    dir: &Path,
    script: &Script,
    stop_at: Option<u64>,
    change: fn(&mut LossLimits),
) -> (Result<Outcome, RunError>, Watch) {
    let mut watch = Watch { stop_at, ..Watch::default() };
    let mut run = Run::open(dir, 1).unwrap();
    run.plant(script.accident(), change);
    (run.drive(&mut watch), watch)
}

/// The fault of how a run dealt with the script, if any.
fn complaint(scene: &Scene, script: &Script, change: fn(&mut LossLimits)) -> Option<String> {
    let dir = scene.fresh();
    let (outcome, watch) = drive(&dir, script, None, change);
    let Ok(Outcome::Finished) = outcome else { return Some(format!("{outcome:?}")) };
    let expected = match script.steps.end - script.steps.start {
        n if n < IN_ROW => vec![],
        _ => vec![(script.steps.start + IN_ROW, script.to())],
    };
    if watch.rollbacks != expected {
        return Some(format!("went back {:?}, expected {expected:?}", watch.rollbacks));
    }
    let is_finite = matches!(script.what, What::Loss(loss) if loss.is_finite());
    let n_bad = (script.steps.end - script.steps.start).min(IN_ROW);
    if watch.n_skipped != if is_finite { 0 } else { n_bad } {
        return Some(format!("{} of {n_bad} bad steps were skipped", watch.n_skipped));
    }
    let state = newest(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap().manifest.facts.state;
    let bad = state.recent_losses.iter().find(|loss| !(0.0..6.0).contains(*loss));
    bad.map(|loss| format!("{loss} counts as usual"))
}

/// 7 kinds of accidents from 6 steps on, alone, four in a row (too few to go back) and five.
#[test]
fn every_accident_is_detected_in_its_step_and_five_in_a_row_go_back() {
    let scene = scene();
    let mut n = 0;
    for (what, first) in
        BAD.into_iter().flat_map(|what| [20, 23, 24, 25, 33, 40].map(|s| (what, s)))
    {
        // A bad parameter stays bad until the run goes back.
        let stays = matches!(what, What::Parameter(_));
        let lengths = if stays { &[5][..] } else { &[1, 4, 5] };
        for len in lengths {
            let script = Script::new(what, first..first + len);
            assert_eq!(complaint(&scene, &script, |_| ()), None, "{script:?}");
            n += 1;
        }
    }
    assert!(n >= 100);
}

/// The harness must catch a run that does not look at its losses.
#[test]
fn a_blind_run_is_caught() {
    let blind = |limits: &mut LossLimits| (limits.highest, limits.nats_min) = (1e9, 1e9);
    for what in [SPIKE, What::Loss(437.0)] {
        let script = Script::new(what, 24..29);
        let said = complaint(&scene(), &script, blind).unwrap();
        assert!(said.contains("went back []"), "{said}");
    }
    // Without a detector these losses become usual.
    let script = Script::new(What::Loss(437.0), 50..54);
    let said = complaint(&scene(), &script, blind).unwrap();
    assert!(said.contains("counts as usual"), "{said}");
}

/// Without a checkpoint that a good step was taken from, the run begins again.
#[test]
fn an_early_accident_goes_back_to_the_untrained_model() {
    for what in [What::Loss(437.0), What::Gradient(f32::NAN), What::Parameter(f32::INFINITY)] {
        let script = Script::new(what, 1..6);
        assert_eq!(complaint(&scene(), &script, |_| ()), None, "{script:?}");
    }
}

fn uninterrupted(scene: &Scene, script: &Script) -> End {
    let dir = scene.fresh();
    drive(&dir, script, None, |_| ()).0.unwrap();
    end(&dir)
}

/// Stopped at each step around the rollback: in a streak of bad steps a stop saves a state that the
/// uninterrupted run never had on disk.
#[test]
fn a_run_that_was_stopped_around_its_rollback_ends_the_same() {
    let scene = scene();
    for what in [SPIKE, What::Gradient(f32::NAN)] {
        let script = Script::new(what, 26..31);
        let expected = uninterrupted(&scene, &script);
        assert_eq!(expected.facts["state"]["n_rollbacks"], 1);
        for step in 22..36 {
            let dir = scene.fresh();
            let (outcome, _) = drive(&dir, &script, Some(step), |_| ());
            assert_eq!(outcome.unwrap(), Outcome::Stopped { step });
            drive(&dir, &script, None, |_| ()).0.unwrap();
            assert_eq!(expected.difference(&end(&dir)), None, "{script:?}, stopped at {step}");
        }
        let dir = scene.fresh();
        for step in 22..36 {
            drive(&dir, &script, Some(step), |_| ()).0.unwrap();
        }
        drive(&dir, &script, None, |_| ()).0.unwrap();
        assert_eq!(expected.difference(&end(&dir)), None, "{script:?}, stopped at every step");
    }
}

#[test]
fn a_run_that_goes_wrong_for_ever_ends_with_its_checkpoints_intact() {
    let scene = scene();
    for what in BAD {
        let dir = scene.fresh();
        let script = Script { for_ever: true, ..Script::new(what, 30..100) };
        for _ in 0..2 {
            let (outcome, _) = drive(&dir, &script, None, |_| ());
            let error = outcome.unwrap_err();
            assert!(
                matches!(error, RunError::Diverged { step: 50, n_rollbacks: 3, .. }),
                "{what:?}: {error}"
            );
            assert_eq!(error.code(), "diverged");
            let listed = list(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap();
            assert!(listed.iter().any(|one| one.step == script.to()), "{what:?}");
            for one in listed {
                verify(&RealFs, &one.path).unwrap();
            }
        }
    }
}

/// Losses that end above guessing are a failure, and those of a text learnt by heart are not.
#[test]
fn a_run_that_ends_worse_than_guessing_has_failed() {
    let scene = scene();
    let script = Script::new(SPIKE, 59..60);
    let dir = scene.fresh();
    let (outcome, _) = drive(&dir, &script, None, |limits| limits.guessing = 0.1);
    let error = outcome.unwrap_err();
    assert!(matches!(error, RunError::WorseThanGuessing { .. }), "{error}");
    assert_eq!(error.code(), "worse-than-guessing");
    // Here only the last batch was bad.
    assert!(drive(&scene.fresh(), &script, None, |_| ()).0.is_ok());
}

#[test]
fn healthy_runs_never_go_back() {
    for precision in [PrecisionName::F32, PrecisionName::Bf16] {
        for lr in [1e-4, 1e-3, 1e-2, 3e-2] {
            let scene = Scene::with(precision, |settings| settings.train.lr = Some(lr));
            let script = Script::new(SPIKE, 0..0);
            let (outcome, watch) = drive(&scene.fresh(), &script, None, |_| ());
            assert_eq!(outcome.unwrap(), Outcome::Finished, "{lr}");
            assert_eq!(watch.rollbacks, [], "{lr}");
        }
    }
}
