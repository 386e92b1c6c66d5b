//! Documents: texts as models are trained on them, with a token before each and one after.
//!
//! The token that ends a text also stands before the next one, so that the first words of a text
//! are predicted after it. Where no text ended before, it stands as a mark of the beginning, which
//! is an input and never predicted ([`TokenFile`](crate::corpus::TokenFile)). Generation without a
//! prompt begins after the same token.

use super::any_kind::{EncodingSession, Tokenizer};
use super::beginnings::{beginnings, spacing};
use super::error::TextError;
use super::options::TokenizerKind;
use super::parallel::{CHUNK_LEN, Control, chunks_of, groups_of, map_in_order};
use crate::corpus::Excerpt;

/// A document, or the part of one that an excerpt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'t> {
    /// The text.
    pub text: &'t str,
    /// Whether the document ends with this text.
    pub ends: bool,
}

/// The documents of `excerpts`: each file is one, or several if `separator` stands in it.
///
/// The separator is no part of them, nor is the line end after it. Between separators, documents of
/// nothing but blanks are left out.
pub fn documents<'t>(excerpts: &'t [Excerpt], separator: Option<&str>) -> Vec<Document<'t>> {
    let of_excerpt = |excerpt: &'t Excerpt| {
        let separator = separator.filter(|separator| !separator.is_empty());
        let mut parts: Vec<&str> = match separator {
            Some(separator) => excerpt.text.split(separator).collect(),
            None => vec![&excerpt.text],
        };
        let last = parts.len() - 1;
        parts[1..].iter_mut().for_each(|part| *part = without_line_end(part));
        parts
            .into_iter()
            .enumerate()
            .map(move |(i, text)| Document { text, ends: i < last || excerpt.ends })
            .filter(move |document| last == 0 || !document.text.trim().is_empty())
    };
    excerpts.iter().flat_map(of_excerpt).collect()
}

/// `text` without a line end at its start.
fn without_line_end(text: &str) -> &str {
    ["\r\n", "\n", "\r"].iter().find_map(|end| text.strip_prefix(end)).unwrap_or(text)
}

/// Ids of some documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedText {
    /// The ids.
    pub ids: Vec<u32>,
    /// Indices of ids that only mark a beginning, ascending.
    pub beginnings: Vec<usize>,
}

/// Blocks that are held out of ids.
const N_BLOCKS: usize = 32;

impl EncodedText {
    /// The ids in two parts, of which the second has about `fraction` of them, in blocks from all
    /// over the first. For ids whose text is not at hand; of a text,
    /// [`hold_out`](crate::corpus::hold_out) cuts at better places.
    pub fn hold_out(&self, fraction: f64) -> (EncodedText, EncodedText) {
        let mut parts = [EncodedText::default(), EncodedText::default()];
        let n = self.ids.len();
        for block in 0..N_BLOCKS {
            let [start, end] = [block, block + 1].map(|block| block * n / N_BLOCKS);
            let cut = end - ((end - start) as f64 * fraction) as usize;
            for (part, range) in parts.iter_mut().zip([start..cut, cut..end]) {
                let offset = part.ids.len();
                part.ids.extend_from_slice(&self.ids[range.clone()]);
                let inside = self.beginnings.iter().filter(|at| range.contains(at));
                part.beginnings.extend(inside.map(|at| offset + at - range.start));
            }
        }
        let [train, held_out] = parts;
        (train, held_out)
    }
}

/// Part of a document that one thread encodes at once.
struct Part<'t> {
    text: &'t str,
    /// Whether a mark stands before it.
    has_mark: bool,
    /// Whether its document ends with it.
    ends: bool,
}

