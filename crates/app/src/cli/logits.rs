//! The logits of a text's first tokens, in a file that other programs can compare with.

use super::model::Opened;
use anyhow::Result;
use engine::checkpoint::{RealFs, SaveError, TensorRef, commit_file, write_tensors};
use engine::generate::Session;
use engine::head::full;
use engine::model::{LaneBuffers, MicroShape, forward};
use kernels::{Pool, Precision};
use std::path::Path;

/// Writes a safetensors file with what the model makes of `tokens`, T of them at most its context:
///
/// - `ids` (T): the tokens, in f32, which holds every id exactly since vocabularies end at 2^20;
/// - `logits` (T, V): of the forward pass that training and evaluation take;
/// - `decoded` (T, V): of the same tokens one by one against a key/value cache, as generation does.
///
/// # Errors
/// If a logit is not finite, or `path` cannot be written.
pub fn dump(
    path: &Path,
    opened: &Opened,
    tokens: &[u32],
    precision: Precision,
    pool: &mut Pool,
) -> Result<()> {
    let (layout, model) = (opened.model.layout(), opened.model.model());
    let (t, v) = (tokens.len(), layout.config.vocab_size);
    // All rows in one block of the loss, so that it leaves every row's logits behind.
    let shape = MicroShape { head_rows: t, ..MicroShape::new(&layout.config, t, 1, precision) };
    let mut lane = LaneBuffers::new(layout, shape, false);
    forward(model, tokens, None, &mut lane);
    full::loss(model, tokens, &mut lane); // of no interest, so any targets do
    let (head, _, _) = lane.head(t);

    let mut session = Session::new(layout, precision, t, pool.threads());
    let mut decoded = Vec::with_capacity(t * v);
    for token in tokens {
        decoded.extend_from_slice(session.feed(model, pool, &[*token])?);
    }
    let ids: Vec<f32> = tokens.iter().map(|id| *id as f32).collect();
    let tensor = |name: &str, shape: &[usize], data| TensorRef {
        name: name.to_string(),
        shape: shape.to_vec(),
        data,
    };
    let tensors = [
        tensor("ids", &[t], &ids),
        tensor("logits", &[t, v], &*head.logits),
        tensor("decoded", &[t, v], &decoded),
    ];
    let mut bytes = Vec::new();
    let mut append = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let failed = |source| SaveError::Io { doing: "write", path: path.to_owned(), source };
    write_tensors(&tensors, &mut append, &failed)?;
    Ok(commit_file(&RealFs, path, &bytes)?)
}
