//! Invalid flags and settings: each is refused by name before any file is written.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;

#[test]
fn absurd_flags_are_refused_by_name() {
    let scene = Scene::new();
    let cases: [(&str, i32, &[&str]); 41] = [
        ("--layers 0", 2, &["--layers ", "from 1"]),
        ("--layers 100000", 2, &["n_layers = 100000"]),
        ("--layers -1", 2, &["-1"]),
        ("--heads 0", 2, &["--heads ", "from 1"]),
        ("--heads 5", 2, &["n_heads = 5", "divisor of model_dim"]),
        ("--heads 4 --set model.n_kv_heads=3", 2, &["n_kv_heads = 3", "divisor of n_heads"]),
        ("--set model.n_kv_heads=0", 2, &["n_kv_heads = 0"]),
        ("--dim 0", 2, &["--dim ", "from 1"]),
        ("--dim 17 --heads 1", 2, &["model_dim = 17", "even"]),
        ("--dim 65536 --layers 512", 2, &["of memory, and", "available"]),
        ("--seq-len 0", 2, &["--seq-len ", "from 1"]),
        ("--seq-len 9000000", 2, &["seq_len = 9000000"]),
        ("--seq-len 100000", 2, &["tokens", "give more text", "seq_len"]),
        ("--batch 0", 2, &["--batch ", "from 1"]),
        ("--lanes 0", 2, &["--lanes ", "from 1"]),
        ("--steps 0", 2, &["n_steps = 0"]),
        ("--steps -5", 2, &["-5"]),
        ("--steps 5 --time 1m", 2, &["--steps", "--time"]),
        ("--time 0s", 2, &["0s", "--time", "above 0"]),
        ("--time=-1m", 2, &["--time"]),
        ("--time soon", 2, &["soon", "90s, 10m or 2h"]),
        ("--stop-at 0", 2, &["--stop-at"]),
        ("--lr=-0.1", 2, &["lr = -0.1", "above 0"]),
        ("--lr 0", 2, &["lr = 0"]),
        ("--set model.n_layers=abc", 2, &["abc", "expected a whole number"]),
        ("--set model.qk_norm=3", 2, &["3", "expected true or false"]),
        ("--lr nan", 2, &["lr = NaN"]),
        ("--lr inf", 2, &["lr = inf"]),
        ("--dropout 1", 2, &["dropout = 1", "below 1"]),
        ("--dropout=-0.5", 2, &["dropout = -0.5"]),
        ("--holdout 1", 2, &["holdout = 1", "below 1"]),
        ("--holdout nan", 2, &["holdout = NaN"]),
        ("--precision f64", 2, &["f64", "f32, bf16, auto"]),
        (
            "--set train.optimizer.idle_rows=lazy",
            2,
            &["idle_rows = lazy", "vocab.head = \"factor\""],
        ),
        ("--tokenizer letters", 2, &["letters", "--tokenizer"]),
        ("--set vocab.order=zigzag", 2, &["zigzag", "frequency", "hilbert"]),
        ("--vocab 0", 2, &["--vocab ", "from 1"]),
        ("--eval-every 0", 2, &["eval_every = 0", "at least 1"]),
        ("--save-every 0", 2, &["save_every = 0", "at least 1"]),
        ("--sample-every 0", 2, &["sample_every = 0", "at least 1"]),
        ("--seed 99999999999999999999", 2, &["99999999999999999999"]),
    ];
    for (flags, code, parts) in cases {
        let mut args = vec!["train", "text.txt", "--out", "run"];
        args.extend(flags.split_whitespace());
        if !flags.contains("--time") && !flags.contains("--steps") {
            args.extend(["--steps", "2"]);
        }
        let ended = run(scene.path(), &args);
        assert_eq!(ended.complaint(code, parts), None, "{flags}");
        assert!(!scene.path().join("run/config.toml").exists(), "{flags}");
    }
}

