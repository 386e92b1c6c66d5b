//! Limits on memory and threads: what cannot fit is refused beforehand, and nothing aborts.

use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use std::path::Path;
use std::process::Command;

/// Runs the program with a limit on its address space, in KiB.
fn limited(folder: &Path, kib: u64, args: &str) -> Ended {
    let mut shell = Command::new("sh");
    let script = format!("ulimit -v {kib} && exec timeout -s KILL 60 \"$0\" \"$@\"");
    shell.current_dir(folder).env("CI", "1").stdin(std::process::Stdio::null());
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_crystalline")]);
    shell.args(args.split_whitespace()).output().unwrap().into()
}

#[test]
fn a_run_that_does_not_fit_is_refused_before_it_has_a_folder() {
    let scene = Scene::new();
    let args = "train text.txt --out big --steps 2 --seq-len 600 --dim 512 --layers 8 --threads 1";
    let ended = limited(scene.path(), 500_000, args);
    let parts = ["of memory, and", "`ulimit -v`", "would fit"];
    assert_eq!(ended.complaint(2, &parts), None);
    assert!(!scene.path().join("big").exists());
    // Nothing known beforehand fits but a smaller width, or a smaller width and fewer layers.
    for (layers, smaller) in [(4, "model.model_dim"), (400, "with model.n_layers")] {
        let args = format!("train text.txt --dim 2048 --layers {layers} --threads 1");
        let ended = limited(scene.path(), 120_000, &args);
        assert_eq!(ended.complaint(2, &["of memory, and", smaller, "would fit"]), None);
    }
}

#[test]
fn a_run_that_does_not_fit_any_more_is_not_resumed() {
    let scene = Scene::new();
    let args = "train text.txt --out big --steps 2 --stop-at 1 --dim 256 --layers 8 --threads 1";
    let args: Vec<&str> = args.split_whitespace().collect();
    run(scene.path(), &args).assert_success();
    for command in ["resume big --threads 1", "generate big Once --threads 1"] {
        let ended = limited(scene.path(), 50_000, command);
        assert_eq!(ended.complaint(2, &["of memory, and", "`ulimit -v`"]), None, "{command}");
    }
    run(scene.path(), &["resume", "big"]).assert_success();
}

/// Whatever the limit, each command ends with an error or does what it was asked.
#[test]
fn no_limit_makes_a_command_abort() {
    let scene = Scene::new();
    scene.stopped("run");
    for kib in [25_000, 40_000, 80_000, 160_000] {
        for args in [
            "train text.txt --out new --steps 2 --dim 128 --layers 2",
            "resume run",
            "generate run Once --max-tokens 3",
            "eval run text.txt",
            "inspect run",
            "bench --steps 1 --shape m124",
            "convert run --out y --steps 1 --threads 500",
        ] {
            let ended = limited(scene.path(), kib, args);
            let Ended { code, stderr, .. } = &ended;
            assert!(matches!(code, Some(0..=2)), "{kib} {args}: {code:?} {stderr}");
            assert!(!stderr.contains("panicked"), "{kib} {args}: {stderr}");
            let _ = std::fs::remove_dir_all(scene.path().join("new"));
        }
    }
}

/// A model folder of a kilobyte that claims to be large costs what it is, not what it claims.
#[test]
fn a_small_file_costs_little_whatever_it_claims() {
    let scene = Scene::new();
    scene.stopped("run");
    let model = scene.path().join("model");
    let step = scene.checkpoints("run").join("step-00000020");
    let made = Command::new("cp").arg("-r").arg(step).arg(&model).status().unwrap();
    assert!(made.success());
    std::fs::remove_file(model.join("manifest.json")).unwrap();
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let claims: [&[(&str, u64)]; 2] = [
        &[("max_position_embeddings", 1 << 20)],
        &[("hidden_size", 1 << 16), ("num_hidden_layers", 512), ("intermediate_size", 1 << 18)],
    ];
    for claim in claims {
        let mut config = config.clone();
        claim.iter().for_each(|(name, value)| config[*name] = (*value).into());
        std::fs::write(model.join("config.json"), config.to_string()).unwrap();
        for args in ["inspect model", "similar model the", "generate model x --threads 1"] {
            let ended = limited(scene.path(), 200_000, args);
            let Ended { code, stderr, .. } = &ended;
            assert!(matches!(code, Some(0..=2)), "{args}: {code:?} {stderr}");
            assert!(!stderr.contains("panicked"), "{args}: {stderr}");
        }
        limited(scene.path(), 200_000, "inspect model").assert_success();
    }
}
