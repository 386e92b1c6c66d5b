//! Reader of tokenizer.json from untrusted sources.
//!
//! Every size is limited, only the parser recurses (to its own depth limit), and any setting that
//! this program cannot reproduce exactly is refused. The four kinds are recognised by their
//! sections, so files of other programs with the same sections (GPT-2's own, or ours saved again by
//! transformers) are read as well.

use super::any_kind::{Tokenizer, VocabularyModel};
use super::bpe::{ByteBpe, TokenPair};
use super::bytes;
use super::error::{TextError, shorten};
use super::format::{self, sections};
use super::options::{TokenizerKind, VOCAB_SIZE_MAX};
use super::specials::{N_SPECIALS_MAX, Specials, UNKNOWN};
use super::split::WordList;
use rustc_hash::FxHashMap;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// Largest file, in bytes: twice the usual size of the largest vocabulary and merges.
pub(super) const FILE_LEN_MAX: usize = 128 << 20;
/// Longest token, in bytes.
const TOKEN_LEN_MAX: usize = 4096;
/// Largest number of merges.
const N_MERGES_MAX: usize = 1 << 21;
/// Longest section, in bytes; patterns take most of it.
const SECTION_LEN_MAX: usize = 1 << 16;

#[derive(serde::Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    truncation: Option<&'a RawValue>,
    #[serde(borrow)]
    padding: Option<&'a RawValue>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(borrow)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow)]
    decoder: Option<&'a RawValue>,
    model: ModelFile,
}

#[derive(serde::Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    special: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    r#type: String,
    dropout: Option<f64>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    // No effect where every byte is a token.
    #[serde(default, rename = "fuse_unk")]
    _fuse_unk: bool,
    #[serde(default, rename = "byte_fallback")]
    _byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Vocab,
    #[serde(default)]
    merges: Merges,
}

