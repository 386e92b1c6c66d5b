//! Terminal: what a person sees; no text or name commands it, and every width is used.

use crate::program::process::{Ended, program};
use crate::program::scene::Scene;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;
use unicode_width::UnicodeWidthStr;

/// A name or text that would clear the screen, set the title, ring, reverse text and go back.
const HOSTILE: &str = "a\x1b[2J\x1b]0;title\x07b\u{202e}c\u{9b}31m\rd";

/// Columns and rows of a terminal, and its kind.
struct Terminal {
    columns: u16,
    kind: &'static str,
}

/// What the program writes to a terminal that is its stdout and stderr, line ends as `\n`.
fn seen<S: AsRef<OsStr>>(folder: &Path, terminal: &Terminal, args: &[S]) -> (Option<i32>, String) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let open = || {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(OsStr::from_bytes(name.as_bytes()))
            .unwrap()
    };
    let size = Winsize { ws_row: 24, ws_col: terminal.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&controller, size).unwrap();
    let mut command = program(folder);
    command.args(args).env_remove("CI").env("TERM", terminal.kind);
    command.stdin(Stdio::null()).stdout(open()).stderr(open());
    let mut child = command.spawn().unwrap();
    // The child alone holds the other end, so that reading ends with it.
    drop(command);
    let text = read_all(controller);
    (child.wait().unwrap().code(), text.replace("\r\n", "\n"))
}

