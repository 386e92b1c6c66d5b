//! Evaluations on held-out text: compared losses are on the same tokens.

use super::scene::{EVAL_EVERY, N_STEPS, Scene, finish};
use engine::checkpoint::{CHECKPOINTS_NAME, best, newest};
use engine::disk::RealFs;
use engine::formats::{TensorFile, read_params};
use engine::model::{InputLayer, Layout, MicroShape, OwnedModel};
use engine::train::run::Run;
use engine::train::settings::PrecisionName;
use engine::train::{Lanes, RowUpdates, SequenceSource};
use kernels::Precision;
use std::path::Path;
use text::corpus::{EvalWindows, TokenFile, TokenSource};

/// All held-out windows of a run.
struct HeldOut(TokenFile, EvalWindows);

impl SequenceSource for HeldOut {
    fn fill(&self, _: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        self.1.fill(&self.0, index, tokens, targets);
    }
}

/// Loss of the model in a folder on all held-out text of the run in `dir`.
fn loss_of_folder(folder: &Path, dir: &Path) -> f64 {
    let config = Run::open(dir, 1).unwrap().config().model.clone();
    let layout = Layout::new(&config).unwrap();
    let params = read_params(folder, &layout).unwrap();
    let shape = MicroShape::new(&config, config.seq_len, 1, Precision::F32);
    let mut lanes = Lanes::for_evaluation(&layout, &shape, 1);
    let inputs = InputLayer::new(&layout, None, None);
    let model = OwnedModel::new(layout, params, inputs, Precision::F32, lanes.pool());
    let tokens = TokenFile::open(&dir.join("valid.tokens")).unwrap();
    let windows = EvalWindows::new(tokens.len(), config.seq_len).unwrap();
    let n = windows.n_windows();
    let sum = lanes.evaluate(model.model(), &HeldOut(tokens, windows), n);
    sum.nats / sum.n_tok as f64
}

/// Evaluations while rows are stale measure the model that a checkpoint's reader gets, with every
/// row caught up.
#[test]
fn the_model_of_a_checkpoint_has_no_stale_rows() {
    for is_tied in [true, false] {
        let scene = Scene::with_classes(PrecisionName::F32, is_tied, RowUpdates::Lazy);
        let dir = scene.fresh();
        let last = finish(&dir, 1).pop().unwrap();
        let folder = newest(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap().path;
        assert_eq!(loss_of_folder(&folder, &dir), last.val_loss);
        // Some rows were stale: their stored values, which the run resumes from, differ.
        let name = "model.embed_tokens.weight";
        let read = |file: &str, name: &str| {
            let mut file = TensorFile::open(&RealFs, &folder.join(file)).unwrap();
            let shape = file.get(name).unwrap().shape.clone();
            let mut values = vec![0.0; shape.iter().product()];
            file.read(name, &shape, &mut values).unwrap();
            values
        };
        let live = read("optimizer.safetensors", &format!("live.{name}"));
        assert_ne!(read("model.safetensors", name), live);
    }
}

#[test]
fn evaluations_measure_the_same_sample_and_the_last_one_all() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    let mut evaluations = finish(&dir, 1);
    let last = evaluations.pop().unwrap();
    assert_eq!(evaluations.len() as u64, N_STEPS / EVAL_EVERY + 1);
    for evaluation in &evaluations {
        assert_eq!(evaluation.n_tok, 64);
        assert_eq!(evaluation.bits_per_byte, None);
    }
    assert!(last.n_tok > 2 * 64, "{last:?}");
    assert!(last.bits_per_byte.is_some());
    assert_eq!(last.step, N_STEPS);
    let loss = |step| evaluations.iter().find(|e| e.step == step).map(|e| e.val_loss);
    assert_ne!(loss(N_STEPS), Some(last.val_loss), "the loss on other tokens differs");

    // The best checkpoint has the lowest of the comparable losses.
    let lowest = evaluations.iter().min_by(|a, b| a.val_loss.total_cmp(&b.val_loss)).unwrap();
    let found = best(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap();
    assert_eq!(found.manifest.facts.step, lowest.step);
    assert_eq!(found.manifest.facts.val_loss_nats, Some(lowest.val_loss));
}