#[test]
fn a_settings_file_that_makes_no_sense_is_refused_by_name() {
    let scene = Scene::new();
    let cases: [(&str, &[&str]); 10] = [
        ("[train]\nlr = 'fast'", &["settings.toml", "lr"]),
        ("[train]\nspeed = 3", &["settings.toml", "speed"]),
        ("[trein]", &["settings.toml", "trein"]),
        ("[train", &["settings.toml", "line 1"]),
        ("[model]\nn_layers = -3", &["settings.toml", "-3"]),
        (
            "[train]\nwarmup_steps = 1\noptimizer = { beta1 = 2.0, beta2 = 0.9, eps = 1e-8, weight_decay = 0.1 }",
            &["train.optimizer.beta1 = 2"],
        ),
        ("[train]\ngrad_norm_max = -1.0", &["train.grad_norm_max = -1"]),
        ("[train]\neval_tokens = 0", &["train.eval_tokens = 0"]),
        ("[vocab]\norder = 'zigzag'", &["settings.toml", "zigzag", "spiral"]),
        ("[model]\nhead_dim = 3", &["head_dim = 3"]),
    ];
    for (settings, parts) in cases {
        std::fs::write(scene.path().join("settings.toml"), settings).unwrap();
        let ended: Ended = scene.train("run", "--config settings.toml").output().unwrap().into();
        assert_eq!(ended.complaint(2, parts), None, "{settings}");
        assert!(!scene.path().join("run/config.toml").exists(), "{settings}");
    }
    for (name, part) in [("missing.toml", "missing.toml"), (".", "settings: .: ")] {
        let ended: Ended = scene.train("run", &format!("--config {name}")).output().unwrap().into();
        assert_eq!(ended.complaint(1, &["cannot read", part]), None, "{name}");
    }
}

#[test]
fn unknown_commands_are_refused() {
    let scene = Scene::new();
    for (args, part) in
        [(&["fly"][..], "fly"), (&["train", "text.txt", "--fly"], "--fly"), (&["resume"], "<RUN>")]
    {
        assert_eq!(run(scene.path(), args).complaint(2, &[part]), None, "{args:?}");
    }
    let ended = run(scene.path(), &["train"]);
    assert_eq!(ended.complaint(1, &["no text given", "crystalline train book.txt"]), None);
    let ended: Ended = crate::program::process::program(scene.path())
        .args(["inspect", "x"])
        .env("CRYSTALLINE_ISA", "avx1024")
        .output()
        .unwrap()
        .into();
    assert_eq!(ended.complaint(2, &["avx1024", "portable"]), None);
}

#[test]
fn absurd_sampling_flags_are_refused_by_name() {
    let scene = Scene::new();
    let ended: Ended = scene.train("run", "--stop-at 1").output().unwrap().into();
    ended.assert_success();
    for (flag, part) in [
        ("--temperature=-1", "temperature = -1"),
        ("--top-p=2", "top_p = 2"),
        ("--min-p=nan", "min_p = NaN"),
        ("--repetition-penalty=0", "repetition_penalty = 0"),
    ] {
        let ended = run(scene.path(), &["generate", "run", "Once", flag]);
        assert_eq!(ended.complaint(2, &[part]), None, "{flag}");
    }
}

/// A folder without a configuration may be that of a run which another process prepares.
#[test]
fn a_run_without_a_given_folder_gets_a_new_one() {
    let scene = Scene::new();
    let at = |name: &str| scene.path().join(name);
    std::fs::create_dir_all(at("runs/text")).unwrap();
    let args = ["train", "text.txt", "--steps", "1", "--dim", "16", "--layers", "1"];
    let ended = run(scene.path(), &args);
    ended.assert_success();
    assert_eq!(ended.stdout.trim(), "runs/text-2");
    assert_eq!(std::fs::read_dir(at("runs/text")).unwrap().count(), 0);
    // What is refused leaves no folder behind, before the text is read or after.
    let ended = run(scene.path(), &["train", "none.txt"]);
    assert_eq!(ended.complaint(1, &["none.txt"]), None);
    let ended = run(scene.path(), &["train", "text.txt", "--seq-len", "100000"]);
    assert_eq!(ended.complaint(2, &["give more text"]), None);
    assert_eq!(std::fs::read_dir(at("runs")).unwrap().count(), 2);
}
