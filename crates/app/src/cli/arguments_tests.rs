//! Tests of arguments: values and mistyped flags, with every command.

use super::*;
use crate::cli::Cli;
use clap::{CommandFactory, Parser};

fn settled(arguments: &[&str]) -> Vec<String> {
    let arguments = std::iter::once("crystalline").chain(arguments.iter().copied());
    let settled = settle(arguments.map(OsString::from).collect(), &Cli::command());
    settled[1..].iter().map(|part| part.to_str().unwrap().to_owned()).collect()
}

#[test]
fn values_that_begin_with_a_hyphen_are_values() {
    for (given, expected) in [
        (&["generate", "run", "- Hello"][..], &["generate", "--", "run", "- Hello"][..]),
        (
            &["generate", "run", "-5 degrees", "--top-k", "3"],
            &["generate", "--top-k", "3", "--", "run", "-5 degrees"],
        ),
        (
            &["generate", "run", "x", "--temperature", "-1"],
            &["generate", "run", "x", "--temperature=-1"],
        ),
        (
            &["generate", "run", "x", "--stop", "-- The End"],
            &["generate", "run", "x", "--stop=-- The End"],
        ),
        (&["generate", "run", "x", "--stop", "-s"], &["generate", "run", "x", "--stop=-s"]),
        (&["similar", "run", "-ing"], &["similar", "--", "run", "-ing"]),
        (&["tokenizer", "encode", "t", "--- x"], &["tokenizer", "encode", "--", "t", "--- x"]),
        (&["generate", "-v", "run", "-ing"], &["generate", "-v", "--", "run", "-ing"]),
        (&["generate", "run", "--", "--x"], &["generate", "run", "--", "--x"]),
        (&["generate", "-5", "--", "--x"], &["generate", "--", "-5", "--x"]),
        (&["generate", "-", "x"], &["generate", "-", "x"]),
    ] {
        assert_eq!(settled(given), expected, "{given:?}");
    }
}

#[test]
fn flags_stay_flags() {
    for given in [
        &["generate", "run", "--temprature", "1"][..],
        &["generate", "run", "-t", "1"],
        &["generate", "run", "-temperature", "1"],
        &["generate", "run", "--stop", "--verbose"],
        &["generate", "run", "--stop", "-v"],
        &["generate", "run", "--stop", "--verbos"],
        &["train", "a.txt", "--fly"],
        &["--version"],
        &["-h"],
        &["help", "train"],
        &["tokenizer"],
        &["fly", "-1"],
        &[],
    ] {
        assert_eq!(settled(given), given, "{given:?}");
    }
}

/// Every command takes text that begins with a hyphen wherever it takes text, and no unknown flag.
#[test]
fn the_rule_holds_for_all_commands() {
    let mut commands = vec![(Vec::new(), Cli::command())];
    let (mut n_values, mut n_commands) = (0, 0);
    while let Some((names, command)) = commands.pop() {
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let mut names: Vec<String> = names.clone();
            names.push(inner.get_name().to_owned());
            commands.push((names, inner.clone()));
        }
        if command.has_subcommands() {
            continue;
        }
        n_commands += 1;
        let needed: Vec<String> = command
            .get_arguments()
            .filter(|arg| arg.is_required_set())
            .flat_map(|arg| match arg.get_long() {
                Some(long) => vec![format!("--{long}"), "x".to_owned()],
                None => vec!["1".to_owned()],
            })
            .collect();
        let parse = |more: &[String]| {
            let all = ["crystalline".to_owned()].into_iter();
            let all = all.chain(names.clone()).chain(needed.clone()).chain(more.iter().cloned());
            Cli::try_parse_from(settle(all.map(OsString::from).collect(), &Cli::command()))
        };
        for arg in command.get_arguments().filter(|arg| arg.get_action().takes_values()) {
            let Some(long) = arg.get_long() else { continue };
            for value in ["-1", "-5 degrees", "-ing", "- x"] {
                let Err(error) = parse(&[format!("--{long}"), value.to_owned()]) else {
                    n_values += 1;
                    continue;
                };
                // Refused for what it is, not as a flag.
                let kind = error.kind();
                let is_about_value = matches!(
                    kind,
                    ErrorKind::InvalidValue
                        | ErrorKind::ValueValidation
                        | ErrorKind::MissingRequiredArgument
                        | ErrorKind::ArgumentConflict
                );
                let is_repeated = needed.contains(&format!("--{long}"));
                assert!(is_about_value || is_repeated, "{names:?} --{long} {value}: {error}");
                let said = refusal(&error);
                assert!(!said.contains("invalid digit"), "{said}");
                assert!(!said.contains("invalid float"), "{said}");
            }
        }
        for flag in ["--temprature", "--fly=3", "-z"] {
            let error = parse(&[flag.to_owned(), "1".to_owned()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{names:?} {flag}: {error}");
        }
    }
    assert!(n_commands >= 15 && n_values >= 40, "{n_commands} commands, {n_values} values");
}

#[test]
fn a_refusal_says_what_is_expected_and_how_to_give_it() {
    let said = |arguments: &[&str]| {
        refusal(
            &Cli::try_parse_from(settle(
                std::iter::once("crystalline")
                    .chain(arguments.iter().copied())
                    .map(OsString::from)
                    .collect(),
                &Cli::command(),
            ))
            .unwrap_err(),
        )
    };
    let text = said(&["generate", "run", "x", "--max-tokens", "-1"]);
    assert!(
        text.contains(
            "'-1' for '--max-tokens <N>': expected a whole number from 0 to 1000000000000"
        ),
        "{text}"
    );
    let text = said(&["generate", "run", "x", "--stop", "--verbose"]);
    assert!(text.contains("--stop=--word"), "{text}");
    let text = said(&["generate", "run", "x", "--stop", "--Xyzzq"]);
    assert!(text.contains("write '-- --Xyzzq', or '=--Xyzzq' right after its flag"), "{text}");
    let text = said(&["generate", "run", "--temprature", "1"]);
    assert!(text.contains("'--temprature'") && text.contains("'--temperature'"), "{text}");
}