impl Tokenizer {
    /// The ids of documents, on several threads, passed to `sink` in order. Only a few mebibytes of
    /// text are encoded at a time.
    ///
    /// Names of special tokens are ordinary text, unless `reads_specials`. If there are few
    /// documents, paragraphs inside are marked as beginnings, too, so that a model of a single novel
    /// learns to begin.
    ///
    /// # Errors
    /// [`TextError::Cancelled`], or what `sink` returns.
    pub fn encode_documents<'t, E: From<TextError>>(
        &self,
        documents: &[Document<'t>],
        reads_specials: bool,
        control: &mut Control,
        mut sink: impl FnMut(&EncodedText) -> Result<(), E>,
    ) -> Result<(), E> {
        let n_documents = documents.iter().filter(|document| document.ends).count();
        // Each line of pre-tokenised text begins after the end of the line before.
        let is_split = self.kind() == TokenizerKind::Split;
        let spacing = spacing(n_documents).filter(|_| !is_split);
        let groups = groups_of(parts(documents), |part| part.text);
        let n_bytes = |group: &Vec<Part>| group.iter().map(|part| part.text.len()).sum();
        let start = || self.session(reads_specials);
        let work = |session: &mut EncodingSession<'_, 't>, group: &Vec<Part<'t>>| {
            let mut encoded = EncodedText::default();
            for part in group {
                self.append_part(session, part, spacing, &mut encoded);
            }
            encoded
        };
        map_in_order(&groups, n_bytes, control, start, work, |encoded| sink(&encoded))
    }

    /// All ids of documents, as [`Tokenizer::encode_documents`] gives them.
    ///
    /// # Errors
    /// [`TextError::Cancelled`].
    pub fn encode_all(
        &self,
        documents: &[Document],
        reads_specials: bool,
        control: &mut Control,
    ) -> Result<EncodedText, TextError> {
        let mut all = EncodedText::default();
        self.encode_documents(documents, reads_specials, control, |encoded| {
            let start = all.ids.len();
            all.ids.extend_from_slice(&encoded.ids);
            all.beginnings.extend(encoded.beginnings.iter().map(|i| start + i));
            Ok::<_, TextError>(())
        })?;
        Ok(all)
    }

    fn append_part<'t>(
        &self,
        session: &mut EncodingSession<'_, 't>,
        part: &Part<'t>,
        spacing: Option<usize>,
        encoded: &mut EncodedText,
    ) {
        let EncodedText { ids, beginnings: marks } = encoded;
        let end = self.eos_id();
        let mut mark = |ids: &mut Vec<u32>| {
            if let Some(end) = end {
                marks.push(ids.len());
                ids.push(end);
            }
        };
        if part.has_mark {
            mark(ids);
        }
        let inside = spacing.map_or(Vec::new(), |spacing| beginnings(part.text, spacing));
        let (mut inside, mut n_bytes) = (inside.into_iter().peekable(), 0);
        for id in session.ids_of(part.text) {
            // A beginning inside a token is passed over.
            while inside.next_if(|at| *at < n_bytes).is_some() {}
            if inside.next_if_eq(&n_bytes).is_some() {
                mark(ids);
            }
            ids.push(id);
            n_bytes += self.token(id).len();
        }
        let ends_line = self.kind() == TokenizerKind::Split && ids.last().copied() == end;
        if part.ends && !ends_line {
            ids.extend(end);
        }
    }
}

