//! Definition of the whole model: plain loops, generic over the number type.

use engine::head::HeadConfig;
use engine::head::sampled::SampledTokens;
use engine::model::{LayerSlots, Layout, Matrix, Span};
use kernels::composed::naive::composed_forward;
use kernels::dropout::{DropMask, naive::dropout_add};
use kernels::embedding::naive::embedding_forward;
use kernels::gated_mlp::naive::swiglu_forward;
use kernels::qk_norm::naive::qk_norm_forward;
use kernels::rmsnorm::naive::rmsnorm_forward;
use kernels::rope::{Heads, RopeTable, naive::rope_forward};
use kernels::row_sums::naive::row_sums_forward;
use kernels::scalar::Scalar;
use text::vocab::compose::Composer;
use text::vocab::ngrams::Ngrams;

/// The mask of a block's attention (0) or MLP (1), if there is dropout.
pub type Masks<'a> = &'a dyn Fn(usize, usize) -> Option<DropMask>;

/// The sum of the losses of a micro-batch of whole sequences.
pub fn loss<S: Scalar>(
    layout: &Layout,
    (composer, ngrams): (Option<&Composer>, Option<&Ngrams>),
    params: &[S],
    tokens: &[u32],
    targets: &[u32],
    candidates: Option<&SampledTokens>,
    masks: Masks,
) -> S {
    let c = layout.config.model_dim;
    let mut x = input_vectors(layout, composer, params, tokens);
    if let (Some(span), Some(ngrams)) = (layout.inputs.ngrams, ngrams) {
        let mut rows = vec![0; tokens.len() * ngrams.n_tables()];
        let rows_of = rows.chunks_exact_mut(layout.config.seq_len * ngrams.n_tables());
        let sequences = tokens.chunks_exact(layout.config.seq_len).zip(rows_of);
        sequences.for_each(|(tokens, rows)| ngrams.rows(tokens, rows));
        row_sums_forward(&mut x, span.of(params), &rows, ngrams.n_tables());
    }
    for (l, slots) in layout.layers.iter().enumerate() {
        let branch = attention_branch(layout, slots, params, &x);
        x = add(&x, &branch, masks(l, 0));
        let branch = mlp_branch(layout, slots, params, &x);
        x = add(&x, &branch, masks(l, 1));
    }
    let x = norm(layout, &x, layout.final_norm.of(params));
    let rows = x.chunks_exact(c).zip(targets);
    S::sum(rows.map(|(x, target)| match candidates {
        None => token_loss(layout, params, x, *target),
        Some(candidates) => estimated_loss(layout, params, x, *target, candidates),
    }))
}

/// Loss of one token against candidates, except candidates that equal the target.
fn estimated_loss<S: Scalar>(
    layout: &Layout,
    params: &[S],
    x: &[S],
    target: u32,
    candidates: &SampledTokens,
) -> S {
    let matrix = output_rows(layout).of(params);
    let logit = |id: u32| dot(x, &matrix[id as usize * x.len()..][..x.len()]);
    let others = candidates.ids().iter().zip(candidates.corrections());
    let others = others.filter(|(id, _)| **id != target);
    let others = others.map(|(id, correction)| logit(*id) + S::from_f64(*correction as f64));
    let logits: Vec<S> = others.chain([logit(target)]).collect();
    loss_of(&logits, logits.len() - 1)
}

/// The loss of one token, given the output layer's input.
fn token_loss<S: Scalar>(layout: &Layout, params: &[S], x: &[S], target: u32) -> S {
    let class_of = |starts: &[u32]| starts.iter().filter(|start| **start <= target).count() - 1;
    let of = |name: &str| named(layout, name).of(params);
    match &layout.config.head {
        HeadConfig::Full => loss_of(&rows(x, output_rows(layout).of(params)), target as usize),
        HeadConfig::Factor { class_starts } => {
            let class = class_of(class_starts);
            let ids = class_starts[class] as usize..class_starts[class + 1] as usize;
            let classes = add(&rows(x, of("head.class.weight")), of("head.class.bias"), None);
            let members = output_rows(layout).of(params);
            let members = &members[ids.start * x.len()..ids.end * x.len()];
            let bias = &of("head.member.bias")[ids.clone()];
            let members = add(&rows(x, members), bias, None);
            loss_of(&classes, class) + loss_of(&members, target as usize - ids.start)
        }
        HeadConfig::Adaptive { cutoffs } => {
            let first = rows(x, of("head.first.weight"));
            if target < cutoffs[0] {
                return loss_of(&first, target as usize);
            }
            let cluster = class_of(cutoffs);
            let narrow = rows(x, of(&format!("head.tail.{cluster}.narrow.weight")));
            let members = rows(&narrow, of(&format!("head.tail.{cluster}.rows.weight")));
            loss_of(&first, cutoffs[0] as usize + cluster)
                + loss_of(&members, (target - cutoffs[cluster]) as usize)
        }
    }
}

/// Where the tensor of this name lies.
fn named(layout: &Layout, name: &str) -> Span {
    let found = layout.tensors.iter().find(|tensor| tensor.name == name);
    found.unwrap_or_else(|| panic!("no tensor {name}")).span
}

/// The output layer's rows of all tokens.
fn output_rows(layout: &Layout) -> Span {
    let is_tied = layout.config.tie_embeddings;
    named(layout, if is_tied { "model.embed_tokens.weight" } else { "lm_head.weight" })
}

/// Products of one input with each row of a matrix.
fn rows<S: Scalar>(x: &[S], matrix: &[S]) -> Vec<S> {
    matrix.chunks_exact(x.len()).map(|row| dot(x, row)).collect()
}

