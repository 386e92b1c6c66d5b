//! Character-level training: choice of the characters in the vocabulary.
//!
//! A character is its bytes in UTF-8, so an ASCII character is a byte and needs no further token.
//! Order of ids: special tokens, characters by descending count, bytes that are not characters.

use super::bpe::ByteBpe;
use super::bytes;
use super::count;
use super::error::TextError;
use super::options::TrainOptions;
use super::parallel::Control;
use super::pretokenize::SplitRule;
use super::specials::Specials;

/// Trains a character-level tokeniser.
pub(super) fn train(
    options: &TrainOptions,
    texts: &[&str],
    specials: &Specials,
    control: &mut Control,
) -> Result<ByteBpe, TextError> {
    let counts = count::count(texts, |text| SplitRule::Characters.split(text), control)?;
    let mut tokens: Vec<Box<[u8]>> = specials.bytes().collect();
    let mut n_free = options.vocab_size - tokens.len() - 256;
    let mut is_free = [true; 256];
    for &(c, count) in &counts {
        if count < options.min_count {
            break;
        }
        match c.as_bytes() {
            &[byte] => is_free[byte as usize] = false,
            _ if n_free > 0 => n_free -= 1,
            _ => continue,
        }
        tokens.push(c.as_bytes().into());
    }
    if tokens.len() == specials.tokens().len() {
        return Err(TextError::NoWords { min_count: options.min_count });
    }
    let others = bytes::in_alphabet_order().filter(|&byte| is_free[byte as usize]);
    tokens.extend(others.map(|byte| Box::from([byte])));
    ByteBpe::new(SplitRule::Characters, tokens, |id| specials.contains(id), &[])
}

#[cfg(test)]
mod tests {
    use super::super::options::TokenizerKind;
    use super::*;

    #[test]
    fn frequent_characters_come_first_and_every_byte_is_a_token() {
        let specials = Specials::new(vec![("<|endoftext|>".into(), 0)]);
        let train = |vocab_size, min_count| {
            let kind = TokenizerKind::Char;
            let options = TrainOptions { vocab_size, min_count, ..TrainOptions::new(kind) };
            let text = "ééé bb 語語 x";
            let model = train(&options, &[text], &specials, &mut Control::threads(1))?;
            let tokens = model.tokens().iter();
            let read = tokens.map(|token| String::from_utf8_lossy(token).into_owned());
            Ok::<_, TextError>(read.collect::<Vec<_>>())
        };
        let all = train(1000, 1).unwrap();
        assert_eq!(all.len(), 1 + 256 + 2);
        assert_eq!(all[1..6], [" ", "é", "b", "語", "x"]);
        assert_eq!(train(1000, 3).unwrap()[1..4], [" ", "é", "!"]);
        assert_eq!(train(258, 1).unwrap()[1..5], [" ", "é", "b", "x"]);
        assert!(train(1000, 9).is_err());
    }
}
