//! Reordered tokenisers: the same tokens, and the same decoded text.

use super::{reference, reference_ids, small, training_text};
use kernels::Pool;
use text::corpus::permutation::inverse;
use text::tokenizer::{Tokenizer, TokenizerKind};
use text::vocab::order::{Marks, TokenOrder};

/// The first difference of the reordered tokeniser from the given one, apart from its ids.
fn fault(
    tokenizer: &Tokenizer,
    reordered: &Tokenizer,
    order: &[u32],
    text: &str,
) -> Option<String> {
    let new_ids = inverse(order);
    let ids = tokenizer.encode(text);
    let expected: Vec<u32> = ids.iter().map(|id| new_ids[*id as usize]).collect();
    if reordered.encode(text) != expected {
        return Some(format!("other tokens of {text:?}"));
    }
    if reordered.decode(&expected) != tokenizer.decode(&ids) {
        return Some(format!("other text than {text:?}"));
    }
    if reference_ids(&reference(reordered), text) != expected {
        return Some(format!("other ids in the tokenizers crate of {text:?}"));
    }
    let differs = |new: usize| {
        let (new, old) = (new as u32, order[new]);
        reordered.token_text(new) != tokenizer.token_text(old)
            || reordered.token_bytes(new) != tokenizer.token_bytes(old)
            || reordered.is_special(new) != tokenizer.is_special(old)
    };
    (0..order.len()).find(|new| differs(*new)).map(|new| format!("token {new} is another"))
}

const TEXTS: [&str; 4] = [
    "The harbour was quiet, and the boats came in.\n",
    "nowhere-to-be-found words \u{e9}\u{1f600} 漁師 1912\n\n",
    "a <|endoftext|> b <eos> <unk> c",
    "",
];

#[test]
fn every_kind_in_every_order_has_the_same_tokens_and_text() {
    let text = training_text();
    for kind in TokenizerKind::ALL {
        let tokenizer = small(kind);
        let (ids, vocab_size) = (tokenizer.encode(&text), tokenizer.vocab_size());
        for order in TokenOrder::ALL {
            let mut pool = Pool::new(2);
            let marks = Marks::of_text(order, &ids[..], vocab_size, 1, &mut pool, &mut |_, _| true);
            let order_of_ids = marks.unwrap().order(order);
            let reordered = tokenizer.reordered(&order_of_ids);
            for text in TEXTS {
                let fault = fault(&tokenizer, &reordered, &order_of_ids, text);
                assert_eq!(fault, None, "{kind} {order}");
            }
            let read = Tokenizer::from_json(&reordered.to_json()).unwrap();
            assert_eq!(read.hash(), reordered.hash(), "{kind} {order}");
            assert_eq!(read.encode(&text), reordered.encode(&text), "{kind} {order}");
        }
    }
}

#[test]
fn the_check_finds_planted_faults() {
    let tokenizer = small(TokenizerKind::Word);
    let mut order: Vec<u32> = (0..tokenizer.vocab_size() as u32).rev().collect();
    let reordered = tokenizer.reordered(&order);
    assert_eq!(fault(&tokenizer, &reordered, &order, TEXTS[0]), None);
    order.swap(0, 1);
    assert!(fault(&tokenizer, &reordered, &order, "").is_some());
    assert!(fault(&tokenizer, &tokenizer, &order, TEXTS[0]).is_some());
}
