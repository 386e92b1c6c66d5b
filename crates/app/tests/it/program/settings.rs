//! Settings: the help of `train`, the flags that became settings, and docs/settings.md.

use crate::program::process::{Ended, program, run};
use crate::program::scene::Scene;
use toml::{Table, Value};

const PAGE: &str = include_str!("../../../../../docs/settings.md");
const ALL: &str = include_str!("fixtures/all_settings.toml");

#[test]
fn the_help_of_train_fits_a_screen_in_groups() {
    for flag in ["-h", "--help"] {
        let mut command = program(&std::env::temp_dir());
        let ended: Ended =
            command.args(["train", flag]).env("COLUMNS", "100").output().unwrap().into();
        ended.assert_success();
        let lines: Vec<&str> = ended.stdout.lines().collect();
        assert!(lines.len() <= 50, "{flag}: {} lines\n{}", lines.len(), ended.stdout);
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{}", ended.stdout);
        for heading in ["Run:", "Text:", "Model:", "Training:", "Machine:", "While it trains:"] {
            assert!(lines.contains(&heading), "{heading}");
        }
    }
}

#[test]
fn a_flag_that_became_a_setting_names_the_setting() {
    let scene = Scene::new();
    for (flag, setting) in [
        ("--min-count=2", "--set tokenizer.min_count=N"),
        ("--kv-heads=1", "--set model.n_kv_heads=N"),
        ("--untied", "--set model.tie_embeddings=false"),
        ("--qk-norm", "--set model.qk_norm=true"),
        ("--classes=9", "--set vocab.n_classes=N"),
        ("--class-method=kmeans", "--set vocab.classes=METHOD"),
        ("--cutoffs=9,20", "--set vocab.cutoffs=[N,...]"),
        ("--samples=9", "--set vocab.n_samples=N"),
        ("--order=spiral", "--set vocab.order=ORDER"),
        ("--compose", "--set vocab.compose=true"),
        ("--ngram-embed", "--set vocab.ngram_embed=true"),
        ("--ngram-min-count=3", "--set vocab.ngram_min_count=N"),
        ("--idle-rows=lazy", "--set train.optimizer.idle_rows=HOW"),
        ("--head=adaptive", "--set vocab.head=adaptive"),
        ("--head=sampled", "--set vocab.head=sampled"),
    ] {
        let ended = run(scene.path(), &["train", "text.txt", "--out", "run", flag]);
        let parts = ["a setting now", setting, "--config"];
        assert_eq!(ended.complaint(2, &parts), None, "{flag}");
        assert!(!scene.path().join("run").exists(), "{flag}");
    }
    // Other commands never had these flags, or still have them.
    let ended = run(scene.path(), &["generate", "run", "--compose"]);
    assert_eq!(ended.complaint(2, &["unexpected argument '--compose'"]), None);
}

#[test]
fn a_flag_overrides_set_which_overrides_the_file() {
    let scene = Scene::new();
    let file =
        "[model]\nn_layers = 3\nn_heads = 4\n[train]\nseed = 7\n[train.optimizer]\neps = 1e-6";
    std::fs::write(scene.path().join("settings.toml"), file).unwrap();
    let flags = "--config settings.toml --set model.n_layers=5 --set vocab.order=spiral \
                 --set train.optimizer.beta2=0.9 --stop-at 1";
    let ended: Ended = scene.train("run", flags).output().unwrap().into();
    ended.assert_success();
    let config: Table = scene.read_config("run");
    let is = |section: &str, key: &str, value: Value| {
        assert_eq!(config[section][key], value, "{section}.{key}");
    };
    is("model", "n_layers", Value::Integer(2)); // of the scene's flags
    is("model", "n_heads", Value::Integer(2));
    is("train", "seed", Value::Integer(7));
    is("vocab", "order", Value::String("spiral".to_string()));
    let optimizer = config["train"]["optimizer"].as_table().unwrap();
    assert_eq!(optimizer["beta2"].as_float(), Some(0.9));
    assert_eq!(optimizer["eps"].as_float(), Some(1e-6));
    assert_eq!(optimizer["beta1"].as_float(), Some(0.9));
}

