//! Retention: random histories of saving, damage and pruning (D7) always keep a sound checkpoint.

use super::scenario::{State, dir, disk_with};
use super::sim_fs::SimFs;
use super::{Rng, cases};
use engine::checkpoint::{
    Checkpoint, Facts, Listed, Retention, best, discard_after, list, prune, save_checkpoint,
    step_name, verify,
};
use engine::disk::{Fs, SaveError, remove_tree};
use std::collections::BTreeMap;
use std::path::Path;

/// Expected state of a checkpoint, independent of the disk.
#[derive(Clone, Copy, Debug)]
struct Known {
    loss: Option<f64>,
    is_sound: bool,
    has_sound_manifest: bool,
}

type PruneFn = fn(&dyn Fs, &Path, &Retention) -> Result<(), SaveError>;

fn real_prune(fs: &dyn Fs, dir: &Path, retention: &Retention) -> Result<(), SaveError> {
    prune(fs, dir, retention).map(|_| ())
}

fn random_retention(rng: &mut Rng) -> Retention {
    let keep_every = [None, Some(2), Some(3), Some(0)][rng.below(4)];
    Retention { keep_last: rng.below(5), keep_best: rng.chance(50), keep_every }
}

/// Runs one history and checks the disk after each pruning.
fn history(rng: &mut Rng, prune: PruneFn) {
    let fs = disk_with(&[]);
    let retention = random_retention(rng);
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let mut step = 0;
    for _ in 0..3 + rng.below(12) {
        match rng.below(10) {
            0..5 => {
                step += 1 + rng.below(2) as u64;
                let loss = rng.chance(60).then(|| rng.below(6) as f64);
                save_at(&fs, step, loss, if rng.chance(50) { Some(&retention) } else { None });
                let sound = Known { loss, is_sound: true, has_sound_manifest: true };
                known.insert(step, sound);
                known.retain(|step, _| fs.exists(&dir().join(step_name(*step))).unwrap());
            }
            5..8 if !known.is_empty() => damage_one(&fs, &mut known, rng),
            _ => {
                prune(&fs, &dir(), &retention).unwrap();
                assert_kept(&fs, &mut known, &retention);
            }
        }
    }
}

fn save_at(fs: &SimFs, step: u64, loss: Option<f64>, retention: Option<&Retention>) {
    let state = State::with_shapes(step, vec![vec![2]]);
    let Checkpoint { facts, files } = state.checkpoint();
    let facts = Facts { val_loss_nats: loss, ..facts };
    let keep_all = Retention { keep_last: usize::MAX, keep_best: false, keep_every: None };
    let saved =
        save_checkpoint(fs, &dir(), &Checkpoint { facts, files }, retention.unwrap_or(&keep_all));
    assert!(saved.unwrap().prune_error.is_none());
}

fn damage_one(fs: &SimFs, known: &mut BTreeMap<u64, Known>, rng: &mut Rng) {
    let step = *known.keys().nth(rng.below(known.len())).unwrap();
    let file = ["manifest.json", "model.safetensors", "config.json"][rng.below(3)];
    fs.damage(&dir().join(step_name(step)).join(file), |bytes| {
        let i = rng.below(bytes.len());
        bytes[i] ^= 1 << rng.below(8);
    });
    let folder = dir().join(step_name(step));
    let entry = known.get_mut(&step).unwrap();
    entry.is_sound = verify(fs, &folder).is_ok(); // a second flip may undo the first
    entry.has_sound_manifest = engine::checkpoint::read_manifest(fs, &folder).is_ok();
}

