//! The comparison sees a run that went on from another state, and a program that forgets something.

use crate::scene::{Scene, end, finish, stop_at};
use engine::checkpoint::{MANIFEST_NAME, Manifest, RealFs, read_manifest, step_name};
use engine::train::run::CHECKPOINTS_NAME;
use engine::train::settings::PrecisionName;
use std::path::Path;

/// Changes a checkpoint and signs it anew, so that only what comes of it can tell.
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

/// Stops at step 30, forges the checkpoint, goes on; what differs then.
fn difference(
    change: impl FnOnce(&mut Vec<u8>),
    facts: impl FnOnce(&mut Manifest),
) -> Option<&'static str> {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    stop_at(&dir, 30, 1);
    let folder = dir.join(CHECKPOINTS_NAME).join(step_name(30));
    forge(&folder, "optimizer.safetensors", change, facts);
    finish(&dir, 1);
    scene.straight().difference(&end(&dir))
}

#[test]
fn a_forged_checkpoint_that_is_the_same_makes_no_difference() {
    assert_eq!(difference(|_| (), |_| ()), None);
}

#[test]
fn one_bit_of_one_moment_is_seen() {
    // The last float is of a second moment; bit 20 is in its mantissa.
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 2;
        bytes[at] ^= 1 << 4;
    };
    assert_eq!(difference(flip, |_| ()), Some("model.safetensors"));
}

#[test]
fn a_forgotten_count_of_updates_is_seen() {
    let forget = |manifest: &mut Manifest| manifest.facts.state.n_updates = 0;
    assert_eq!(difference(|_| (), forget), Some("model.safetensors"));
}

#[test]
fn a_forgotten_count_of_tokens_is_seen() {
    let forget = |manifest: &mut Manifest| manifest.facts.state.n_tok = 0;
    assert_eq!(difference(|_| (), forget), Some("manifest.json"));
}
