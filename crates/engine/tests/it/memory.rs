//! Memory: linear in the length of a sequence, and never the logits of a whole batch.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::head::LossSpec;
use engine::model::{Lane, Layout, MicroShape, ModelConfig};
use kernels::Precision;
use kernels::attention::attention_scratch_len;

const T: usize = 1024;

type Plan = Vec<(&'static str, usize)>;

/// Memory of a training lane of a small model, with its part of the output layer.
fn plan(vocab_size: usize, n_seqs: usize, seq_len: usize, precision: Precision) -> Plan {
    let config = ModelConfig { seq_len, n_kv_heads: 2, ..ModelConfig::new(vocab_size, 64, 2, 4) };
    let layout = Layout::new(&config).unwrap();
    let shape = MicroShape { n_seqs, ..MicroShape::new(&config, seq_len, n_seqs, precision) };
    let training = Some((0, &[][..]));
    let head = layout.head.loss(&LossSpec { shape: &shape, n_lanes: 1, threads: 1, training });
    Lane::new(&layout, shape, true).memory().into_iter().chain(head.memory()).collect()
}

fn bytes(plan: &Plan, name: &str) -> usize {
    plan.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("the plan lacks {name}")).1
}

fn total(plan: &Plan) -> usize {
    plan.iter().map(|(_, bytes)| bytes).sum()
}

/// Entries that more than doubled when the length doubled, and so grow faster than linearly.
fn more_than_doubled(short: &Plan, long: &Plan) -> Vec<&'static str> {
    let grew = long.iter().filter(|(name, bytes)| *bytes > 2 * self::bytes(short, name));
    grew.map(|(name, _)| *name).collect()
}

#[test]
fn a_sequence_twice_as_long_takes_at_most_twice_the_memory() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (short, long) = (plan(512, 1, T, precision), plan(512, 1, 2 * T, precision));
        assert_eq!(more_than_doubled(&short, &long), Vec::<&str>::new());
    }
}

/// The check detects a (T, T) matrix of scores of a single head.
#[test]
fn a_planted_square_matrix_is_detected() {
    let with_scores = |t: usize| {
        let mut plan = plan(512, 1, t, Precision::F32);
        let workspace = plan.iter_mut().find(|(name, _)| *name == "workspace").unwrap();
        workspace.1 += t * t * size_of::<f32>();
        plan
    };
    assert_eq!(more_than_doubled(&with_scores(T), &with_scores(2 * T)), ["workspace"]);
}

/// One sequence of 2T tokens takes as much memory as two of T, except for attention's scratch,
/// which holds a tile of one sequence's rows at a time.
#[test]
fn equal_tokens_take_equal_memory() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (two, one) = (plan(512, 2, T, precision), plan(512, 1, 2 * T, precision));
        for (name, of_two) in two.iter().filter(|(name, _)| *name != "workspace") {
            assert_eq!(*of_two, bytes(&one, name), "{name} of {}", precision.name());
        }
        let scratch = |seq_len| {
            let config = ModelConfig { n_kv_heads: 2, ..ModelConfig::new(512, 64, 2, 4) };
            let shape = MicroShape::new(&config, seq_len, 1, precision).attention();
            let floats: usize = attention_scratch_len(shape, precision);
            floats.next_multiple_of(16) * size_of::<f32>()
        };
        let (two, one) = (bytes(&two, "workspace"), bytes(&one, "workspace"));
        assert_eq!(one - two, scratch(2 * T) - scratch(T), "{}", precision.name());
    }
}

/// Only the gradients of tables with a row per token, and one block of logits with its gradient,
/// grow with the vocabulary; the logits of a whole batch would be several times larger.
#[test]
fn logits_of_a_whole_batch_are_never_stored() {
    let (n_rows, small, large) = (2 * T, 1_000, 50_257);
    let [small, large] = [small, large].map(|v| plan(v, 1, n_rows, Precision::F32));
    let logits = n_rows * 50_257 * size_of::<f32>();
    let of_output = |plan: &Plan| bytes(plan, "workspace") + bytes(plan, "output layer");
    let growth = of_output(&large) - of_output(&small);
    assert!(growth <= logits / 4, "workspace grows by {growth}, all logits are {logits} bytes");
    assert_eq!(bytes(&large, "activations"), bytes(&small, "activations"));
    let all = total(&large) - bytes(&large, "gradients");
    assert!(all < logits, "{all} bytes are planned beside gradients; all logits are {logits}");
}
