//! Numbers and words in every place that takes a value: refused by name, or of use; never a panic.
//!
//! Commands and flags are read from the program's own help, so that a new flag is tried too.
//! `cargo test -p crystalline --test it program::numbers -- --ignored` tries all values everywhere.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use std::path::Path;
use std::process::Command;

/// Values that no flag may answer with a panic, an abort or a hang.
const VALUES: [&str; 15] = [
    "-1",
    "0",
    "1",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-0.0",
    "NaN",
    "inf",
    "",
    "abc",
    "1e-320",
];

/// Those that are tried with every change.
const FEW: [&str; 3] = ["0", "9223372036854775807", "18446744073709551615"];

/// Commands that can be run on a small run, with what they need; `{}` is the folder of a result.
const COMMANDS: [(&str, &str); 15] = [
    ("train", "text.txt --out {} --dim 16 --layers 1 --steps 2 --threads 1"),
    ("resume", "run"),
    ("generate", "run Once --max-tokens 3"),
    ("chat", "run --max-tokens 3"),
    ("eval", "run text.txt"),
    ("convert", "run --out {} --steps 1"),
    ("inspect", "run"),
    ("vocab", "run"),
    ("similar", "run the"),
    ("factor", "12"),
    ("tokenizer train", "text.txt --out {}.json"),
    ("tokenizer encode", "run Once"),
    ("tokenizer show", "run Once"),
    ("data stories", "--size 1KB"),
    ("bench", "--steps 1 --codes"),
];

/// Flags that take a value, from the help of a command.
fn flags(folder: &Path, command: &str) -> Vec<String> {
    let mut args: Vec<&str> = command.split(' ').collect();
    args.push("--help");
    let help = run(folder, &args);
    help.assert_success();
    flags_of(&help.stdout)
}

fn flags_of(help: &str) -> Vec<String> {
    let with_value = |line: &str| {
        let words = line.split_whitespace();
        let (name, value) =
            words.clone().zip(words.skip(1)).find(|(name, _)| name.starts_with("--"))?;
        value.starts_with('<').then(|| name.to_owned())
    };
    help.lines().filter_map(with_value).collect()
}

/// Runs the program with a limit on its address space and on its time.
fn limited(folder: &Path, args: &[String]) -> Ended {
    let mut shell = Command::new("sh");
    let script = "ulimit -v 4000000 && exec timeout -s KILL 60 \"$0\" \"$@\"";
    shell.current_dir(folder).env("CI", "1").stdin(std::process::Stdio::null());
    shell.args(["-c", script, env!("CARGO_BIN_EXE_crystalline")]).args(args);
    shell.output().unwrap().into()
}

/// What is wrong with how the program ended, if anything.
fn fault(ended: &Ended, flag: &str, value: &str) -> Option<String> {
    let Ended { code, stderr, .. } = ended;
    let one_line = stderr.lines().filter(|line| line.starts_with("error: ")).count() == 1;
    let what = match code {
        _ if stderr.contains("panicked") => "it panicked",
        Some(0) => return None,
        // 1 is for a word that a file is not called, and the like.
        Some(1 | 2) if one_line => return None,
        Some(1 | 2) => "it does not say one error",
        _ => "it was killed, or hung",
    };
    Some(format!("{flag} {value:?}: {what} ({code:?}): {stderr}"))
}

/// Tries the values with every flag of every command; returns what was wrong, and the number of
/// tries.
fn sweep(values: &[&str], only: Option<&str>) -> (Vec<String>, usize) {
    let scene = Scene::new();
    let flags_of_run = "--set vocab.n_classes=5 --set vocab.head=factor --stop-at 2";
    let made: Ended = scene.train("run", flags_of_run).output().unwrap().into();
    made.assert_success();
    let (mut faults, mut n) = (Vec::new(), 0);
    for (command, usual) in COMMANDS.iter().filter(|(c, _)| only.is_none_or(|only| only == *c)) {
        for flag in flags(scene.path(), command) {
            for value in values {
                n += 1;
                let out = format!("out-{n}");
                let usual = usual.replace("{}", &out);
                let mut words: Vec<String> = usual.split_whitespace().map(str::to_owned).collect();
                // The flag itself, or one that it excludes, must not be there twice.
                let excluded = [flag.as_str(), if flag == "--time" { "--steps" } else { "" }];
                if let Some(at) = words.iter().position(|word| excluded.contains(&word.as_str())) {
                    words.drain(at..at + 2);
                }
                let is_free = ["--out", "--dump-logits", "--config"].contains(&flag.as_str());
                // A valid length of years is what was asked for, not a hang.
                let is_length = ["--steps", "--time", "--max-tokens"].contains(&flag.as_str());
                let is_long = value.parse::<f64>().is_ok_and(|n| (2.0..1e12).contains(&n));
                if is_free || is_length && is_long {
                    continue;
                }
                let args = command.split(' ').map(str::to_owned).chain(words);
                let args: Vec<String> = args.chain([format!("{flag}={value}")]).collect();
                let ended = limited(scene.path(), &args);
                faults.extend(fault(&ended, &format!("{command} {flag}"), value));
                for made in [out.clone(), format!("{out}.json")] {
                    let _ = std::fs::remove_dir_all(scene.path().join(made));
                }
            }
        }
    }
    (faults, n)
}

