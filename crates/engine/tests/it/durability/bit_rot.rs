//! Bit rot: one flipped bit in every byte of a checkpoint, and every shorter length of a file (D5).

use super::scenario::{State, dir, disk_with, save};
use super::sim_fs::SimFs;
use engine::checkpoint::{Manifest, discard_after, list, newest, read_manifest, step_name, verify};
use engine::disk::{FileRecord, Fs, LoadError, read_file};
use std::path::PathBuf;

/// A disk with a small checkpoint of step 1 and one of about 64 KiB of step 2.
fn prepared() -> (SimFs, Vec<PathBuf>) {
    let fs = disk_with(&[1]);
    let floats = 64 * 1024 / 8 - 300;
    let state = State::with_shapes(2, vec![vec![floats / 2], vec![floats - floats / 2]]);
    save(&fs, &dir(), &state.checkpoint()).unwrap();
    let folder = dir().join(step_name(2));
    let files = fs.list(&folder).unwrap().into_iter().map(|entry| folder.join(entry.name));
    (fs.clone(), files.collect())
}

/// Panics unless step 1 is used and `file` is named as the damaged file of step 2.
fn assert_falls_back(fs: &SimFs, file: &PathBuf, when: &str) {
    let found = newest(fs, &dir()).unwrap();
    assert_eq!(found.manifest.facts.step, 1, "{when}: the damage was not detected");
    assert_eq!(found.rejected.len(), 1, "{when}");
    let why = &found.rejected[0].why;
    let is_named = matches!(why, LoadError::Damaged { path, .. } if path == file);
    assert!(is_named, "{when}: {why}");
}

#[test]
fn every_flipped_byte_is_detected_and_its_file_named() {
    let (fs, files) = prepared();
    let mut n_cases = 0;
    for file in &files {
        let len = read_file(&fs, file, 1 << 20).unwrap().len();
        for i in 0..len {
            let bit = 1 << (i % 8);
            fs.damage(file, |bytes| bytes[i] ^= bit);
            assert_falls_back(&fs, file, &format!("byte {i} of {}", file.display()));
            fs.damage(file, |bytes| bytes[i] ^= bit);
            n_cases += 1;
        }
    }
    println!("{n_cases} flipped bytes");
    assert!(n_cases >= 64 * 1000, "{n_cases} cases");
    assert_eq!(newest(&fs, &dir()).unwrap().manifest.facts.step, 2, "everything is restored");
}

#[test]
fn every_shorter_length_is_detected_and_its_file_named() {
    let (fs, files) = prepared();
    let mut n_cases = 0;
    for file in &files {
        let whole = read_file(&fs, file, 1 << 20).unwrap();
        for len in (0..whole.len()).rev() {
            fs.damage(file, |bytes| bytes.truncate(len));
            assert_falls_back(&fs, file, &format!("{} cut to {len}", file.display()));
            n_cases += 1;
        }
        fs.damage(file, |bytes| bytes.clone_from(&whole));
    }
    assert!(n_cases >= 64 * 1000, "{n_cases} cases");
}

#[test]
fn longer_files_and_missing_files_are_detected() {
    let (fs, files) = prepared();
    for file in &files {
        fs.damage(file, |bytes| bytes.push(0));
        assert_falls_back(&fs, file, "one byte more");
        fs.damage(file, |bytes| bytes.truncate(bytes.len() - 1));
        let copy = fs.copy();
        copy.remove_file(file).unwrap();
        let found = newest(&copy, &dir()).unwrap();
        assert_eq!(found.manifest.facts.step, 1);
        let message = found.rejected[0].why.to_string();
        assert!(message.contains(&file.display().to_string()), "{message}");
    }
}

/// With every checkpoint damaged, all are named and nothing is used.
#[test]
fn no_sound_checkpoint_is_an_error_that_names_each() {
    let (fs, _) = prepared();
    for step in [1, 2] {
        let file = dir().join(step_name(step)).join("optimizer.safetensors");
        fs.damage(&file, |bytes| bytes[100] ^= 4);
    }
    let message = newest(&fs, &dir()).unwrap_err().to_string();
    for part in
        ["no usable checkpoint", "step-00000001/optimizer", "step-00000002/optimizer", "BLAKE3"]
    {
        assert!(message.contains(part), "{message:?} lacks {part:?}");
    }
}

/// Falling back to a checkpoint before that of a newer program would throw work away.
#[test]
fn a_newer_version_is_refused_and_not_skipped() {
    let (fs, _) = prepared();
    let file = dir().join(step_name(2)).join("manifest.json");
    fs.damage(&file, |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let text = text.replace("\"version\": 1", "\"version\": 2");
        let body = &text[..text.find(",\n  \"checksum\"").unwrap()];
        let sum = blake3::hash(body.as_bytes()).to_hex();
        *bytes = format!("{body},\n  \"checksum\": \"{sum}\"\n}}\n").into_bytes();
    });
    let error = newest(&fs, &dir()).unwrap_err();
    assert!(matches!(error, LoadError::NewerVersion { found: 2, .. }), "{error}");
    assert!(discard_after(&fs, &dir(), 1).is_err());
    assert!(fs.exists(&file).unwrap());
}

/// A loader that checked only sizes and manifests would miss the damage.
#[test]
fn a_loader_without_checksums_would_miss_the_damage() {
    let (fs, files) = prepared();
    let file = files.iter().find(|file| file.ends_with("model.safetensors")).unwrap();
    fs.damage(file, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(read_manifest(&fs, &dir().join(step_name(2))).is_ok());
    assert_falls_back(&fs, file, "last byte");
}

/// Listing does not read the files, but detects wrong sizes.
#[test]
fn a_shorter_file_is_detected_without_reading_it() {
    let (fs, files) = prepared();
    for file in &files {
        fs.damage(file, |bytes| bytes.truncate(bytes.len() - 1));
        assert!(list(&fs, &dir()).unwrap()[0].manifest.is_err(), "{}", file.display());
        fs.damage(file, |bytes| bytes.push(0));
    }
}

/// Otherwise a renamed folder would continue from a wrong step.
#[test]
fn a_renamed_checkpoint_is_refused() {
    let (fs, _) = prepared();
    fs.rename(&dir().join(step_name(1)), &dir().join(step_name(9))).unwrap();
    let found = newest(&fs, &dir()).unwrap();
    assert_eq!(found.manifest.facts.step, 2);
    let message = found.rejected[0].why.to_string();
    assert!(message.contains("step is 1, expected 9"), "{message}");
}

/// A manifest with a correct checksum that names files outside its folder.
#[test]
fn a_manifest_cannot_name_files_elsewhere() {
    let (fs, _) = prepared();
    let folder = dir().join(step_name(2));
    let manifest = verify(&fs, &folder).unwrap();
    let other = "../step-00000001/config.json";
    let len = read_file(&fs, &dir().join("step-00000001/config.json"), 1 << 20).unwrap().len();
    for names in [vec![other], vec!["config.json", "config.json"]] {
        let record = |name: &str| FileRecord {
            name: name.into(),
            bytes: len as u64,
            ..manifest.files[0].clone()
        };
        let files = names.into_iter().map(record).collect();
        let bytes = Manifest::new(manifest.facts.clone(), files).to_bytes();
        fs.damage(&folder.join("manifest.json"), |content| *content = bytes);
        let message = read_manifest(&fs, &folder).unwrap_err().to_string();
        assert!(message.contains("file name"), "{message}");
    }
}
