//! Prompts: nothing of them is cut, dropped or changed in silence.

use crate::program::doors::{model_folder, run_with_input, word_run};
use crate::program::process::{Ended, run};
use crate::program::scene::Scene;
use text::tokenizer::Tokenizer;

/// The likeliest continuation by `generate`.
fn generate(scene: &Scene, model: &str, prompt: &str, more: &[&str]) -> Ended {
    let usual = ["generate", model, prompt, "--temperature", "0", "--max-tokens", "6"];
    run(scene.path(), &[&usual, more].concat())
}

#[test]
fn a_blank_at_the_end_belongs_to_the_next_word() {
    let scene = word_run();
    for prompt in ["The", "Once upon a", "She said", "and then the"] {
        let text = generate(&scene, "run", &format!("{prompt} "), &[]).stdout;
        let rest = text.strip_prefix(&format!("{prompt} ")).unwrap();
        assert!(!rest.starts_with(' ') && !rest.trim().is_empty(), "{text:?}");
        // If the next word is free, it is the same one wherever it begins with a blank.
        let free = generate(&scene, "run", prompt, &[]).stdout;
        if free.starts_with(&format!("{prompt} ")) {
            assert_eq!(text, free);
        }
        let lines = format!("{prompt} \n");
        let chat = ["chat", "run", "--temperature", "0", "--max-tokens", "6"];
        assert_eq!(run_with_input(scene.path(), &chat, lines.as_bytes()).stdout, text);
    }
}

#[test]
fn a_prompt_longer_than_the_context_says_what_is_left_out() {
    let scene = word_run();
    let words = "the old man went home with his dog and the cat";
    let long = format!("{words} {words} {words}");
    let ended = generate(&scene, "run", &long, &[]);
    ended.assert_success();
    let ids = run(scene.path(), &["tokenizer", "encode", "run", &long]).stdout;
    let n = ids.split_whitespace().count();
    // Of a context of 16 tokens one is left for the first new one.
    let said =
        format!("the prompt has {n} tokens, the model's context holds 16: the first {}", n - 15);
    assert!(ended.stderr.contains(&said), "{said}: {}", ended.stderr);
    let tail: Vec<&str> = long.split(' ').collect();
    let ended = generate(&scene, "run", &tail[..5].join(" "), &[]);
    assert!(!ended.stderr.contains("context"), "{}", ended.stderr);
}

#[test]
fn a_text_that_ends_at_once_is_said_and_may_be_made_to_go_on() {
    let scene = word_run();
    model_folder(&scene);
    let folder = scene.path().join("model");
    let tokenizer = Tokenizer::load(&folder.join("tokenizer.json")).unwrap();
    let letter = tokenizer.id_of("Q").unwrap();
    let ends: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|id| *id != letter).collect();
    let config = folder.join("generation_config.json");
    std::fs::write(config, serde_json::json!({ "eos_token_id": ends }).to_string()).unwrap();
    let ended = generate(&scene, "model", "Once", &[]);
    assert_eq!(ended.stdout, "Once\n");
    assert!(ended.stderr.contains("ended the text at once"), "{}", ended.stderr);
    let ended = generate(&scene, "model", "Once", &["--ignore-end"]);
    assert_eq!(ended.stdout, "OnceQQQQQQ\n");
    assert!(!ended.stderr.contains("at once"), "{}", ended.stderr);
}

#[test]
fn stop_strings_are_read_as_they_are_written() {
    let scene = word_run();
    let text = |stop: &[&str]| {
        let args = ["generate", "run", "The", "--seed", "3", "--max-tokens", "60"];
        let ended = run(scene.path(), &[&args, stop].concat());
        ended.assert_success();
        ended.stdout
    };
    let free = text(&[]);
    let last = free.trim_end().chars().last().unwrap().to_string();
    assert_eq!(
        text(&["--stop", &last]),
        format!("{}\n", &free[..free[3..].find(&last).unwrap() + 3])
    );
    if let Some(line) = free.trim_end().split_once('\n').map(|(line, _)| line) {
        assert_eq!(text(&["--stop", r"\n"]), format!("{line}\n"));
    }
    for bad in ["", r"\d"] {
        let ended = run(scene.path(), &["generate", "run", "The", "--stop", bad]);
        assert_eq!(ended.complaint(2, &["--stop"]), None);
    }
}

#[test]
fn a_line_that_is_no_text_does_not_end_a_chat() {
    let scene = word_run();
    let args = ["chat", "run", "--max-tokens", "3", "--seed", "1"];
    let long = "x".repeat(2 << 20);
    let input = [b"Once\r\ncaf\xe9\na\0b\n", long.as_bytes(), b"\n\n  \nThe end"].concat();
    let ended = run_with_input(scene.path(), &args, &input);
    ended.assert_success();
    assert!(
        ended.stdout.starts_with("Once") && ended.stdout.contains("\nThe end"),
        "{}",
        ended.stdout
    );
    for part in ["not UTF-8 at byte 3", "zero byte at 1", "more than 1048576 bytes"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