/// Reads until the other end is closed, which is an error on Linux.
fn read_all(controller: OwnedFd) -> String {
    let (mut file, mut bytes, mut piece) = (std::fs::File::from(controller), Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = file.read(&mut piece) {
        bytes.extend_from_slice(&piece[..n]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first character of `text` that commands a terminal.
fn command_in(text: &str) -> Option<char> {
    let is_command = |c: &char| {
        (c.is_control() && *c != '\n' && *c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().find(is_command)
}

/// A run on a text full of control characters, in the folder `run`.
fn hostile_run(scene: &Scene) {
    let text = format!("{HOSTILE} walks and {HOSTILE} walked to the \x1b[31mred\x1b[0m house.\n");
    std::fs::write(scene.path().join("text.txt"), text.repeat(60)).unwrap();
    let ended: Ended =
        scene.train("run", "--tokenizer char --head factor --stop-at 2").output().unwrap().into();
    ended.assert_success();
}

const DUMB: Terminal = Terminal { columns: 80, kind: "dumb" };

/// Every command, with a hostile name, word or text in each place that takes one.
#[test]
fn no_name_and_no_text_commands_the_terminal() {
    let scene = Scene::new();
    hostile_run(&scene);
    std::fs::write(scene.path().join(HOSTILE), "too short").unwrap();
    let cases: &[&[&str]] = &[
        &[HOSTILE],
        &["generate", "run", "--", HOSTILE],
        &["generate", "run", HOSTILE, "--max-tokens", "60", "--temperature", "2", "-v"],
        &["generate", "run", "x", "--log-probs", "--max-tokens", "30"],
        &["generate", HOSTILE, "x"],
        &["generate", "run", "x", "--top-k", HOSTILE],
        &["generate", "run", "x", "--precision", HOSTILE],
        &["generate", "run", "x", &format!("--{HOSTILE}")],
        &["chat", HOSTILE],
        &["eval", "run", "text.txt"],
        &["eval", "run", HOSTILE],
        &["eval", "run", "missing\x1b[2J"],
        &["inspect", "run"],
        &["inspect", HOSTILE],
        &["vocab", "run", "--top", "100"],
        &["vocab", "run", "--class", "0", "--top", "100"],
        &["vocab", HOSTILE],
        &["similar", "run", HOSTILE],
        &["similar", "run", "\x1b", "--top", "100"],
        &["similar", "run", "\x1b", "--json"],
        &["similar", HOSTILE, "x"],
        &["factor", "run", "\x1b"],
        &["factor", "run", HOSTILE],
        &["factor", HOSTILE],
        &["tokenizer", "show", "run", HOSTILE],
        &["tokenizer", "encode", "run", HOSTILE],
        &["tokenizer", "encode", HOSTILE, "x"],
        &["tokenizer", "decode", "run", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
        &["tokenizer", "train", HOSTILE, "--kind", HOSTILE],
        &["tokenizer", "train", "missing\x1b[2J"],
        &["data", "stories", "--size", HOSTILE],
        &["data", "stories", "--out", "missing\x1b[2J/x"],
        &["convert", HOSTILE, "--out", "y"],
        &["convert", "run", "--out", HOSTILE],
        &["resume", HOSTILE],
        &["train", HOSTILE, "--seq-len", "5000"],
        &["train", "missing\x1b[2J"],
        &["train", "text.txt", "--config", "missing\x1b[2J"],
        &["train", "text.txt", "--config", HOSTILE],
        &["train", "text.txt", "--set", &format!("{HOSTILE}=1")],
        &["train", "text.txt", "--set", &format!("vocab.head={HOSTILE}")],
        &["train", "text.txt", "--valid", HOSTILE, "--seq-len", "9999"],
        &["train", "text.txt", "--out", &format!("new{HOSTILE}"), "--steps", "2", "--dim", "16"],
        &["bench", "--head", HOSTILE],
        &["bench", "--orders", HOSTILE],
    ];
    for args in cases {
        let (code, text) = seen(scene.path(), &DUMB, args);
        assert!(code.is_some_and(|code| code < 100), "{args:?}: {text}");
        assert_eq!(command_in(&text), None, "{args:?}: {text:?}");
    }
    // Seen to look: a case whose output has the text, escaped.
    let (_, text) = seen(scene.path(), &DUMB, &["generate", "run", HOSTILE]);
    assert!(text.contains("a\\x1b[2J\\x1b]0;title\\x07b\\u{202e}c\\x9b31m"), "{text}");
}

#[test]
fn text_to_a_file_or_a_program_is_as_it_is() {
    let scene = Scene::new();
    hostile_run(&scene);
    let ended: Ended =
        program(scene.path()).args(["generate", "run", HOSTILE]).output().unwrap().into();
    ended.assert_success();
    let read = HOSTILE.replace('\r', "\n");
    assert!(ended.stdout.starts_with(&read), "{:?}", ended.stdout);
    assert_eq!(command_in(&ended.stderr), None);
}

/// On a terminal that can only print lines, training prints lines.
#[test]
fn a_dumb_terminal_is_told_how_training_goes() {
    let scene = Scene::new();
    let args = "train text.txt --out run --steps 6 --dim 16 --layers 1 --seq-len 16 --batch 2 \
                --eval-every 3 --tokenizer char";
    let args: Vec<&str> = args.split_whitespace().collect();
    let (code, text) = seen(scene.path(), &DUMB, &args);
    assert_eq!(code, Some(0), "{text}");
    for part in ["model     ", "step 1/6  loss", "step 3  held-out loss", "step 6/6", "finished"] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    assert_eq!(command_in(&text), None, "{text:?}");
}

/// Neither training nor a table writes a line that the terminal would have to break.
#[test]
fn every_width_is_used() {
    let scene = Scene::new();
    let story = std::fs::read_to_string(scene.path().join("text.txt")).unwrap();
    let wide = "語語 語 🎉🎉 ".repeat(40);
    std::fs::write(scene.path().join("text.txt"), format!("{story}{wide}")).unwrap();
    let train = "train text.txt --steps 2 --dim 16 --layers 1 --seq-len 16 --batch 2 --head factor \
                 --tokenizer split --out";
    for columns in [20, 40, 80, 300] {
        let terminal = Terminal { columns, kind: "dumb" };
        let out = format!("run{columns}");
        let train = format!("{train} {out}");
        let commands: [&[&str]; 7] = [
            &train.split_whitespace().collect::<Vec<_>>(),
            &["vocab", &out],
            &["vocab", &out, "--class", "0"],
            &["similar", &out, "the"],
            &["factor", &out, "the"],
            &["inspect", &out],
            &["eval", &out, "no such file with a long name.txt"],
        ];
        for args in commands {
            let (_, text) = seen(scene.path(), &terminal, args);
            for line in text.lines().filter(|line| line.width() > usize::from(columns)) {
                // Only what has no blank to break at.
                let is_one_word = !line.trim().contains(' ');
                assert!(is_one_word, "{columns} columns, {args:?}: {line:?}");
            }
        }
    }
}

/// A terminal that can redraw a line gets a bar of one row, without colours.
#[test]
fn the_bar_stays_on_one_row_without_colours() {
    let scene = Scene::new();
    for columns in [20, 40, 80] {
        let terminal = Terminal { columns, kind: "xterm" };
        let args = format!(
            "train text.txt --out run{columns} --steps 30 --dim 16 --layers 1 --seq-len 16 --batch 2 \
             --tokenizer char --set train.sample_every=1000"
        );
        let args: Vec<&str> = args.split_whitespace().collect();
        let (code, text) = seen(scene.path(), &terminal, &args);
        assert_eq!(code, Some(0), "{text}");
        // A line printed above the bar is padded with blanks to the width.
        // The last one follows the sample.
        let is_bar = |part: &&str| part.contains("/30 · loss") && !part.contains("30/30");
        let rows: Vec<&str> =
            text.split(['\r', '\n', '\x1b']).flat_map(|row| row.split("  ")).collect();
        let bars: Vec<&str> = rows.into_iter().filter(is_bar).collect();
        assert!(!bars.is_empty(), "{text:?}");
        for bar in bars {
            let bar = bar.trim_start_matches("[2K");
            assert!(bar.trim().width() < usize::from(columns), "{columns}: {bar:?}");
        }
        // Clearing a line and moving up are all that a bar needs; `m` sets a colour.
        let sets_colour = |part: &&str| {
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
        };
        assert_eq!(text.split("\x1b[").skip(1).find(sets_colour), None, "{text:?}");
    }
}
