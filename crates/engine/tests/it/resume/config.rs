//! Configuration changes since a checkpoint: refused, and the changed setting is named.

use super::scene::{Scene, refusal, stop_at};
use engine::train::run::CONFIG_NAME;
use engine::train::settings::PrecisionName;
use std::path::Path;
use toml::{Table, Value};

/// The dotted names of all settings.
fn names(at: &str, table: &Table) -> Vec<String> {
    let of = |(key, value): (&String, &Value)| {
        let name = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        value.as_table().map_or(vec![name.clone()], |table| names(&name, table))
    };
    table.iter().flat_map(of).collect()
}

/// Changes a setting to another value of the same type that is also valid.
fn change(table: &mut Table, name: &str) {
    let (head, rest) = name.split_once('.').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let value = table.get_mut(head).unwrap();
    if let Some(rest) = rest {
        return change(value.as_table_mut().unwrap(), rest);
    }
    *value = match value.clone() {
        Value::Integer(n) => Value::Integer(n * 2),
        Value::Float(x) => Value::Float(x * 0.5),
        Value::Boolean(is) => Value::Boolean(!is),
        Value::Array(mut list) => {
            list.push(list[0].clone());
            Value::Array(list)
        }
        Value::String(text) => Value::String(match text.as_str() {
            "f32" => "bf16".to_string(),
            "char" => "word".to_string(),
            "full" => "factor".to_string(),
            "unify" | "nfc" => "keep".to_string(),
            _ => format!("{text}x"),
        }),
        other => panic!("{name} is {other}"),
    };
}

fn read(dir: &Path) -> Table {
    std::fs::read_to_string(dir.join(CONFIG_NAME)).unwrap().parse().unwrap()
}

fn write(dir: &Path, table: &Table) {
    std::fs::write(dir.join(CONFIG_NAME), table.to_string()).unwrap();
}

#[test]
fn every_changed_setting_is_refused_by_name() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    stop_at(&dir, 5, 1);
    let original = read(&dir);
    let names = names("", &original);
    assert!(names.len() >= 30, "only {names:?}");
    for name in names {
        let mut table = original.clone();
        change(&mut table, &name);
        write(&dir, &table);
        let message = refusal(&dir).to_string();
        assert!(message.contains(&name), "{name}: {message}");
    }
    // Rewritten without a change, it is accepted: the refusals were not about the file's form.
    write(&dir, &original);
    stop_at(&dir, 6, 1);
}

#[test]
fn a_changed_tokeniser_is_refused() {
    let scene = Scene::new(PrecisionName::F32);
    let dir = scene.fresh();
    stop_at(&dir, 5, 1);
    let path = dir.join("tokenizer.json");
    let json = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, json.replacen("\"a\"", "\"ä\"", 1)).unwrap();
    let message = refusal(&dir).to_string();
    assert!(message.contains("tokenizer"), "{message}");
}
