//! Token file tests: files are read back as written, and every damage is detected.

use super::*;
use std::path::PathBuf;

fn origin(vocab_size: u64) -> TokenOrigin {
    TokenOrigin { vocab_size, tokenizer_hash: [7; 32], text_hash: [9; 32] }
}

fn write(path: &Path, vocab_size: u64, tokens: &[u32]) -> TokenFile {
    let mut writer = TokenFile::create(path, origin(vocab_size)).unwrap();
    tokens.chunks(1000).for_each(|part| writer.push(part).unwrap());
    assert_eq!(writer.n_tokens(), tokens.len() as u64);
    writer.finish().unwrap()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    (folder, path)
}

#[test]
fn tokens_are_read_back_at_every_width_and_length() {
    let (folder, path) = folder();
    for vocab_size in [1, 2, 256, 65_535, 65_536, 65_537, 1_000_000, VOCAB_MAX] {
        for n_tokens in [0, 1, 2, 1001, 200_003] {
            let top = (vocab_size - 1) as u32;
            let tokens: Vec<u32> = (0..n_tokens).map(|i| top - i % top.clamp(1, 77)).collect();
            let file = write(&path, vocab_size, &tokens);
            assert_eq!((file.len(), *file.origin()), (tokens.len(), origin(vocab_size)));
            let width = if vocab_size <= 65_536 { 2 } else { 4 };
            let size = HEADER_BYTES + tokens.len() * width + POSITION_BYTES;
            assert_eq!(std::fs::metadata(&path).unwrap().len(), size as u64);
            let mut read = vec![0; tokens.len()];
            file.read(0, &mut read);
            assert_eq!(read, tokens);
            if tokens.len() > 100 {
                file.read(37, &mut read[..50]);
                assert_eq!(read[..50], tokens[37..87]);
            }
        }
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_token_outside_the_vocabulary_is_refused_and_nothing_is_left() {
    let (folder, path) = folder();
    for (vocab_size, found) in [(100, 100), (65_536, 65_536), (65_536, u32::MAX)] {
        let mut writer = TokenFile::create(&path, origin(vocab_size)).unwrap();
        let error = writer.push(&[1, 2, found]).unwrap_err();
        assert!(matches!(error, Error::TokenOutside { found: f, .. } if f == found));
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn an_unfinished_or_failed_write_leaves_the_old_file() {
    let (_folder, path) = folder();
    write(&path, 100, &[1, 2, 3]);
    TokenFile::create(&path, origin(100)).unwrap().push(&[4]).unwrap();
    assert_eq!(TokenFile::open(&path).unwrap().len(), 3);
    let nowhere = path.join("under a file");
    assert!(matches!(TokenFile::create(&nowhere, origin(100)), Err(Error::Unwritable { .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_distinguished_from_other_errors() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let (folder, path) = folder();
    let temporary = folder.path().join(format!("tokens.tmp-{}", std::process::id()));
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    let error = TokenFile::create(&path, origin(100)).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert!(!path.exists());
}

/// The error that a file of these bytes gives, which must name the file.
fn refusal(path: &Path, bytes: &[u8]) -> Option<(&'static str, String)> {
    std::fs::write(path, bytes).unwrap();
    match TokenFile::open(path) {
        Ok(_) => None,
        Err(error @ Error::TokenFile { field, .. }) => {
            assert!(error.to_string().contains("tokens"));
            Some((field, error.to_string()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    for vocab_size in [1000, 100_000] {
        let (_folder, path) = folder();
        write(&path, vocab_size, &[5, 999, 0, 17]);
        let good = std::fs::read(&path).unwrap();
        assert_eq!(refusal(&path, &good), None);
        for i in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[i] ^= 1 << bit;
                assert!(refusal(&path, &bad).is_some(), "bit {bit} of byte {i}");
            }
            assert!(refusal(&path, &good[..i]).is_some(), "truncated to {i}");
        }
        assert!(refusal(&path, &[&good[..], b"x"].concat()).is_some());
    }
}

/// Files with correct hashes and wrong contents.
#[test]
fn forged_headers_are_refused_by_the_field_that_is_wrong() {
    let (_folder, path) = folder();
    let tokens = [5u16, 999, 0, 17].map(u16::to_le_bytes).concat();
    let contents = [&tokens[..], &1u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
    let hash = *blake3::hash(&contents).as_bytes();
    let forge = |origin: TokenOrigin, n_tokens: u64, edit: &dyn Fn(&mut [u8])| {
        let mut header = encode_header(&origin, n_tokens, &hash);
        edit(&mut header);
        let own = blake3::hash(&header[..HASHED_HEADER_BYTES]);
        header[HASHED_HEADER_BYTES..].copy_from_slice(own.as_bytes());
        let bytes = [&header[..], &contents].concat();
        refusal(&path, &bytes).map(|(field, _)| field)
    };
    assert_eq!(forge(origin(1000), 4, &|_| ()), None);
    assert_eq!(forge(origin(999), 4, &|_| ()), Some("largest token"));
    for n_tokens in [0, 3, 5, 1 << 63, (1 << 63) + 4, u64::MAX] {
        assert_eq!(forge(origin(1000), n_tokens, &|_| ()), Some("file size"));
    }
    assert_eq!(forge(origin(1000), 4, &|h| h[12] = 4), Some("token width"));
    assert_eq!(forge(origin(70_000), 4, &|_| ()), Some("file size"));
    assert_eq!(forge(origin(1000), 4, &|h| h[8] = 1), Some("file size"));
    assert_eq!(forge(origin(1000), 4, &|h| h[8] = 3), Some("format version"));
    assert_eq!(forge(origin(1000), 4, &|h| h[16..24].fill(0)), Some("vocabulary size"));
    assert_eq!(forge(origin(1000), 4, &|h| h[16..24].fill(255)), Some("vocabulary size"));
    assert_eq!(forge(origin(1000), 4, &|h| h[0] = b'C'), Some("first bytes"));
    assert_eq!(refusal(&path, b"").map(|r| r.0), Some("file size"));
}

#[test]
fn missing_files_and_folders_are_refused() {
    let (folder, path) = folder();
    assert!(matches!(TokenFile::open(&path), Err(Error::Missing { .. })));
    assert!(matches!(TokenFile::open(folder.path()), Err(Error::Folder { .. })));
}

/// Files whose hashes are correct, and whose beginnings are not.
#[test]
fn beginnings_that_no_text_can_have_are_refused() {
    let (_folder, path) = folder();
    let tokens = [5u16, 999, 0, 17].map(u16::to_le_bytes).concat();
    let forge = |numbers: &[u64]| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let contents = [&tokens[..], &numbers].concat();
        let header = encode_header(&origin(1000), 4, blake3::hash(&contents).as_bytes());
        refusal(&path, &[&header[..], &contents].concat()).map(|(field, _)| field)
    };
    assert_eq!([forge(&[0]), forge(&[2, 0, 3])], [None, None]);
    for bad in [&[1, 4][..], &[2, 3, 0], &[2, 1, 1], &[1, u64::MAX]] {
        assert_eq!(forge(bad), Some("beginnings"), "{bad:?}");
    }
    for bad in [&[][..], &[1], &[0, 0], &[u64::MAX], &[u64::MAX / 8, 0], &[1 << 61, 0]] {
        assert_eq!(forge(bad), Some("file size"), "{bad:?}");
    }
}

#[test]
fn beginnings_are_kept_and_hidden_from_targets() {
    let (_folder, path) = folder();
    let mut writer = TokenFile::create(&path, origin(100)).unwrap();
    writer.push_text(&[0, 1, 2], &[0]).unwrap();
    writer.push_text(&[3, 0, 4, 5, 0], &[1]).unwrap();
    let file = writer.finish().unwrap();
    assert_eq!((file.len(), file.beginnings()), (8, &[0, 4][..]));
    let hidden = |start: usize, n: usize| {
        let mut targets = vec![0; n];
        file.read(start, &mut targets);
        file.hide_beginnings(start, &mut targets);
        targets
    };
    let none = kernels::cross_entropy::IGNORE;
    assert_eq!(hidden(0, 8), [none, 1, 2, 3, none, 4, 5, 0]);
    assert_eq!(
        (hidden(1, 3), hidden(3, 2), hidden(5, 3)),
        (vec![1, 2, 3], vec![3, none], vec![4, 5, 0])
    );
    assert!(hidden(4, 0).is_empty());
}

#[test]
fn files_of_version_1_are_read() {
    let (_folder, path) = folder();
    let tokens = [5u16, 999, 0, 17].map(u16::to_le_bytes).concat();
    let mut header = encode_header(&origin(1000), 4, blake3::hash(&tokens).as_bytes());
    header[8] = 1;
    let own = blake3::hash(&header[..HASHED_HEADER_BYTES]);
    header[HASHED_HEADER_BYTES..].copy_from_slice(own.as_bytes());
    std::fs::write(&path, [&header[..], &tokens].concat()).unwrap();
    let file = TokenFile::open(&path).unwrap();
    let mut read = [0; 4];
    file.read(0, &mut read);
    assert_eq!((read, file.beginnings()), ([5, 999, 0, 17], &[][..]));
}

/// A mapped file would end the process by a signal here.
#[test]
fn a_file_that_is_cut_short_while_it_is_used_is_an_error() {
    let (_folder, path) = folder();
    let tokens: Vec<u32> = (0..10_000).map(|i| i % 100).collect();
    let file = write(&path, 100, &tokens);
    assert!(file.check().is_ok());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5_000).unwrap();
    let mut read = [1; 10];
    file.read(0, &mut read);
    assert!(file.check().is_ok() && read[9] == 9);
    file.read(9_000, &mut read);
    assert!(matches!(file.check(), Err(Error::Unreadable { .. })) && read == [0; 10]);
}
