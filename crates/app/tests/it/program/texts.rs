//! Unusable text files: refused by name with advice; unusual but valid ones are trained on.

use crate::program::process::{Ended, program, run, unprivileged};
use crate::program::scene::Scene;
use std::path::Path;

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c";
const ELF: &[u8] = b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR";

/// `train x.txt` with few steps, into the folder `run`.
fn train(scene: &Scene, file: &str, flags: &str) -> Ended {
    let mut args = "--out run --steps 2 --dim 16 --layers 1 --heads 1 --batch 2"
        .split(' ')
        .collect::<Vec<_>>();
    args.extend(flags.split_whitespace());
    if !flags.contains("--seq-len") {
        args.extend(["--seq-len", "16"]);
    }
    args.splice(0..0, ["train", file]);
    run(scene.path(), &args)
}

/// Valid text of `n` times 40 bytes.
fn lines(n: usize) -> Vec<u8> {
    "Anna found the red ball under the table.".repeat(n).into_bytes()
}

#[test]
fn invalid_contents_are_refused_by_name_and_position() {
    let scene = Scene::new();
    let with = |at: usize, bytes: &[u8]| {
        let mut text = lines(50);
        text.splice(at..at, bytes.iter().copied());
        text
    };
    let utf16: Vec<u8> = "\u{feff}Some text.".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, Vec<u8>, &[&str]); 15] = [
        ("no byte", vec![], &["empty", "give a file with text"]),
        ("a byte order mark", b"\xef\xbb\xbf".to_vec(), &["empty"]),
        ("UTF-16", utf16.clone(), &["UTF-16", "iconv"]),
        (
            "UTF-16, big end first",
            utf16.chunks(2).flat_map(|c| [c[1], c[0]]).collect(),
            &["UTF-16"],
        ),
        (
            "Latin-1",
            with(7, b"caf\xe9 "),
            &["not UTF-8 at byte 10", "0xe9", "--replace-invalid-utf8"],
        ),
        ("invalid at the start", with(0, b"\xff"), &["not UTF-8 at byte 0", "0xff"]),
        ("invalid in the middle", with(1000, b"\xc0\xaf"), &["not UTF-8 at byte 1000", "0xc0"]),
        ("invalid at the end", with(2000, b"\xe2\x82"), &["not UTF-8 at byte 2000", "0xe2"]),
        ("a surrogate", with(3, b"\xed\xa0\x80"), &["not UTF-8 at byte 3", "0xed"]),
        ("a zero byte", with(100, b"\0"), &["zero byte at 100"]),
        ("gzip", GZIP.to_vec(), &["gzip archive", "gzip -dk"]),
        ("ELF", ELF.to_vec(), &["zero byte at 7", "binary"]),
        ("PNG", PNG.to_vec(), &["not UTF-8 at byte 0", "0x89"]),
        ("one byte", b"a".to_vec(), &["tokens", "give more text"]),
        ("less than a window", lines(1), &["tokens", "give more text", "seq_len"]),
    ];
    for (name, contents, parts) in cases {
        std::fs::write(scene.path().join("x.txt"), contents).unwrap();
        let ended = train(&scene, "x.txt", "--tokenizer char --seq-len 64");
        // A sound text that is too short for the settings is a request that cannot be satisfied.
        let code = if parts.contains(&"give more text") { 2 } else { 1 };
        assert_eq!(ended.complaint(code, parts), None, "{name}");
        assert!(!scene.path().join("run/config.toml").exists(), "{name}");
    }
}

#[test]
fn paths_that_are_not_files_are_refused_by_name() {
    let scene = Scene::new();
    let at = |name: &str| scene.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let long = "x".repeat(5000);
    let cases: [(&str, &[&str]); 9] = [
        ("missing.txt", &["missing.txt: there is no such file", "check the spelling"]),
        ("no/such/folder.txt", &["no/such/folder.txt: there is no such file"]),
        ("dangling", &["dangling: there is no such file"]),
        ("folder", &["folder: this is a folder", "name the text files in it"]),
        ("loop", &["loop: cannot be read"]),
        ("pipe", &["pipe: this is not a regular file"]),
        ("/dev/zero", &["/dev/zero: this is not a regular file"]),
        ("text.txt/x", &["text.txt/x: cannot be read"]),
        (&long, &["cannot be read"]),
    ];
    for (name, parts) in cases {
        let ended = train(&scene, name, "");
        assert_eq!(ended.complaint(1, parts), None, "{name}");
        assert!(!at("run").exists(), "{name}: a run folder was created");
        // The same for a validation file, after a valid text.
        let ended = train(&scene, "text.txt", &format!("--valid={name}"));
        assert_eq!(ended.complaint(1, parts), None, "--valid {name}");
    }
}

#[test]
fn an_unreadable_text_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let path = scene.path().join("x.txt");
    std::fs::write(&path, lines(10)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    let mut command = program(scene.path());
    command.args(["train", "x.txt"]);
    if let Some(ended) = unprivileged(scene.path(), command) {
        assert_eq!(ended.complaint(1, &["x.txt: cannot be read", "permissions"]), None);
    }
}

#[test]
fn a_file_name_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let scene = Scene::new();
    let name = Path::new(std::ffi::OsStr::from_bytes(b"caf\xe9 1.txt"));
    std::fs::copy(scene.path().join("text.txt"), scene.path().join(name)).unwrap();
    let mut trained = program(scene.path());
    trained.arg("train").arg(name).args(["--steps", "1", "--dim", "16", "--out", "run"]);
    let ended: Ended = trained.output().unwrap().into();
    assert_eq!(ended.complaint(2, &["1.txt", "a name in UTF-8", "rename"]), None);
}

#[test]
fn unusual_texts_are_trained_on() {
    let scene = Scene::new();
    let story = std::fs::read(scene.path().join("text.txt")).unwrap();
    let crlf = String::from_utf8(story.clone()).unwrap().replace('\n', "\r\n").into_bytes();
    let latin = [&story[..], b"caf\xe9 \0 "].concat();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("one line without an end", lines(10), ""),
        ("carriage returns", crlf, ""),
        ("only line feeds", vec![b'\n'; 500], "--tokenizer char"),
        ("only blanks", vec![b' '; 500], "--tokenizer char"),
        ("one symbol", vec![b'a'; 500], "--tokenizer char"),
        ("one symbol in pairs", vec![b'a'; 50_000], "--tokenizer bpe"),
        ("just one window", lines(1)[..16].to_vec(), "--tokenizer char --holdout 0"),
        ("replaced bytes", latin, "--replace-invalid-utf8"),
        ("a byte order mark", [b"\xef\xbb\xbf", &story[..]].concat(), ""),
    ];
    for (name, contents, flags) in cases {
        std::fs::write(scene.path().join("x y.txt"), contents).unwrap();
        let ended = train(&scene, "x y.txt", flags);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        assert!(!ended.stderr.contains("NaN"), "{name}: {}", ended.stderr);
        std::fs::remove_dir_all(scene.path().join("run")).unwrap();
    }
}
