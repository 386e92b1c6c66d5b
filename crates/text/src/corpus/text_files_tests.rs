//! Text file tests: unusable files are refused, and usable ones are read as specified.

use super::*;

fn write(folder: &tempfile::TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open(path: &Path) -> Result<Corpus, Error> {
    Corpus::open(&[path.to_owned()], TextRules::default())
}

/// The text of a corpus, with `|` at the end of each file.
fn text(corpus: &Corpus) -> Result<String, Error> {
    let mut text = String::new();
    corpus.read(corpus.all(), |piece| {
        text.push_str(match piece {
            Piece::Text(piece) => piece,
            Piece::End { .. } => "|",
        });
        ControlFlow::Continue(())
    })?;
    Ok(text)
}

#[test]
fn unusable_files_are_refused_by_name_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = [0x1f, 0x8b, 0x08, 0x00, 0xff];
    let cases: [(&str, &[u8], &str); 12] = [
        ("empty", b"", "the file is empty"),
        ("mark only", b"\xEF\xBB\xBF", "the file is empty"),
        ("latin 1", b"caf\xe9", "not UTF-8 at byte 3 (0xe9)"),
        ("bad at start", b"\x80abc", "not UTF-8 at byte 0 (0x80)"),
        ("bad after mark", b"\xEF\xBB\xBFa\xff", "not UTF-8 at byte 4 (0xff)"),
        ("cut at end", b"abc\xe2\x82", "not UTF-8 at byte 3 (0xe2)"),
        ("surrogate", b"a\xed\xa0\x80", "not UTF-8 at byte 1 (0xed)"),
        ("utf 16 little", b"\xff\xfeh\0i\0", "the file is UTF-16"),
        ("utf 16 big", b"\xfe\xff\0h\0i", "the file is UTF-16"),
        ("utf 16 unmarked", b"h\0i\0", "zero byte at 1"),
        ("elf", b"\x7fELF\x02\x01\x01\0\0", "zero byte at 7"),
        ("gzip", &gzip, "not UTF-8 at byte 1 (0x8b)"),
    ];
    for (name, bytes, message) in cases {
        let path = write(&folder, name, bytes);
        let error = open(&path).expect_err(name).to_string();
        assert!(error.contains(message) && error.contains(name), "{error}");
    }
    let late = [vec![b'a'; 3_000_000], vec![0xff]].concat();
    let error = open(&write(&folder, "late", late)).unwrap_err();
    assert!(matches!(error, Error::NotUtf8 { offset: 3_000_000, byte: 0xff, .. }));
}

#[test]
fn paths_without_a_readable_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Corpus::open(&[], TextRules::default()), Err(Error::NoFiles)));
    assert!(matches!(open(&folder.path().join("none")), Err(Error::Missing { .. })));
    assert!(matches!(open(folder.path()), Err(Error::Folder { .. })));
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        assert!(matches!(open(Path::new("/dev/zero")), Err(Error::NotRegular { .. })));
        let ring = folder.path().join("ring");
        symlink(&ring, &ring).unwrap();
        assert!(matches!(open(&ring), Err(Error::Unreadable { .. })));
        let secret = write(&folder, "secret", "text");
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
        // The superuser can still read it.
        assert!(matches!(open(&secret), Ok(_) | Err(Error::Unreadable { .. })));
    }
}

/// Opening a named pipe would block until a writer comes.
#[cfg(unix)]
#[test]
fn a_named_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(matches!(open(&pipe), Err(Error::NotRegular { .. })));
    }
}

#[test]
fn a_sparse_file_of_zeros_is_refused_at_its_first_byte() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(100 << 30).unwrap();
    assert!(matches!(open(file.path()), Err(Error::ZeroByte { offset: 0, .. })));
}

#[test]
fn files_are_read_in_order_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(&folder, "a file with blanks", "\u{feff}one\r\ntwo\r\n");
    let second = write(&folder, "второй", b"three\xff\xff\n");
    let rules = TextRules { invalid_bytes: InvalidBytes::Replace, line_ends: LineEnds::Unify };
    let corpus = Corpus::open(&[first, second], rules).unwrap();
    assert_eq!(text(&corpus).unwrap(), "one\ntwo\n|three\u{fffd}\u{fffd}\n|");
    let counts: Vec<_> = corpus.files().iter().map(|f| (f.n_lines, f.n_replaced)).collect();
    assert_eq!(counts, [(2, 0), (1, 2)]);
    assert_eq!(corpus.n_bytes(), 13 + 8);
    let hash = blake3::hash(b"three\xff\xff\n").to_hex();
    assert_eq!(corpus.files()[1].fingerprint.blake3, hash.as_str());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_name_that_is_not_unicode_works() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt"));
    std::fs::write(&path, "text").unwrap();
    assert_eq!(text(&open(&path).unwrap()).unwrap(), "text|");
}

#[test]
fn reading_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = open(&write(&folder, "long", "some words ".repeat(500_000))).unwrap();
    let mut n_pieces = 0;
    let stop = |_: Piece<'_>| {
        n_pieces += 1;
        if n_pieces == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    corpus.read(corpus.all(), stop).unwrap();
    assert_eq!(n_pieces, 2);
}

#[test]
fn thirty_changes_of_the_text_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let original = "The same text, again and again.\n".repeat(9);
    let path = write(&folder, "text", &original);
    let earlier = open(&path).unwrap();
    let fingerprints: Vec<FileFingerprint> =
        earlier.files().iter().map(|f| f.fingerprint.clone()).collect();
    assert!(earlier.check_unchanged().is_ok());
    for mutation in 0..30 {
        let mut bytes = original.clone().into_bytes();
        match mutation % 3 {
            0 => bytes[mutation * 9] ^= 1,
            1 => drop(bytes.remove(mutation * 9)),
            _ => bytes.insert(mutation * 9, b'x'),
        }
        std::fs::write(&path, &bytes).unwrap();
        let now = open(&path).unwrap();
        assert!(matches!(now.check_same(&fingerprints), Err(Error::Changed { .. })));
        assert!(matches!(earlier.check_unchanged(), Err(Error::Changed { .. })));
        assert_ne!(now.hash(), earlier.hash());
        let has_same_size = bytes.len() == original.len();
        assert_eq!(text(&earlier).is_ok(), has_same_size, "size is checked when reading");
    }
    let second = write(&folder, "more", "more");
    std::fs::write(&path, &original).unwrap();
    let both = Corpus::open(&[path, second], TextRules::default()).unwrap();
    assert!(matches!(both.check_same(&fingerprints), Err(Error::Changed { .. })));
    assert!(matches!(both.check_same(&[]), Err(Error::Changed { .. })));
}

#[test]
fn a_file_deleted_after_the_check_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, "text", "text");
    let corpus = open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(text(&corpus), Err(Error::Missing { .. })));
}
