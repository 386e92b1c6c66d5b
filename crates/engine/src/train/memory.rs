//! Memory of training: the plan of a run, made by the code that takes the memory, and its check.

use super::lanes::{Lanes, LanesSpec};
use super::optim::{AdamW, AdamWOptions, Optimizer};
use super::run::SNAPSHOT_BYTES_MAX;
use super::settings::TrainConfig;
use crate::generate::Session;
use crate::memory::{self, FIXED_BYTES, MemoryError};
use crate::model::{ConfigError, Layout, MicroShape, ModelConfig, PackedWeights};
use kernels::aligned::plan;

/// Name and bytes of what training a model takes; none of it is taken.
pub fn training_memory(
    layout: &Layout,
    lanes: &LanesSpec,
    options: AdamWOptions,
) -> Vec<(&'static str, usize)> {
    let m = &layout.config;
    plan(|| {
        let packed = PackedWeights::new(layout.packed_matrices(), lanes.shape.precision, true);
        let mut memory = vec![("parameters", layout.len * size_of::<f32>())];
        memory.extend(AdamW::new(layout, options).memory());
        memory.push(("packed weights", packed.bytes()));
        memory.push(("rotary angles", m.seq_len * m.head_dim * size_of::<f32>()));
        memory.extend(Lanes::new(layout, lanes).memory());
        memory
    })
}

/// The largest micro-batch of a run's lanes, without words that input vectors are composed of.
pub(super) fn micro_shape(model: &ModelConfig, train: &TrainConfig) -> MicroShape {
    let lane_seqs = train.batch_seqs.div_ceil(train.n_lanes);
    let shape = MicroShape::new(model, model.seq_len, lane_seqs, train.precision.kernels());
    MicroShape { distinct_inputs: train.unique_tokens, ..shape }
}

/// Name and bytes of everything that a run takes, the program itself included.
///
/// # Errors
/// As [`ModelConfig::check`].
pub(super) fn run_memory(
    model: &ModelConfig,
    train: &TrainConfig,
    n_samples: Option<usize>,
    threads: usize,
) -> Result<Vec<(&'static str, usize)>, ConfigError> {
    let layout = Layout::for_training(model, n_samples)?;
    let counts = if n_samples.is_some() { vec![0; model.vocab_size] } else { Vec::new() };
    let lanes = LanesSpec {
        shape: micro_shape(model, train),
        n_lanes: train.n_lanes,
        batch_seqs: train.batch_seqs,
        threads,
        seed: 0,
        token_counts: &counts,
    };
    let mut memory = training_memory(&layout, &lanes, train.optimizer);
    let (precision, t) = (train.precision.kernels(), model.seq_len);
    let (cache, workspace) = plan(|| Session::new(&layout, precision, t, threads)).bytes();
    memory.push(("samples", cache + workspace));
    // Parameters and two moments, unless they are saved in place.
    let state = Some(3 * layout.len * size_of::<f32>()).filter(|n| *n <= SNAPSHOT_BYTES_MAX);
    memory.push(("snapshot of a save", state.unwrap_or(0)));
    memory.push(("the program", FIXED_BYTES as usize));
    Ok(memory)
}

/// Refuses a run that does not fit into memory, and says what would fit.
///
/// # Errors
/// [`MemoryError`], and as [`ModelConfig::check`].
pub(super) fn check_memory(
    model: &ModelConfig,
    train: &TrainConfig,
    n_samples: Option<usize>,
    threads: usize,
) -> Result<Result<(), MemoryError>, ConfigError> {
    let bytes = |model: &ModelConfig, train: &TrainConfig| {
        let memory = run_memory(model, train, n_samples, threads)?;
        Ok::<_, ConfigError>(memory.iter().map(|(_, bytes)| bytes).sum::<usize>())
    };
    let Err(error) = memory::check(bytes(model, train)?, threads) else { return Ok(Ok(())) };
    let fits = |model: &ModelConfig, train: &TrainConfig| {
        bytes(model, train).is_ok_and(|bytes| memory::check(bytes, threads).is_ok())
    };
    let halves = |from: usize| std::iter::successors(Some(from / 2), |n| Some(n / 2));
    let halves = |from| halves(from).take_while(|n| *n > 0);
    let lanes = halves(train.n_lanes)
        .find(|n| fits(model, &TrainConfig { n_lanes: *n, ..train.clone() }))
        .map(|n| format!("train.n_lanes = {n}"));
    let seq_len = halves(model.seq_len)
        .find(|n| fits(&ModelConfig { seq_len: *n, ..model.clone() }, train))
        .map(|n| format!("model.seq_len = {n}"));
    let layers = halves(model.n_layers)
        .find(|n| fits(&ModelConfig { n_layers: *n, ..model.clone() }, train))
        .map(|n| format!("model.n_layers = {n}"));
    let width = halves(model.model_dim)
        .find(|dim| fits(&narrowed(model, *dim), train))
        .map(|dim| format!("model.model_dim = {dim}"));
    let mut would_fit: Vec<String> =
        [lanes, seq_len, layers, width].into_iter().flatten().collect();
    if would_fit.is_empty() {
        let both = halves(model.model_dim).zip(halves(model.n_layers).chain(std::iter::repeat(1)));
        let both = both.map(|(dim, n_layers)| ModelConfig { n_layers, ..narrowed(model, dim) });
        would_fit = both
            .into_iter()
            .find(|model| fits(model, train))
            .map(|m| {
                format!("model.model_dim = {} with model.n_layers = {}", m.model_dim, m.n_layers)
            })
            .into_iter()
            .collect();
    }
    Ok(Err(MemoryError { would_fit, ..error }))
}

/// The model at another width, its heads and feed-forward width scaled with it.
fn narrowed(model: &ModelConfig, model_dim: usize) -> ModelConfig {
    let scaled = |n: usize| (n * model_dim / model.model_dim).max(1);
    let n_kv_heads = scaled(model.n_kv_heads);
    let per_kv_head = model.n_heads / model.n_kv_heads;
    let ffn_dim = scaled(model.ffn_dim).next_multiple_of(2);
    ModelConfig {
        model_dim,
        n_heads: n_kv_heads * per_kv_head,
        n_kv_heads,
        ffn_dim,
        ..model.clone()
    }
}