/// (section, key, type, default) of each row of the page's tables.
fn rows(page: &str) -> Vec<[&str; 4]> {
    let (mut rows, mut section) = (Vec::new(), "");
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or("");
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let (["", key, kind, default, ..], false) = (&cells[..], section.is_empty())
            && let Some(key) = key.strip_prefix('`').and_then(|key| key.strip_suffix('`'))
        {
            rows.push([section, key, kind, default]);
        }
    }
    rows
}

/// The value of a key of a section, such as `train.optimizer`.
fn get<'a>(all: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    let mut parts = section.split('.');
    let first = all.get(parts.next()?)?;
    parts.try_fold(first, |table, part| table.get(part))?.get(key)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::Boolean(_) => "boolean",
        Value::Array(_) => "list",
        Value::Table(_) => "table",
        Value::Datetime(_) => "time",
    }
}

/// Faults of the page; `all` has every key with a value of its type.
fn faults(page: &str, all: &Table) -> Vec<String> {
    let rows = rows(page);
    let mut faults = Vec::new();
    for [section, key, kind, _] in &rows {
        match get(all, section, key).map(kind_of) {
            Some(found) if found == *kind => {}
            found => faults.push(format!("{section}.{key} is {kind}, in the program {found:?}")),
        }
    }
    let mut sections: Vec<(String, &Value)> = all.iter().map(|(n, s)| (n.clone(), s)).collect();
    sections.push(("train.optimizer".to_string(), &all["train"]["optimizer"]));
    for (section, keys) in sections {
        for key in keys.as_table().unwrap().keys() {
            if !rows.iter().any(|row| row[0] == section && row[1] == key) {
                faults.push(format!("{section}.{key} is missing"));
            }
        }
    }
    faults
}

#[test]
fn the_page_of_settings_has_every_key_with_its_type() {
    // `old_settings.rs` tests that the file has every key.
    let mut all: Table = ALL.parse().unwrap();
    // That file trains a tokeniser, and these two name one.
    let tokenizer = all["tokenizer"].as_table_mut().unwrap();
    for key in ["file", "blake3"] {
        tokenizer.insert(key.to_owned(), Value::String("tokenizer.json".to_owned()));
    }
    assert_eq!(faults(PAGE, &all), Vec::<String>::new());
    let without = PAGE.replace("| `seq_len` |", "| `length` |");
    let found = faults(&without, &all);
    assert!(found.len() == 2 && found[1].contains("model.seq_len is missing"), "{found:?}");
    let other = PAGE.replace("| `seed` | integer |", "| `seed` | string |");
    assert_eq!(faults(&other, &all).len(), 1);
    for section in ["data", "tokenizer", "vocab", "model", "train", "train.optimizer"] {
        let folder = tempfile::tempdir().unwrap();
        let setting = format!("{section}.no_such_key=1");
        let said = run(folder.path(), &["train", "x", "--set", &setting]).stderr;
        let names = said.split("expected one of ").nth(1).unwrap_or_else(|| panic!("{said}"));
        let names = names.lines().next().unwrap().split(", ").map(|name| name.trim_matches('`'));
        for name in names {
            let is_there = rows(PAGE).iter().any(|row| row[0] == section && row[1] == name);
            assert!(is_there, "{section}.{name} is missing");
        }
    }
}

#[test]
fn the_fixed_defaults_on_the_page_match_a_run() {
    let scene = Scene::new();
    let story: Vec<String> = text::stories::generate(5).take(30).collect();
    std::fs::write(scene.path().join("long.txt"), story.join("\n\n")).unwrap();
    let args = ["train", "long.txt", "--out", "run", "--tokenizer", "word", "--steps", "2"];
    let mut args = args.to_vec();
    args.extend(["--head", "factor", "--stop-at", "1"]);
    run(scene.path(), &args).assert_success();
    let config = scene.read_config("run");
    let mut n = 0;
    for [section, key, _, default] in rows(PAGE) {
        let literal = default.strip_prefix('`').and_then(|default| default.strip_suffix('`'));
        let value = literal.and_then(|text| format!("v = {text}").parse::<Table>().ok());
        // A run omits booleans that are false.
        if let Some(value) = value {
            let found = get(&config, section, key).cloned().unwrap_or(Value::Boolean(false));
            assert_eq!(found, value["v"], "{section}.{key}");
            n += 1;
        }
    }
    assert!(n >= 15, "{n} fixed defaults");
}
