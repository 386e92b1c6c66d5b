//! Tokeniser of any kind: training, files, encoding and decoding.

use super::bpe::{ByteBpe, ByteEncoder};
use super::error::TextError;
use super::options::{TokenizerKind, TrainOptions};
use super::parallel::{Control, map_texts};
use super::specials::{Specials, TextPart};
use super::split::WordList;
use super::stream::StreamDecoder;
use super::{bpe_train, chars, count, format, json_read, json_write, split, word};
use crate::corpus::permutation::inverse;
use std::io::Read;
use std::path::Path;

/// Conversion of text to ids and back.
///
/// Three of the four kinds are lossless: decoding gives exactly the encoded text. `split` keeps
/// only words and line ends. The Hugging Face libraries should give the same ids with
/// [`Tokenizer::to_json`]; no test compares them yet.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(super) kind: TokenizerKind,
    pub(super) specials: Specials,
    pub(super) model: VocabularyModel,
}

/// The vocabulary of a tokeniser.
#[derive(Clone, Debug)]
pub(super) enum VocabularyModel {
    /// Tokens are byte strings.
    Bytes(ByteBpe),
    /// Tokens are words between blanks.
    Words(WordList),
}

impl Tokenizer {
    /// Learns a vocabulary from texts. The result does not depend on the number of threads.
    ///
    /// Words are counted in parallel, with progress and cancellation by `control`. Merges are then
    /// learnt without either (seconds for gigabytes of text, since it works on distinct words).
    ///
    /// # Errors
    /// [`TextError::Option`], [`TextError::NoWords`] or [`TextError::Cancelled`].
    pub fn train(
        options: &TrainOptions,
        texts: &[&str],
        control: &mut Control,
    ) -> Result<Tokenizer, TextError> {
        options.check()?;
        let kind = options.kind;
        let mut specials = Specials::new(options.special_names().into_iter().zip(0..).collect());
        let model = match kind {
            TokenizerKind::Word => {
                VocabularyModel::Bytes(word::train(options, texts, &specials, control)?)
            }
            TokenizerKind::Char => {
                VocabularyModel::Bytes(chars::train(options, texts, &specials, control)?)
            }
            TokenizerKind::Bpe => {
                VocabularyModel::Bytes(bpe_train::train(options, texts, &specials, control)?)
            }
            TokenizerKind::Split => {
                let (words, with_ids) = split::train(options, texts, &specials, control)?;
                specials = with_ids;
                VocabularyModel::Words(words)
            }
        };
        Ok(Tokenizer { kind, specials, model })
    }

    /// The same tokeniser with other ids: id `i` is the token that had the id `order[i]`.
    ///
    /// # Panics
    /// If `order` is not a permutation of the ids.
    pub fn reordered(&self, order: &[u32]) -> Tokenizer {
        assert_eq!(order.len(), self.vocab_size(), "Tokenizer::reordered: an id for each token");
        let new_ids = inverse(order);
        let specials = self.specials.tokens().iter();
        let specials = specials.map(|(name, id)| (name.clone(), new_ids[*id as usize])).collect();
        let specials = Specials::new(specials);
        let model = match &self.model {
            VocabularyModel::Bytes(model) => {
                VocabularyModel::Bytes(model.reordered(order, |id| specials.contains(id)))
            }
            VocabularyModel::Words(model) => VocabularyModel::Words(model.reordered(order)),
        };
        Tokenizer { kind: self.kind, specials, model }
    }

    /// Reads a tokenizer.json.
    ///
    /// # Errors
    /// [`TextError::InFile`] around what [`Tokenizer::from_json`] returns, or
    /// [`TextError::Read`].
    pub fn load(path: &Path) -> Result<Tokenizer, TextError> {
        let failed = |source| TextError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut json = Vec::new();
        // One byte more than allowed, to detect a file that is too long.
        let limit = json_read::FILE_LEN_MAX as u64 + 1;
        file.take(limit).read_to_end(&mut json).map_err(failed)?;
        Tokenizer::from_json(&json).map_err(|error| error.in_file(path))
    }

