//! Planted errors: the comparison detects runs resumed from a changed or incomplete state.

use super::scene::{Scene, end, finish, refusal, stop_at};
use engine::checkpoint::{CHECKPOINTS_NAME, MANIFEST_NAME, Manifest, read_manifest, step_name};
use engine::disk::RealFs;
use engine::train::RowUpdates;
use engine::train::settings::PrecisionName;
use std::path::{Path, PathBuf};

/// Changes a checkpoint and updates its checksums, so that only the results reveal the change.
fn forge(
    folder: &Path,
    file: &str,
    change: impl FnOnce(&mut Vec<u8>),
    facts: impl FnOnce(&mut Manifest),
) {
    let path = folder.join(file);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let mut manifest = read_manifest(&RealFs, folder).unwrap();
    let record = manifest.files.iter_mut().find(|record| record.name == file).unwrap();
    record.blake3 = blake3::hash(&bytes).to_hex().to_string();
    facts(&mut manifest);
    let manifest = Manifest::new(manifest.facts, manifest.files);
    std::fs::write(folder.join(MANIFEST_NAME), manifest.to_bytes()).unwrap();
}

/// Stops at step 30 and forges the checkpoint.
fn forged(
    scene: &Scene,
    change: impl FnOnce(&mut Vec<u8>),
    facts: impl FnOnce(&mut Manifest),
) -> PathBuf {
    let dir = scene.fresh();
    stop_at(&dir, 30, 1);
    let folder = dir.join(CHECKPOINTS_NAME).join(step_name(30));
    forge(&folder, "optimizer.safetensors", change, facts);
    dir
}

/// Resumes from a forged checkpoint; returns the first part of the result that differs.
fn difference(
    change: impl FnOnce(&mut Vec<u8>),
    facts: impl FnOnce(&mut Manifest),
) -> Option<&'static str> {
    let scene = Scene::new(PrecisionName::F32);
    let dir = forged(&scene, change, facts);
    finish(&dir, 1);
    scene.uninterrupted().difference(&end(&dir))
}

/// New value of a number, or `None` to leave it unchanged.
type Change = fn(f32) -> Option<f32>;

/// Changes the first number of `tensor` for which `to` gives a new value.
fn change_number(tensor: &'static str, to: Change) -> impl FnOnce(&mut Vec<u8>) {
    move |bytes| {
        let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
        let place = |i: usize| header[tensor]["data_offsets"][i].as_u64().unwrap() as usize;
        let data = &mut bytes[8 + header_len..][place(0)..place(1)];
        let changed = data.as_chunks_mut::<4>().0.iter_mut().find_map(|number| {
            *number = to(f32::from_le_bytes(*number))?.to_le_bytes();
            Some(())
        });
        changed.expect("there is a number to change");
    }
}

/// Each tensor of the state of stale rows affects the result.
#[test]
fn a_changed_part_of_the_lazy_state_is_detected() {
    let scene = Scene::with_classes(PrecisionName::F32, false, RowUpdates::Lazy);
    let uninterrupted = scene.uninterrupted();
    let fewer: Change = |n| (n > 1.0).then_some(n - 1.0);
    let larger: Change = |x| (x != 0.0).then_some(x * 1.01);
    for (tensor, to) in [
        ("idle.model.embed_tokens.weight", fewer),
        ("idle.lm_head.weight", fewer),
        ("idle.head.member.bias", fewer),
        ("live.model.embed_tokens.weight", larger),
        ("rates", larger),
    ] {
        let dir = forged(&scene, change_number(tensor, to), |_| ());
        finish(&dir, 1);
        assert!(uninterrupted.difference(&end(&dir)).is_some(), "{tensor}");
    }
}

#[test]
fn impossible_counts_of_pending_updates_are_refused_by_name() {
    let scene = Scene::with_classes(PrecisionName::F32, false, RowUpdates::Lazy);
    let wrong: [(_, Change); 4] = [
        ("idle.lm_head.weight", |_| Some(0.5)),
        ("idle.model.embed_tokens.weight", |_| Some(31.0)),
        ("idle.head.member.bias", |_| Some(f32::NAN)),
        ("rates", |_| Some(-1.0)),
    ];
    for (tensor, to) in wrong {
        let dir = forged(&scene, change_number(tensor, to), |_| ());
        let message = refusal(&dir).to_string();
        assert!(message.contains(tensor), "{tensor}: {message}");
    }
}

#[test]
fn a_forged_checkpoint_without_a_change_makes_no_difference() {
    assert_eq!(difference(|_| (), |_| ()), None);
}

#[test]
fn one_bit_of_one_moment_is_detected() {
    // The last float belongs to a second moment; bit 20 is in its mantissa.
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 2;
        bytes[at] ^= 1 << 4;
    };
    assert_eq!(difference(flip, |_| ()), Some("model.safetensors"));
}

#[test]
fn a_forgotten_count_of_updates_is_detected() {
    let forget = |manifest: &mut Manifest| manifest.facts.state.n_updates = 0;
    assert_eq!(difference(|_| (), forget), Some("model.safetensors"));
}

#[test]
fn a_forgotten_count_of_tokens_is_detected() {
    let forget = |manifest: &mut Manifest| manifest.facts.state.n_tok = 0;
    assert_eq!(difference(|_| (), forget), Some("manifest.json"));
}
