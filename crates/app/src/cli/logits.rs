//! Logits of a text's first tokens, written to a file for comparison with other programs.

use anyhow::Result;
use engine::disk::{RealFs, SaveError, commit_file};
use engine::formats::{LoadedModel, TensorRef, write_tensors};
use engine::generate::Session;
use engine::model::{Lane, MicroShape, Model, forward};
use kernels::{Pool, Precision};
use std::path::Path;

/// Writes the logits of `tokens` to a safetensors file; T tokens, at most the context length:
///
/// - `ids` (T): the tokens, in f32, which is exact since vocabularies have at most 2^20 tokens;
/// - `logits` (T, V): from the forward pass of training and evaluation; log-probabilities if the
///   output layer is not the full softmax;
/// - `decoded` (T, V): from decoding the same tokens one by one with a key/value cache.
///
/// # Errors
/// If a logit is not finite, or `path` cannot be written.
pub fn dump(
    path: &Path,
    opened: &LoadedModel,
    tokens: &[u32],
    precision: Precision,
    pool: &mut Pool,
) -> Result<()> {
    let (layout, model) = (opened.model.layout(), opened.model.model());
    let (t, v) = (tokens.len(), layout.config.vocab_size);
    let logits = logits(model, tokens, pool);
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
        tensor("logits", &[t, v], &logits),
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

/// (T, V) logits from the forward pass of training and evaluation.
fn logits(model: Model, tokens: &[u32], pool: &mut Pool) -> Vec<f32> {
    let (precision, m) = (model.packed.precision(), &model.layout.config);
    let shape = MicroShape::new(m, tokens.len(), 1, precision);
    let mut lane = Lane::new(model.layout, shape, false);
    lane.begin_micro_batch(1).0.copy_from_slice(tokens);
    forward(model, None, &mut lane);
    let mut predictor = model.layout.head.predictor(precision);
    predictor.prepare(model.weights(), lane.output_input(), pool);
    let mut logits = Vec::with_capacity(tokens.len() * m.vocab_size);
    for i in 0..tokens.len() {
        let next = predictor.distribution(model.weights(), lane.output_input(), i, pool);
        logits.extend_from_slice(next.into_logits());
    }
    logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::formats::TensorFile;
    use engine::head::HeadConfig;
    use engine::model::{InputLayer, OwnedModel};
    use engine::model::{Layout, ModelConfig, init_params};
    use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

    /// Both paths are in the file, and they agree as closely as they must with transformers.
    #[test]
    fn both_paths_are_written_and_agree() {
        let options = TrainOptions::new(TokenizerKind::Char);
        let text = "to be or not to be ".repeat(20);
        let tokenizer = Tokenizer::train(&options, &[&text], &mut Control::threads(1)).unwrap();
        let vocab_size = tokenizer.vocab_size();
        let factor = HeadConfig::Factor { class_starts: vec![0, 5, vocab_size as u32] };
        for head in [HeadConfig::Full, factor, HeadConfig::Adaptive { cutoffs: vec![3, 5] }] {
            let (tie_embeddings, usual) =
                (head.can_be_tied(), ModelConfig::new(vocab_size, 32, 2, 2));
            let config = ModelConfig { seq_len: 16, tie_embeddings, head, ..usual };
            let layout = Layout::new(&config).unwrap();
            let params = init_params(&layout, 1);
            let mut pool = Pool::new(2);
            let inputs = InputLayer::new(&layout, None, None);
            let model = OwnedModel::new(layout, params, inputs, Precision::F32, &mut pool);
            let opened = LoadedModel {
                model,
                tokenizer: tokenizer.clone(),
                text_ends: Vec::new(),
                folder: Default::default(),
            };

            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("logits.safetensors");
            let tokens: Vec<u32> = (0..13).map(|i| i * 7 % vocab_size as u32).collect();
            dump(&path, &opened, &tokens, Precision::F32, &mut pool).unwrap();

            let mut file = TensorFile::open(&RealFs, &path).unwrap();
            let mut ids = vec![0.0; 13];
            let (mut logits, mut decoded) =
                (vec![0.0; 13 * vocab_size], vec![0.0; 13 * vocab_size]);
            file.read("ids", &[13], &mut ids).unwrap();
            file.read("logits", &[13, vocab_size], &mut logits).unwrap();
            file.read("decoded", &[13, vocab_size], &mut decoded).unwrap();
            assert!(ids.iter().zip(&tokens).all(|(id, token)| *id == *token as f32));
            let difference = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            // The target of the specification for logits against transformers.
            assert!(difference(&logits, &decoded) <= 1e-4);
            // Rows are not mixed up: a row and the next are far apart.
            assert!(difference(&logits[vocab_size..], &decoded) > 1e-2);
        }
    }
}