/// Parts of documents of about a mebibyte or less.
fn parts<'t>(documents: &[Document<'t>]) -> impl Iterator<Item = Part<'t>> {
    let has_mark = |i: usize| i == 0 || !documents[i - 1].ends;
    documents.iter().enumerate().flat_map(move |(i, document)| {
        let chunks = chunks_of(&[document.text], CHUNK_LEN);
        let last = chunks.len() - 1;
        chunks.into_iter().enumerate().map(move |(k, text)| Part {
            text,
            has_mark: k == 0 && has_mark(i),
            ends: k == last && document.ends,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::options::TrainOptions;
    use super::*;

    fn excerpt(text: &str, ends: bool) -> Excerpt {
        Excerpt { text: text.to_owned(), ends }
    }

    fn tokenizer(kind: TokenizerKind) -> Tokenizer {
        let text = "One day.\nTwo days, <|endoftext|> and <eos>.\n\nThree more days.\n";
        let options = TrainOptions { vocab_size: 400, ..TrainOptions::new(kind) };
        Tokenizer::train(&options, &[text], &mut Control::threads(1)).unwrap()
    }

    /// Tokens as text, with `[` before marks of beginnings and `|` for ends.
    fn shown(tokenizer: &Tokenizer, excerpts: &[Excerpt], separator: Option<&str>) -> String {
        let documents = documents(excerpts, separator);
        let mut control = Control::threads(1);
        let EncodedText { ids, beginnings } =
            tokenizer.encode_all(&documents, false, &mut control).unwrap();
        let shown = ids.iter().enumerate().map(|(i, id)| match tokenizer.eos_id() {
            _ if beginnings.contains(&i) => "[".to_owned(),
            end if end == Some(*id) => "|".to_owned(),
            _ => String::from_utf8_lossy(tokenizer.token(*id)).into_owned(),
        });
        shown.collect()
    }

    #[test]
    fn a_document_ends_with_a_token_and_the_next_begins_after_it() {
        for kind in [TokenizerKind::Word, TokenizerKind::Bpe, TokenizerKind::Char] {
            let shown =
                |excerpts: &[Excerpt], separator| shown(&tokenizer(kind), excerpts, separator);
            assert_eq!(shown(&[excerpt("One", true), excerpt("Two", true)], None), "[One|Two|");
            assert_eq!(shown(&[excerpt("One", false), excerpt("Two", true)], None), "[One[Two|");
            let separated =
                [excerpt("One\n<end>\nTwo<end>\r\n\n<end>", false), excerpt("Three", true)];
            assert_eq!(shown(&separated, Some("<end>")), "[One\n|Two|Three|");
            assert_eq!(shown(&[excerpt("a<|endoftext|>b", true)], None), "[a<|endoftext|>b|");
            assert_eq!(shown(&[excerpt("a<|endoftext|>b", true)], Some("<|endoftext|>")), "[a|b|");
        }
    }

    #[test]
    fn lines_of_pre_tokenised_text_end_once_each() {
        let shown = |excerpts: &[Excerpt]| shown(&tokenizer(TokenizerKind::Split), excerpts, None);
        assert_eq!(shown(&[excerpt("One day.\n", true)]), "[Oneday.|");
        // Without a line end the next file would go on in the same line.
        assert_eq!(shown(&[excerpt("One", true), excerpt("Two", true)]), "[One|Two|");
        assert_eq!(shown(&[excerpt("One", false), excerpt("Two", true)]), "[One[Two|");
        // A line end cannot be written as a word.
        assert_eq!(shown(&[excerpt("One <eos> Two\n", true)]), "[One<unk>Two|");
    }

    #[test]
    fn marks_within_a_long_text_change_no_other_token() {
        for kind in [TokenizerKind::Word, TokenizerKind::Bpe, TokenizerKind::Char] {
            let tokenizer = tokenizer(kind);
            let text = "One day.\nTwo days, more days\n\nThree more days.\n".repeat(300);
            let excerpts = [excerpt(&text, true)];
            let encode = |threads| {
                let mut control = Control::threads(threads);
                tokenizer.encode_all(&documents(&excerpts, None), false, &mut control).unwrap()
            };
            let found = encode(1);
            assert_eq!(encode(2), found);
            let n_marks = found.beginnings.len();
            assert!((24..32).contains(&n_marks), "{n_marks}");
            let unmarked = (0..found.ids.len()).filter(|i| !found.beginnings.contains(i));
            let unmarked: Vec<u32> = unmarked.map(|i| found.ids[i]).collect();
            let mut expected = tokenizer.encode_ordinary(&text);
            expected.extend(tokenizer.eos_id());
            assert_eq!(unmarked, expected);
            let follows = |i: &usize| tokenizer.token(found.ids[i + 1]).starts_with(b"T");
            assert!(found.beginnings[1..].iter().all(follows), "paragraphs begin with Three");
        }
    }

    #[test]
    fn many_documents_begin_often_enough_by_themselves() {
        let tokenizer = tokenizer(TokenizerKind::Word);
        let text = "One day.\nTwo days.\n\n".repeat(100);
        let n_marks = |n: usize| {
            let document = Document { text: &text, ends: true };
            let mut control = Control::threads(2);
            let encoded = tokenizer.encode_all(&vec![document; n], false, &mut control);
            encoded.unwrap().beginnings.len()
        };
        assert!(n_marks(255) > 3 * 255);
        assert_eq!(n_marks(256), 1);
    }

    #[test]
    fn ids_are_held_out_in_blocks_with_their_marks() {
        let beginnings = (0..1000).filter(|i| i % 7 == 0).collect();
        let all = EncodedText { ids: (0..1000).collect(), beginnings };
        let (train, held_out) = all.hold_out(0.1);
        for part in [&train, &held_out] {
            let marks = (0..part.ids.len()).filter(|i| part.ids[*i] % 7 == 0);
            assert_eq!(part.beginnings, marks.collect::<Vec<usize>>());
        }
        let mut ids = [train.ids, held_out.ids.clone()].concat();
        ids.sort_unstable();
        assert!(ids == all.ids && held_out.ids.len() == 3 * N_BLOCKS);
        assert!(held_out.ids[0] < 32 && *held_out.ids.last().unwrap() == 999);
    }

    #[test]
    fn special_names_are_read_when_asked() {
        let tokenizer = tokenizer(TokenizerKind::Word);
        let excerpts = [excerpt("One<|endoftext|>Two", true)];
        let encode = |reads_specials| {
            let mut control = Control::threads(1);
            tokenizer.encode_all(&documents(&excerpts, None), reads_specials, &mut control).unwrap()
        };
        let n_ends = |encoded: EncodedText| {
            encoded.ids.iter().filter(|id| Some(**id) == tokenizer.eos_id()).count()
        };
        assert_eq!((n_ends(encode(false)), n_ends(encode(true))), (2, 3));
    }
}
