//! Text file tests: unusable files are refused, and usable ones are read as specified.

use super::*;
use crate::corpus::{InvalidBytes, LineEnds};

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
    let cases: [(&str, &[u8], &str); 18] = [
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
        ("gzip", &gzip, "this is a gzip archive, not plain text; unpack it first"),
        ("zip", b"PK\x03\x04\x14\0", "this is a ZIP archive or an office document"),
        ("pdf", b"%PDF-1.7\nplain", "this is a PDF document"),
        ("bzip2", b"BZh91AY&SY", "this is a bzip2 archive"),
        ("zstd", b"\x28\xB5\x2F\xFD\x04", "this is a Zstandard archive"),
        ("xz", b"\xFD7zXZ\0\0", "this is an xz archive"),
        ("7z", b"7z\xBC\xAF\x27\x1C\0", "this is a 7-Zip archive"),
    ];
    for (name, bytes, message) in cases {
        let path = write(&folder, name, bytes);
        let error = open(&path).expect_err(name).to_string();
        assert!(error.contains(message) && error.contains(name), "{error}");
    }
    assert!(open(&write(&folder, "word", "BZh is no archive")).is_ok());
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

const LATER: &[u8] = b"three\xff\xff\rcafe\xcc\x81, twenty-three\n";

#[test]
fn empty_files_among_others_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let paths =
        ["", "one", "\u{feff}", "two"].map(|text| write(&folder, &format!("f{text}"), text));
    let corpus = Corpus::open(&paths, TextRules::default()).unwrap();
    assert_eq!(text(&corpus).unwrap(), "one|two|");
    assert_eq!(corpus.empty(), [paths[0].clone(), paths[2].clone()]);
    let none = Corpus::open(&paths[..1], TextRules::default());
    assert!(matches!(none, Err(Error::Empty { .. })));
}

#[test]
fn bytes_that_are_no_text_are_refused_even_if_some_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let rules = TextRules { invalid_bytes: InvalidBytes::Replace, ..TextRules::default() };
    let open = |name: &str, bytes: &[u8]| Corpus::open(&[write(&folder, name, bytes)], rules);
    let random: Vec<u8> =
        (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let utf16: Vec<u8> =
        "Some text. ".repeat(9).encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in [("random", &random), ("utf 16", &utf16)] {
        let error = open(name, bytes).unwrap_err();
        assert_eq!(error.code(), "text-mostly-invalid");
        assert!(error.to_string().contains(" % of it is not UTF-8"), "{error}");
    }
    let latin = "Les \u{fffd}t\u{fffd}s pass\u{fffd}s au bord de la mer, et les hivers ailleurs. ";
    let latin: Vec<u8> = latin.chars().map(|c| if c.is_ascii() { c as u8 } else { 0xe9 }).collect();
    assert_eq!(open("latin", &latin).unwrap().files()[0].n_replaced, 3);
}

/// What the system makes while it is read has no size beforehand, and is another one next time.
#[cfg(target_os = "linux")]
#[test]
fn a_file_of_the_system_is_not_called_empty() {
    let error = open(Path::new("/proc/self/status")).unwrap_err();
    assert!(matches!(error, Error::Generated { .. }), "{error}");
    let input = crate::corpus::Input::open(Path::new("/proc/self/status")).unwrap();
    assert!(input.text(TextRules::default()).unwrap().text.contains("Pid:"));
}

#[test]
fn a_corpus_is_not_read_from_standard_input() {
    assert!(matches!(open(Path::new("-")), Err(Error::NotRegular { .. })));
}

#[test]
fn files_are_read_in_order_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let first = write(&folder, "a file with blanks", "\u{feff}one\r\ntwo\r\n");
    let second = write(&folder, "второй", LATER);
    let rules = TextRules {
        invalid_bytes: InvalidBytes::Replace,
        line_ends: LineEnds::Unify,
        normal_form: NormalForm::Nfc,
    };
    let corpus = Corpus::open(&[first, second], rules).unwrap();
    let end = "café, twenty-three\n|";
    assert_eq!(text(&corpus).unwrap(), format!("one\ntwo\n|three\u{fffd}\u{fffd}\n{end}"));
    let counts = |f: &FileReport| (f.n_lines, f.n_replaced, f.n_line_ends, f.n_composed);
    let counts: Vec<_> = corpus.files().iter().map(counts).collect();
    assert_eq!(counts, [(2, 0, 2, 0), (2, 2, 1, 1)]);
    assert_eq!(corpus.n_bytes(), 13 + 29);
    let hash = blake3::hash(LATER).to_hex();
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
