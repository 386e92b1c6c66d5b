//! Stops after every step, on any number of threads: the run ends with the same bytes.

use super::scene::{N_STEPS, Scene, end, finish, stop_at, with_classes};
use engine::head::HeadName;
use engine::train::RowUpdates;
use engine::train::settings::PrecisionName;
use text::tokenizer::TokenizerKind;

fn every_step(scene: Scene) {
    let uninterrupted = scene.uninterrupted();
    assert_eq!(uninterrupted.metrics.len() as u64, N_STEPS);
    for step in 1..=N_STEPS {
        let dir = scene.fresh();
        // The number of threads differs between the halves and from step to step.
        let threads = (1 + step as usize % 2, 1 + step as usize / 2 % 2);
        stop_at(&dir, step, threads.0);
        finish(&dir, threads.1);
        assert_eq!(uninterrupted.difference(&end(&dir)), None, "stopped after step {step}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn stopped_after_every_step_in_f32() {
    every_step(Scene::new(PrecisionName::F32));
}

#[test]
fn stopped_after_every_step_in_bf16() {
    every_step(Scene::new(PrecisionName::Bf16));
}

#[test]
fn stopped_after_every_step_with_a_factored_output_layer() {
    every_step(Scene::with_classes(PrecisionName::Bf16, false, RowUpdates::Dense));
}

#[test]
fn stopped_after_every_step_while_rows_are_stale() {
    every_step(Scene::with_classes(PrecisionName::F32, false, RowUpdates::Lazy));
    every_step(Scene::with_classes(PrecisionName::Bf16, true, RowUpdates::Lazy));
}

/// Reading the model between steps does not change it.
#[test]
fn other_evaluations_and_samples_end_the_same() {
    let usual = Scene::with_classes(PrecisionName::F32, false, RowUpdates::Lazy);
    let busy = Scene::with(PrecisionName::F32, |settings| {
        with_classes(settings, false, RowUpdates::Lazy);
        settings.train.eval_every = Some(3);
        settings.train.sample_every = Some(7);
        settings.train.save_every = Some(11);
    });
    let (usual, busy) = (usual.uninterrupted(), busy.uninterrupted());
    assert!(usual.model == busy.model && usual.optimizer == busy.optimizer);
}

#[test]
fn stopped_after_every_step_with_an_adaptive_output_layer() {
    every_step(Scene::with(PrecisionName::Bf16, |settings| {
        settings.vocab.head = Some(HeadName::Adaptive);
    }));
}

#[test]
fn stopped_after_every_step_with_a_sampled_output_layer() {
    every_step(Scene::with(PrecisionName::Bf16, |settings| {
        settings.vocab.head = Some(HeadName::Sampled);
        settings.vocab.n_samples = Some(9);
    }));
}

#[test]
fn stopped_after_every_step_with_composed_input_vectors() {
    every_step(Scene::with(PrecisionName::F32, |settings| {
        settings.tokenizer.kind = Some(TokenizerKind::Word);
        settings.tokenizer.vocab_size = Some(400);
        settings.vocab.head = Some(HeadName::Factor);
        settings.vocab.compose = Some(true);
    }));
}

#[test]
fn stopped_after_every_step_with_rows_of_ngrams() {
    every_step(Scene::with(PrecisionName::F32, |settings| {
        settings.vocab.head = Some(HeadName::Factor);
        settings.model.tie_embeddings = Some(false); // so that other rows become stale too
        settings.vocab.ngram_embed = Some(true);
        settings.vocab.ngram_rows = Some(100);
    }));
}

/// A chain of stops, one after each step.
#[test]
fn stopped_sixty_times() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    (1..N_STEPS).for_each(|step| stop_at(&dir, step, 1));
    finish(&dir, 1);
    assert_eq!(scene.uninterrupted().difference(&end(&dir)), None);
}

/// All steps are taken and saved, and only the last evaluation is missing: no row is duplicated.
#[test]
fn a_finished_run_finishes_again_without_change() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    finish(&dir, 1);
    let first = end(&dir);
    finish(&dir, 1);
    assert_eq!(first.difference(&end(&dir)), None);
}
