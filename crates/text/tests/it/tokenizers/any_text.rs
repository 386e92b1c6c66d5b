//! Arbitrary text: same ids as the `tokenizers` crate, lossless decoding, streamed or whole.

use super::{reference, reference_ids, small};
use proptest::prelude::*;
use std::sync::LazyLock;
use text::tokenizer::{StreamDecoder, Tokenizer, TokenizerKind};

/// Each small tokeniser, and the same in the `tokenizers` crate.
static KINDS: LazyLock<Vec<(Tokenizer, tokenizers::Tokenizer)>> = LazyLock::new(|| {
    let pair = |kind| {
        let tokenizer = small(kind);
        let reference = reference(&tokenizer);
        (tokenizer, reference)
    };
    TokenizerKind::ALL.into_iter().map(pair).collect()
});

/// Pieces in which rules, vocabulary and special tokens meet, mixed with any characters.
fn any_text() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "the",
        " the",
        "The",
        " harbour",
        "boats",
        "'s",
        "’ll",
        "'",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "42",
        "1912",
        ".",
        ",\"",
        "…",
        "é",
        "e\u{301}",
        "漁師",
        " 港口",
        "मछुआरे",
        "😀",
        "\u{200d}",
        "<|endoftext|>",
        "<|endoftext",
        "|>",
        "<eos>",
        "<unk>",
        "<",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "\u{a0}",
        "\u{3000}",
        "\0",
        "\u{10ffff}",
        "ſ",
        "K",
    ]);
    let piece = prop_oneof![
        4 => known.prop_map(str::to_owned),
        1 => "\\PC{1,3}",
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// The words and line ends of a text, which `split` keeps.
fn words_and_lines(text: &str) -> String {
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.join("\n")
}

fn decode_stream(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
    text.push_str(&decoder.finish());
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn ids_are_those_of_the_tokenizers_crate_and_give_the_text_back(text in any_text()) {
        for (tokenizer, reference) in &*KINDS {
            let ids = tokenizer.encode(&text);
            prop_assert_eq!(&ids, &reference_ids(reference, &text), "{}", tokenizer.kind());
            if tokenizer.kind() != TokenizerKind::Split {
                prop_assert_eq!(&tokenizer.decode(&ids), &text, "{}", tokenizer.kind());
            }
        }
    }

    #[test]
    fn ordinary_text_has_no_special_tokens_and_comes_back(text in any_text()) {
        for (tokenizer, _) in &*KINDS {
            if tokenizer.kind() == TokenizerKind::Split {
                continue;
            }
            let ids = tokenizer.encode_ordinary(&text);
            prop_assert!(!ids.iter().any(|&id| tokenizer.is_special(id)));
            prop_assert_eq!(&tokenizer.decode(&ids), &text);
            let n_bytes: usize = ids.iter().map(|&id| tokenizer.token_bytes(id)).sum();
            prop_assert_eq!(n_bytes, text.len());
        }
    }

    #[test]
    fn any_ids_decode_as_in_the_tokenizers_crate(ids in prop::collection::vec(0..600u32, 0..40)) {
        for (tokenizer, reference) in &*KINDS {
            let text = tokenizer.decode(&ids);
            prop_assert_eq!(&decode_stream(tokenizer, &ids), &text);
            if tokenizer.kind() != TokenizerKind::Split {
                prop_assert_eq!(&reference.decode(&ids, false).unwrap(), &text);
            }
        }
    }

    #[test]
    fn known_words_come_back_in_lines(picks in prop::collection::vec(0..200usize, 0..30)) {
        let (tokenizer, _) = &KINDS[1];
        prop_assert_eq!(tokenizer.kind(), TokenizerKind::Split);
        let ids: Vec<u32> = picks.iter().map(|pick| (pick % tokenizer.vocab_size()) as u32).collect();
        let text = tokenizer.decode(&ids);
        prop_assert_eq!(&words_and_lines(&text), &text);
        prop_assert_eq!(tokenizer.encode(&text), ids);
    }
}

#[test]
fn a_stream_gives_no_half_characters() {
    let (tokenizer, _) = &KINDS[2];
    let text = "漁師😀e\u{301}";
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut seen = String::new();
    for id in tokenizer.encode(text) {
        seen += &decoder.push(id);
        assert!(text.starts_with(&seen), "{seen:?}");
    }
    assert_eq!(seen + &decoder.finish(), text);

    // The last character is incomplete: the decoder waits for the rest, and gives up at the end.
    let ids = tokenizer.encode("\u{10ffff}");
    assert!(ids.len() > 1);
    let mut decoder = StreamDecoder::new(tokenizer);
    assert_eq!(decoder.push(ids[0]), "");
    assert_eq!(decoder.finish(), "\u{fffd}");
}

#[test]
fn tokens_for_display_are_readable() {
    let (tokenizer, _) = &KINDS[0];
    let shown = |text| tokenizer.encode(text).iter().map(|&id| tokenizer.token_text(id)).collect();
    let shown: Vec<String> = shown(" the wind\n\u{0}\u{10ffff}");
    assert_eq!(shown, [" the", " wind", "\\n", "\\u{0}", "\\xF4", "\\x8F", "\\xBF", "\\xBF"]);
    assert_eq!(tokenizer.token_text(tokenizer.eos_id().unwrap()), "<|endoftext|>");
    assert_eq!(tokenizer.token_text(u32::MAX), "");
    assert_eq!(tokenizer.token_bytes(u32::MAX), 0);
}