#[test]
fn no_flag_of_training_panics_at_a_number() {
    let (faults, n) = sweep(&FEW, Some("train"));
    assert!(n > 50, "{n} tries");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[ignore = "takes minutes; to be run after a change of flags"]
fn no_flag_of_any_command_panics_at_a_value() {
    let (faults, n) = sweep(&VALUES, None);
    assert!(n > 900, "{n} tries");
    assert!(faults.is_empty(), "{} of {n}:\n{}", faults.len(), faults.join("\n"));
}

/// Settings have more numbers than flags do.
#[test]
fn no_setting_panics_at_a_number() {
    let scene = Scene::new();
    let keys = "data.holdout tokenizer.vocab_size tokenizer.min_count model.vocab_size \
        model.model_dim model.n_layers model.n_heads model.n_kv_heads model.head_dim model.ffn_dim \
        model.seq_len model.rope_theta model.norm_eps model.n_parts vocab.n_classes \
        vocab.n_samples vocab.ngram_rows vocab.ngram_min_count train.n_steps train.batch_seqs \
        train.lr train.warmup_steps train.decay_steps train.grad_norm_max train.dropout train.seed \
        train.n_lanes train.eval_every train.eval_tokens train.save_every train.sample_every \
        train.optimizer.beta1 train.optimizer.eps train.optimizer.weight_decay";
    for key in keys.split_whitespace() {
        for value in ["0", "9223372036854775807", "1e308"] {
            let setting = format!("{key}={value}");
            let args = "train text.txt --out run --dim 16 --layers 1 --steps 2 --threads 1 --set";
            let args = args.split_whitespace().map(str::to_owned).chain([setting]);
            let ended = limited(scene.path(), &args.collect::<Vec<_>>());
            assert_eq!(fault(&ended, key, value), None);
            let _ = std::fs::remove_dir_all(scene.path().join("run"));
        }
    }
}

#[test]
fn refused_numbers_are_named_with_what_is_valid() {
    let scene = Scene::new();
    scene.stopped("run");
    let cases: [(&str, &[&str]); 14] = [
        ("bench --lanes 0", &["--lanes", "0", "from 1 to 1024"]),
        ("inspect run --lanes 100000 --batch 100000", &["--lanes", "from 1 to 1024"]),
        ("generate run x --threads 0", &["--threads", "from 1 to 1024"]),
        ("generate run x --seed 9223372036854775808", &["--seed", "9223372036854775807"]),
        ("train text.txt --out x --steps 18446744073709551615", &["--steps", "to 1000000000000"]),
        (
            "train text.txt --out x --steps 2 --batch 9223372036854775808",
            &["--batch", "to 1000000000000"],
        ),
        (
            "train text.txt --out x --steps 2 --batch 100000000",
            &["batch_seqs", "at most", "the text"],
        ),
        ("train text.txt --out x --steps 2 --lanes 5000", &["n_lanes = 5000", "1 to 1024"]),
        ("train text.txt --out x --steps 2 --holdout 1e-7", &["holdout = 0.0000001", "0.0001"]),
        ("train text.txt --out x --steps 2 --seed 9223372036854775808", &["--seed"]),
        (
            "train text.txt --out x --steps 2 --set vocab.cutoffs=[0]",
            &["cutoffs = [0]", "1 or more"],
        ),
        ("tokenizer train text.txt --vocab 200", &["200", "expected 343 to 1048576"]),
        ("tokenizer train text.txt --vocab 2147483648", &["expected 343 to 1048576"]),
        ("convert run --out y --steps 0", &["--steps", "from 1 to"]),
    ];
    for (args, parts) in cases {
        let args: Vec<&str> = args.split_whitespace().collect();
        assert_eq!(run(scene.path(), &args).complaint(2, parts), None, "{args:?}");
    }
    run(scene.path(), &["tokenizer", "train", "text.txt", "--vocab", "343"]).assert_success();
}

#[test]
fn a_program_that_panics_aborts_or_hangs_is_caught() {
    let ended = |code, stderr: &str| Ended { code, stdout: String::new(), stderr: stderr.into() };
    assert_eq!(fault(&ended(Some(2), "error: --x 0: expected 1\n"), "--x", "0"), None);
    for (code, stderr, part) in [
        (Some(101), "thread 'main' panicked at x", "panicked"),
        (Some(0), "thread 'apart' panicked at x", "panicked"),
        (None, "", "killed"),
        (Some(134), "memory allocation of 1 bytes failed", "killed"),
        (Some(137), "", "killed"),
        (Some(2), "", "one error"),
    ] {
        let fault = fault(&ended(code, stderr), "--x", "0").unwrap();
        assert!(fault.contains(part), "{fault}");
    }
    let help = "  -v, --verbose  Print\n      --new-flag <N>  New\n  -x, --short <N>\n";
    assert_eq!(flags_of(help), ["--new-flag", "--short"]);
}
