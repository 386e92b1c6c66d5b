//! Losses on held-out text that are compared are of the same tokens.

use crate::scene::{EVAL_EVERY, N_STEPS, Scene, finish};
use engine::checkpoint::{RealFs, best};
use engine::train::run::CHECKPOINTS_NAME;
use engine::train::settings::PrecisionName;

#[test]
fn evaluations_on_the_way_measure_the_same_tokens_and_the_last_all() {
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
    assert_ne!(loss(N_STEPS), Some(last.val_loss), "other tokens have another loss");

    // The best checkpoint is the one of the lowest of the comparable losses.
    let lowest = evaluations.iter().min_by(|a, b| a.val_loss.total_cmp(&b.val_loss)).unwrap();
    let found = best(&RealFs, &dir.join(CHECKPOINTS_NAME)).unwrap();
    assert_eq!(found.manifest.facts.step, lowest.step);
    assert_eq!(found.manifest.facts.val_loss_nats, Some(lowest.val_loss));
}
