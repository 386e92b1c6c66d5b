//! Parsers under test: the only file of this crate that knows them.

use engine::checkpoint::Manifest;
use engine::disk::RealFs;
use engine::formats::{TensorFile, parse_config};
use std::path::Path;
use text::corpus::{TokenFile, TokenSource};
use text::tokenizer::Tokenizer;

/// Most values of a tensor or ids of a text that are read after the header was accepted.
const READ_MAX: usize = 1 << 20;

/// A parser: returns whether it accepts these bytes, which are also in the file at this path.
pub type Parse = fn(&Path, &[u8]) -> bool;

/// A parser of files.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the folder with the target's valid files.
    pub name: &'static str,
    /// The parser.
    pub parse: Parse,
    /// Repairs the checksums, so that mutations reach the code behind them.
    pub repair: fn(&mut Vec<u8>),
}

/// Every parser of a file that others may have written or damaged.
pub const TARGETS: [Target; 5] = [
    Target { name: "safetensors", parse: safetensors, repair: |_| {} },
    Target { name: "tokenizer", parse: tokenizer, repair: |_| {} },
    Target { name: "config", parse: config, repair: |_| {} },
    Target { name: "manifest", parse: manifest, repair: repair_manifest },
    Target { name: "tokens", parse: tokens, repair: |bytes| repair_tokens(bytes) },
];

fn safetensors(path: &Path, _: &[u8]) -> bool {
    let Ok(mut file) = TensorFile::open(&RealFs, path) else { return false };
    let tensors = file.tensors().to_vec();
    for tensor in tensors.iter().filter(|tensor| tensor.len() <= READ_MAX) {
        // A tensor that cannot be read is a separate error; the header was accepted.
        let _ = file.read(&tensor.name, &tensor.shape, &mut vec![0.0; tensor.len()]);
    }
    true
}

fn tokenizer(_: &Path, bytes: &[u8]) -> bool {
    let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return false };
    let ids = tokenizer.encode("The cat's 12 dogs\n\u{e9}\u{4e16}");
    let _ = tokenizer.decode(&ids);
    true
}

fn config(path: &Path, bytes: &[u8]) -> bool {
    parse_config(bytes, path).is_ok()
}

fn manifest(path: &Path, bytes: &[u8]) -> bool {
    Manifest::from_bytes(bytes, path).is_ok()
}

/// The last line but one of a manifest holds the hash of everything before it.
fn repair_manifest(bytes: &mut Vec<u8>) {
    const BEFORE: &[u8] = b",\n  \"checksum\": \"";
    if let Some(end) = bytes.windows(BEFORE.len()).rposition(|part| part == BEFORE) {
        bytes.truncate(end);
        let hash = blake3::hash(bytes).to_hex();
        bytes.extend([BEFORE, hash.as_bytes(), b"\"\n}\n"].concat());
    }
}

fn tokens(path: &Path, _: &[u8]) -> bool {
    let Ok(file) = TokenFile::open(path) else { return false };
    let mut ids = vec![0; file.len().min(READ_MAX)];
    file.read(0, &mut ids);
    true
}

/// The header holds the hash of the tokens, then its own hash.
fn repair_tokens(bytes: &mut [u8]) {
    if let Some((header, tokens)) = bytes.split_at_mut_checked(160) {
        header[96..128].copy_from_slice(blake3::hash(tokens).as_bytes());
        let hash = blake3::hash(&header[..128]);
        header[128..].copy_from_slice(hash.as_bytes());
    }
}