/// Reads a tokeniser from the bytes of its file.
pub(super) fn read(json: &[u8]) -> Result<Tokenizer, TextError> {
    if json.len() > FILE_LEN_MAX {
        let what = "bytes of tokenizer.json";
        return Err(TextError::TooLarge { what, found: json.len(), limit: FILE_LEN_MAX });
    }
    let file: File = serde_json::from_slice(json)
        .map_err(|error| TextError::Json { found: shorten_middle(&error.to_string()) })?;
    let kind = kind_of(&file)?;
    check_added(&file.added_tokens)?;
    let names = names_by_id(&file)?;
    let added = file.added_tokens.into_iter().map(|token| (token.content, token.id));
    let specials = Specials::new(added.collect());
    let model = match format::split_rule(kind) {
        Some(rule) => {
            check_bpe(&file.model, kind)?;
            let tokens = bytes_of_names(&names, &specials)?;
            let merges = merges_of(&file.model.merges)?;
            VocabularyModel::Bytes(ByteBpe::new(rule, tokens, |id| specials.contains(id), &merges)?)
        }
        None => {
            expect("model.type", &file.model.r#type, "WordLevel")?;
            expect("model.unk_token", file.model.unk_token.as_deref().unwrap_or("null"), UNKNOWN)?;
            VocabularyModel::Words(WordList::new(names)?)
        }
    };
    Ok(Tokenizer { kind, specials, model })
}

/// Recognises the kind by its pre-tokeniser, and checks that all other sections fit it.
fn kind_of(file: &File) -> Result<TokenizerKind, TextError> {
    let found = section("pre_tokenizer", file.pre_tokenizer)?;
    let is_kind = |kind: &TokenizerKind| {
        let mut expected = sections(*kind).pre_tokenizer;
        forget_offsets(&mut expected);
        expected == found
    };
    let kind = TokenizerKind::ALL.into_iter().find(is_kind).ok_or_else(|| {
        let expected = "the split rule of a word, split, bpe or char tokeniser";
        TextError::format("pre_tokenizer", &found, expected)
    })?;

    let expected = sections(kind);
    for (field, part, expected) in [
        ("truncation", file.truncation, Value::Null),
        ("padding", file.padding, Value::Null),
        ("normalizer", file.normalizer, expected.normalizer),
    ] {
        let found = section(field, part)?;
        if found != expected {
            return Err(TextError::format(field, found, expected.to_string()));
        }
    }
    // Neither decoder nor post-processor changes ids; only the type of the decoder matters.
    let decoder = section("decoder", file.decoder)?;
    if decoder["type"] != expected.decoder["type"] {
        return Err(TextError::format("decoder", decoder, expected.decoder["type"].to_string()));
    }
    let post = section("post_processor", file.post_processor)?;
    if !adds_nothing(&post) {
        let expected = "null, ByteLevel, or a template that adds no token";
        return Err(TextError::format("post_processor", post, expected));
    }
    Ok(kind)
}

/// Whether a post-processor leaves the ids of a text as they are. transformers writes such a
/// template into every file that it saves.
fn adds_nothing(post: &Value) -> bool {
    let of_type = |name: &str| post["type"] == name;
    if of_type("Sequence") {
        let parts = post["processors"].as_array();
        return parts.is_some_and(|parts| {
            parts.iter().all(|part| part["type"] != "Sequence" && adds_nothing(part))
        });
    }
    let is_text = |part: &Value| part["Sequence"]["id"] == "A";
    let is_identity =
        || matches!(post["single"].as_array().map(Vec::as_slice), Some([one]) if is_text(one));
    post.is_null() || of_type("ByteLevel") || of_type("TemplateProcessing") && is_identity()
}

/// Parses a section, without the fields that concern only offsets.
fn section(field: &str, raw: Option<&RawValue>) -> Result<Value, TextError> {
    let Some(raw) = raw else { return Ok(Value::Null) };
    if raw.get().len() > SECTION_LEN_MAX {
        return Err(TextError::format(field, raw.get(), "a section of at most 64 KiB"));
    }
    let parsed = serde_json::from_str(raw.get());
    let mut value: Value = parsed.map_err(|e| TextError::Json { found: e.to_string() })?;
    forget_offsets(&mut value);
    Ok(value)
}

/// Removes `trim_offsets` and writes out the default of `use_regex`, in a section or the parts of
/// a sequence.
fn forget_offsets(section: &mut Value) {
    if let Some(parts) = section.get_mut("pretokenizers").and_then(Value::as_array_mut) {
        parts.iter_mut().for_each(forget_offsets_in);
    } else {
        forget_offsets_in(section);
    }
}

fn forget_offsets_in(section: &mut Value) {
    if let Some(fields) = section.as_object_mut()
        && fields.get("type").is_some_and(|name| name == "ByteLevel")
    {
        fields.remove("trim_offsets");
        fields.entry("use_regex").or_insert(true.into());
    }
}

fn check_added(tokens: &[AddedToken]) -> Result<(), TextError> {
    if tokens.len() > N_SPECIALS_MAX {
        let what = "added tokens";
        return Err(TextError::TooLarge { what, found: tokens.len(), limit: N_SPECIALS_MAX });
    }
    for (i, token) in tokens.iter().enumerate() {
        let is_plain = token.special
            && !(token.single_word || token.lstrip || token.rstrip || token.normalized);
        let is_fine = !token.content.is_empty()
            && token.content.len() <= TOKEN_LEN_MAX
            && !token.content.contains(char::is_whitespace);
        if !is_plain || !is_fine {
            let expected = "a special token without blanks, stripping or normalisation";
            let found = format!("{:?}", token.content);
            return Err(TextError::format(format!("added_tokens[{i}]"), found, expected));
        }
    }
    Ok(())
}

fn check_bpe(model: &ModelFile, kind: TokenizerKind) -> Result<(), TextError> {
    expect("model.type", &model.r#type, "BPE")?;
    let is_whole_first = kind != TokenizerKind::Bpe;
    expect("model.ignore_merges", &model.ignore_merges.to_string(), &is_whole_first.to_string())?;
    expect("model.dropout", &model.dropout.unwrap_or(0.0).to_string(), "0")?;
    for (field, affix) in [
        ("model.continuing_subword_prefix", &model.continuing_subword_prefix),
        ("model.end_of_word_suffix", &model.end_of_word_suffix),
    ] {
        expect(field, affix.as_deref().unwrap_or_default(), "")?;
    }
    Ok(())
}

fn expect(field: &str, found: &str, expected: &str) -> Result<(), TextError> {
    if found == expected {
        return Ok(());
    }
    Err(TextError::format(field, format!("{found:?}"), format!("{expected:?}")))
}

/// The names of the tokens by id: the vocabulary, then added tokens beyond it.
fn names_by_id(file: &File) -> Result<Vec<Box<str>>, TextError> {
    let vocab = &file.model.vocab.0;
    let in_vocab: FxHashMap<&str, u32> = vocab.iter().map(|(name, id)| (&**name, *id)).collect();
    if in_vocab.len() < vocab.len() {
        return Err(TextError::format("model.vocab", "a token twice", "each token once"));
    }
    let mut beyond = FxHashMap::default();
    for AddedToken { id, content, .. } in &file.added_tokens {
        let known = in_vocab.get(&**content).or_else(|| beyond.get(&**content)).copied();
        match known {
            None => _ = beyond.insert(&**content, *id),
            Some(known) if known == *id => {}
            Some(known) => {
                let found = format!("{content:?} with ids {known} and {id}");
                return Err(TextError::format("added_tokens", found, "one id"));
            }
        }
    }
    let n = in_vocab.len() + beyond.len();
    if n > VOCAB_SIZE_MAX {
        return Err(TextError::TooLarge { what: "tokens", found: n, limit: VOCAB_SIZE_MAX });
    }
    let mut names: Vec<Option<Box<str>>> = vec![None; n];
    for (name, id) in in_vocab.into_iter().chain(beyond) {
        let is_fine = (1..=2 * TOKEN_LEN_MAX).contains(&name.len());
        match names.get_mut(id as usize) {
            Some(slot @ None) if is_fine => *slot = Some(name.into()),
            _ => {
                let found = format!("{name:?} with id {id}");
                let expected = format!("one token of at most 4096 bytes for each id below {n}");
                return Err(TextError::format("model.vocab", found, expected));
            }
        }
    }
    Ok(names.into_iter().flatten().collect())
}

/// The bytes of each token, from names in the alphabet.
fn bytes_of_names(names: &[Box<str>], specials: &Specials) -> Result<Vec<Box<[u8]>>, TextError> {
    let bytes_of = |(id, name): (u32, &str)| {
        if specials.contains(id) {
            Ok(name.as_bytes().into())
        } else {
            bytes_of_name("model.vocab", name)
        }
    };
    (0..).zip(names.iter().map(|name| &**name)).map(bytes_of).collect()
}

fn bytes_of_name(field: &str, name: &str) -> Result<Box<[u8]>, TextError> {
    let bytes = bytes::from_alphabet(name).filter(|bytes| bytes.len() <= TOKEN_LEN_MAX);
    bytes.map(Vec::into_boxed_slice).ok_or_else(|| {
        let expected = "at most 4096 characters of the byte-level alphabet";
        TextError::format(field, format!("{name:?}"), expected)
    })
}

/// The two tokens of each merge, as bytes.
fn merges_of(merges: &Merges) -> Result<Vec<TokenPair>, TextError> {
    let pair_of = |(i, merge): (usize, &str)| {
        let field = format!("model.merges[{i}]");
        let Some((left, right)) = merge.split_once(' ') else {
            return Err(TextError::format(field, format!("{merge:?}"), "two tokens"));
        };
        Ok((bytes_of_name(&field, left)?, bytes_of_name(&field, right)?))
    };
    merges.0.iter().map(|merge| &**merge).enumerate().map(pair_of).collect()
}

/// Shortens a parser's message, which may quote a long string of the file, but keeps the position
/// at its end.
fn shorten_middle(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((what, position)) => format!("{} at line {position}", shorten(what)),
        None => shorten(message),
    }
}

// ------------------------------------------------------------------------------------------------
// The two long lists, with their limits enforced during parsing.

struct Vocab(Vec<(Box<str>, u32)>);

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vocab, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vocab;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocab, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    if entries.len() == VOCAB_SIZE_MAX {
                        let message = format!("more than {VOCAB_SIZE_MAX} tokens");
                        return Err(de::Error::custom(message));
                    }
                    entries.push(entry);
                }
                Ok(Vocab(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Merges as "left right", the older of the two notations.
#[derive(Default)]
struct Merges(Vec<Box<str>>);

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merges, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Merges;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merges, A::Error> {
                let mut merges = Vec::new();
                while let Some(Pair(merge)) = seq.next_element()? {
                    if merges.len() == N_MERGES_MAX {
                        let message = format!("more than {N_MERGES_MAX} merges");
                        return Err(de::Error::custom(message));
                    }
                    merges.push(merge);
                }
                Ok(Merges(merges))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// One merge, written "left right" or ["left", "right"].
struct Pair(Box<str>);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pair, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Pair;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a merge, as \"left right\" or [\"left\", \"right\"]")
            }

            fn visit_str<E>(self, merge: &str) -> Result<Pair, E> {
                Ok(Pair(merge.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair, A::Error> {
                let mut next = |i| {
                    let token: Option<String> = seq.next_element()?;
                    token.ok_or_else(|| de::Error::invalid_length(i, &Either))
                };
                let merge = format!("{} {}", next(0)?, next(1)?);
                match seq.next_element::<de::IgnoredAny>()? {
                    None => Ok(Pair(merge.into())),
                    Some(_) => Err(de::Error::invalid_length(3, &Either)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