fn loss_of<S: Scalar>(logits: &[S], target: usize) -> S {
    log_sum_exp(logits) - logits[target]
}

fn input_vectors<S: Scalar>(
    layout: &Layout,
    composer: Option<&Composer>,
    params: &[S],
    tokens: &[u32],
) -> Vec<S> {
    let mut x = vec![S::from_f64(0.0); tokens.len() * layout.config.model_dim];
    let table = layout.inputs.embed.of(params);
    let (Some(parts), Some(composer)) = (layout.inputs.parts, composer) else {
        embedding_forward(&mut x, table, tokens);
        return x;
    };
    let mut inputs = vec![0; tokens.len()];
    let seq_len = layout.config.seq_len;
    for (tokens, inputs) in tokens.chunks_exact(seq_len).zip(inputs.chunks_exact_mut(seq_len)) {
        composer.inputs(tokens, inputs);
    }
    composed_forward(&mut x, table, parts.of(params), composer.composition(), &inputs);
    x
}

fn attention_branch<S: Scalar>(
    layout: &Layout,
    slots: &LayerSlots,
    params: &[S],
    x: &[S],
) -> Vec<S> {
    let m = &layout.config;
    let (n_heads, n_kv_heads, head_dim) = (m.n_heads, m.n_kv_heads, m.head_dim);
    let heads = Heads { n_heads, n_kv_heads, head_dim };
    let x = norm(layout, x, slots.attn_norm.of(params));
    let mut qkv = product(&x, params, slots.qkv);
    let n_rows = qkv.len() / m.qkv_dim();
    if let Some((q, k)) = slots.qk_norm {
        let n = n_rows * (n_heads + n_kv_heads);
        let mut normed = vec![S::from_f64(0.0); n * head_dim];
        let mut rstd = vec![S::from_f64(0.0); n];
        let gains = [q.of(params), k.of(params)];
        qk_norm_forward(&mut qkv, &mut normed, &mut rstd, gains, heads, m.norm_eps as f64);
    }
    let table = RopeTable::new(m.seq_len, head_dim, m.rope_theta as f64);
    rope_forward(&mut qkv, &table, heads, m.seq_len, 0);
    let sequences = qkv.chunks_exact(m.seq_len * m.qkv_dim());
    let y: Vec<S> = sequences.flat_map(|qkv| attention(qkv, heads)).collect();
    product(&y, params, slots.out)
}

/// Causal attention of one sequence; query head h reads key/value head h·K/H.
fn attention<S: Scalar>(qkv: &[S], heads: Heads) -> Vec<S> {
    let Heads { n_heads, n_kv_heads, head_dim } = heads;
    let width = (n_heads + 2 * n_kv_heads) * head_dim;
    let at = |t: usize, head: usize| &qkv[t * width + head * head_dim..][..head_dim];
    let scale = S::from_f64((1.0 / (head_dim as f32).sqrt()) as f64);
    let mut y = Vec::new();
    for t in 0..qkv.len() / width {
        for h in 0..n_heads {
            let (key, value) = (n_heads + h * n_kv_heads / n_heads, n_kv_heads);
            let score = |j| dot(at(t, h), at(j, key)) * scale;
            let scores: Vec<S> = (0..=t).map(score).collect();
            let lse = log_sum_exp(&scores);
            y.extend(
                (0..head_dim).map(|d| {
                    S::sum((0..=t).map(|j| (scores[j] - lse).exp() * at(j, key + value)[d]))
                }),
            );
        }
    }
    y
}

fn mlp_branch<S: Scalar>(layout: &Layout, slots: &LayerSlots, params: &[S], x: &[S]) -> Vec<S> {
    let ffn_dim = layout.config.ffn_dim;
    let x = norm(layout, x, slots.mlp_norm.of(params));
    let gate_up = product(&x, params, slots.gate_up);
    let mut hidden = vec![S::from_f64(0.0); gate_up.len() / 2];
    swiglu_forward(&mut hidden, &gate_up, ffn_dim);
    product(&hidden, params, slots.down)
}

fn norm<S: Scalar>(layout: &Layout, x: &[S], gains: &[S]) -> Vec<S> {
    let mut y = vec![S::from_f64(0.0); x.len()];
    let mut rstd = vec![S::from_f64(0.0); x.len() / gains.len()];
    rmsnorm_forward(&mut y, &mut rstd, x, gains, layout.config.norm_eps as f64);
    y
}

/// X·Wᵀ.
fn product<S: Scalar>(x: &[S], params: &[S], matrix: Matrix) -> Vec<S> {
    x.chunks_exact(matrix.n_in).flat_map(|x| rows(x, matrix.span.of(params))).collect()
}

fn add<S: Scalar>(x: &[S], branch: &[S], mask: Option<DropMask>) -> Vec<S> {
    let mut sum = vec![S::from_f64(0.0); x.len()];
    match mask {
        Some(mask) => dropout_add(&mut sum, x, branch, mask),
        None => sum.iter_mut().zip(x).zip(branch).for_each(|((s, x), b)| *s = *x + *b),
    }
    sum
}

fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    S::sum(a.iter().zip(b).map(|(a, b)| *a * *b))
}

fn log_sum_exp<S: Scalar>(x: &[S]) -> S {
    let largest = S::from_f64(x.iter().fold(f64::NEG_INFINITY, |max, x| max.max(x.real())));
    largest + S::sum(x.iter().map(|x| (*x - largest).exp())).ln()
}