    /// Parses the bytes of a tokenizer.json, which may come from an untrusted source.
    ///
    /// # Errors
    /// [`TextError::Json`], [`TextError::Format`] or [`TextError::TooLarge`].
    pub fn from_json(json: &[u8]) -> Result<Tokenizer, TextError> {
        json_read::read(json)
    }

    /// The bytes of tokenizer.json, deterministic.
    pub fn to_json(&self) -> Vec<u8> {
        json_write::write(self)
    }

    /// The bytes of tokenizer_config.json, for a model of this context length.
    pub fn config_json(&self, seq_len: Option<usize>) -> Vec<u8> {
        let config = format::config(self.kind, self.eos_id().is_some(), seq_len);
        let mut written =
            serde_json::to_vec_pretty(&config).expect("a JSON value is always written");
        written.push(b'\n');
        written
    }

    /// BLAKE3 of [`Tokenizer::to_json`], by which other files identify the tokeniser.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.to_json())
    }

    /// The kind.
    pub fn kind(&self) -> TokenizerKind {
        self.kind
    }

    /// Number of tokens, V; ids are below it.
    pub fn vocab_size(&self) -> usize {
        match &self.model {
            VocabularyModel::Bytes(model) => model.tokens().len(),
            VocabularyModel::Words(model) => model.words().len(),
        }
    }

    /// The token that ends a text. Pre-tokenised text has none: its `<eos>` ends a line.
    pub fn text_end(&self) -> Option<u32> {
        self.eos_id().filter(|_| self.kind != TokenizerKind::Split)
    }

    /// The token that ends a document (in pre-tokenised text, a line): `<|endoftext|>` or `<eos>`.
    pub fn eos_id(&self) -> Option<u32> {
        self.special_id(format::end_name(self.kind))
    }

    /// The token that stands for every word outside the vocabulary, in pre-tokenised text.
    pub fn unknown_id(&self) -> Option<u32> {
        match &self.model {
            VocabularyModel::Bytes(_) => None,
            VocabularyModel::Words(model) => Some(model.unknown()),
        }
    }

    /// The id of a special token.
    pub fn special_id(&self, name: &str) -> Option<u32> {
        self.specials.id_of(name)
    }

    /// Whether the token is a special one.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.contains(id)
    }

    /// The bytes of a token; for a special token its name; for an unknown id no bytes.
    pub fn token(&self, id: u32) -> &[u8] {
        let bytes = match &self.model {
            VocabularyModel::Bytes(model) => model.tokens().get(id as usize).map(|token| &**token),
            VocabularyModel::Words(model) => {
                model.words().get(id as usize).map(|word| word.as_bytes())
            }
        };
        bytes.unwrap_or_default()
    }

    /// The ordinary (not special) token with exactly this text.
    pub fn id_of(&self, text: &str) -> Option<u32> {
        let id = match &self.model {
            VocabularyModel::Bytes(model) => model.id_of(text.as_bytes()),
            VocabularyModel::Words(model) => model.id_of(text),
        };
        id.filter(|&id| !self.is_special(id))
    }

    /// Number of times that each token (V) is a whole word of `texts`, where words are the
    /// pre-tokens of the kind's split rule. 0 for special tokens, and for pieces that only spell
    /// other words.
    ///
    /// # Errors
    /// [`TextError::Cancelled`].
    pub fn count_words(
        &self,
        texts: &[&str],
        control: &mut Control,
    ) -> Result<Vec<u64>, TextError> {
        let counted = match &self.model {
            VocabularyModel::Bytes(model) => {
                count::count(texts, |text| model.split.split(text), control)?
            }
            VocabularyModel::Words(_) => count::count(texts, str::split_whitespace, control)?,
        };
        let mut counts = vec![0; self.vocab_size()];
        for (word, count) in counted {
            if let Some(id) = self.id_of(word) {
                counts[id as usize] = count;
            }
        }
        Ok(counts)
    }

    /// The ids of a text. Names of special tokens in it become their ids.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.session(true).ids_of(text)
    }

    /// The ids of a text in which names of special tokens are ordinary text: for text from users,
    /// who must not be able to end a document or a turn. In pre-tokenised text `<unk>` is the
    /// unknown word, and so is any other special name.
    pub fn encode_ordinary(&self, text: &str) -> Vec<u32> {
        self.session(false).ids_of(text)
    }

    /// [`Tokenizer::encode_ordinary`] of a long text, on several threads.
    ///
    /// # Errors
    /// [`TextError::Cancelled`].
    pub fn encode_parallel<'t>(
        &self,
        text: &'t str,
        control: &mut Control,
    ) -> Result<Vec<u32>, TextError> {
        let mut all = Vec::new();
        let encode = |session: &mut EncodingSession<'_, 't>, chunks: &[&'t str]| {
            chunks.iter().flat_map(|chunk| session.ids_of(chunk)).collect::<Vec<u32>>()
        };
        map_texts(
            &[text],
            control,
            || self.session(false),
            encode,
            |ids| {
                all.extend(ids);
                Ok::<_, TextError>(())
            },
        )?;
        Ok(all)
    }

    /// The text of ids. Special tokens become their names, unknown ids are skipped, and bytes that
    /// are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut decoder = StreamDecoder::new(self);
        ids.iter().for_each(|&id| decoder.append_bytes(id));
        decoder.take_all()
    }

    /// A token for display: control characters and bytes that are not UTF-8 are escaped. Empty for
    /// an unknown id.
    pub fn token_text(&self, id: u32) -> String {
        let mut text = String::new();
        for chunk in self.token(id).utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
            }
            chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02X}"));
        }
        text
    }

    /// Number of bytes of text that a token represents, for bits per byte: 0 for special tokens. In
    /// pre-tokenised text a word counts with one blank, and `<eos>` as a line end.
    pub fn token_bytes(&self, id: u32) -> usize {
        match &self.model {
            VocabularyModel::Bytes(model) if !self.is_special(id) => {
                model.tokens().get(id as usize).map_or(0, |token| token.len())
            }
            VocabularyModel::Bytes(_) => 0,
            VocabularyModel::Words(model) if id == model.end_of_line() => 1,
            VocabularyModel::Words(model) => {
                model.words().get(id as usize).map_or(0, |word| word.len() + 1)
            }
        }
    }

    pub(super) fn session<'t>(&self, finds_specials: bool) -> EncodingSession<'_, 't> {
        let encoder = match &self.model {
            VocabularyModel::Bytes(model) => Encoder::Bytes(Box::new(model.encoder())),
            VocabularyModel::Words(model) => Encoder::Words(model),
        };
        EncodingSession { specials: finds_specials.then_some(&self.specials), encoder }
    }
}

/// Encoder state of one thread.
pub(super) struct EncodingSession<'m, 't> {
    /// The special tokens to look for.
    specials: Option<&'m Specials>,
    encoder: Encoder<'m, 't>,
}

enum Encoder<'m, 't> {
    Bytes(Box<ByteEncoder<'m, 't>>),
    Words(&'m WordList),
}

impl<'t> EncodingSession<'_, 't> {
    pub(super) fn ids_of(&mut self, text: &'t str) -> Vec<u32> {
        let mut ids = Vec::new();
        match self.specials {
            None => self.append_ids(text, &mut ids),
            Some(specials) => {
                for part in specials.split(text) {
                    match part {
                        TextPart::Text(text) => self.append_ids(text, &mut ids),
                        TextPart::Special(id) => ids.push(id),
                    }
                }
            }
        }
        ids
    }

    fn append_ids(&mut self, text: &'t str, ids: &mut Vec<u32>) {
        match &mut self.encoder {
            Encoder::Bytes(encoder) => encoder.encode(text, ids),
            Encoder::Words(model) => model.encode(text, ids),
        }
    }
}