/// Checks the checkpoints left by pruning against the definition of [`Retention`], given `known`.
fn assert_kept(fs: &SimFs, known: &mut BTreeMap<u64, Known>, retention: &Retention) {
    let on_disk: Vec<u64> = list(fs, &dir()).unwrap().iter().map(|listed| listed.step).collect();
    let listed: Vec<(u64, Known)> = known
        .iter()
        .filter(|(_, known)| known.has_sound_manifest)
        .map(|(step, known)| (*step, *known))
        .collect();
    let newest = listed.iter().rev().take(retention.keep_last.max(2)).map(|(step, _)| *step);
    let multiples = listed
        .iter()
        .map(|(step, _)| *step)
        .filter(|step| retention.keep_every.is_some_and(|n| n > 0 && step % n == 0));
    let losses = listed.iter().filter_map(|(step, known)| Some((known.loss?, *step)));
    let lowest = losses.min_by(|a, b| a.partial_cmp(b).unwrap()).filter(|_| retention.keep_best);
    let wanted: Vec<u64> = newest.chain(multiples).chain(lowest.map(|(_, step)| step)).collect();
    for step in &wanted {
        assert!(on_disk.contains(step), "step {step} was to be kept: {known:?}, {retention:?}");
    }
    let had_sound = known.values().any(|known| known.is_sound);
    let has_sound = on_disk.iter().any(|step| known[step].is_sound);
    assert!(has_sound || !had_sound, "the only sound checkpoint was removed: {known:?}");
    // Beyond that at most one stays, because no other is sound; damaged manifests are not touched.
    let extra =
        on_disk.iter().filter(|step| known[step].has_sound_manifest && !wanted.contains(step));
    let wanted_sound = wanted.iter().any(|step| known[step].is_sound);
    let allowed = if wanted_sound {
        0
    } else if had_sound {
        1
    } else {
        usize::MAX
    };
    assert!(extra.count() <= allowed, "too many were kept: {on_disk:?} of {known:?}");
    known.retain(|step, _| on_disk.contains(step));
}

#[test]
fn the_only_sound_checkpoint_is_never_removed() {
    let mut rng = Rng::new(70);
    (0..cases(10_000)).for_each(|_| history(&mut rng, real_prune));
}

/// The harness must catch pruning that trusts manifests without reading the files.
#[test]
#[should_panic(expected = "the only sound checkpoint was removed")]
fn pruning_by_names_alone_is_caught() {
    fn by_name(fs: &dyn Fs, dir: &Path, retention: &Retention) -> Result<(), SaveError> {
        let listed = list(fs, dir).unwrap();
        let sound: Vec<_> = listed.iter().filter(|listed| listed.manifest.is_ok()).collect();
        let loss = |l: &Listed| l.manifest.as_ref().unwrap().facts.val_loss_nats;
        let losses = sound.iter().filter_map(|l| Some((loss(l)?, l.step)));
        let best = losses.min_by(|a, b| a.partial_cmp(b).unwrap()).map(|(_, step)| step);
        for old in sound.iter().skip(retention.keep_last.max(2)) {
            let is_best = retention.keep_best && best == Some(old.step);
            let is_multiple = retention.keep_every.is_some_and(|n| n > 0 && old.step % n == 0);
            if !(is_best || is_multiple) {
                remove_tree(fs, &old.path).unwrap();
            }
        }
        Ok(())
    }
    let mut rng = Rng::new(71);
    (0..10_000).for_each(|_| history(&mut rng, by_name));
}

#[test]
fn the_best_is_the_lowest_recorded_loss_that_verifies() {
    let fs = disk_with(&[]);
    for (step, loss) in
        [(1, Some(2.0)), (2, Some(f64::NAN)), (3, Some(1.0)), (4, Some(1.0)), (5, None)]
    {
        save_at(&fs, step, loss, None);
    }
    let best_step = || best(&fs, &dir()).unwrap().manifest.facts.step;
    assert_eq!(best_step(), 3, "the earlier one of a tie");
    for (step, next) in [(3, 4), (4, 1), (1, 5), (5, 2)] {
        fs.damage(&dir().join(step_name(step)).join("config.json"), |bytes| bytes[0] ^= 1);
        assert_eq!(best_step(), next, "step {step} is damaged");
    }
}

#[test]
fn nothing_is_discarded_in_favour_of_a_damaged_checkpoint() {
    let fs = disk_with(&[]);
    (1..=3).for_each(|step| save_at(&fs, step, None, None));
    fs.damage(&dir().join(step_name(1)).join("config.json"), |bytes| bytes[0] ^= 1);
    let error = discard_after(&fs, &dir(), 1).unwrap_err();
    assert!(matches!(error, SaveError::KeptUnverified { .. }), "{error}");
    assert_eq!(list(&fs, &dir()).unwrap().len(), 3);
    assert_eq!(discard_after(&fs, &dir(), 2).unwrap(), [dir().join(step_name(3))]);
}
