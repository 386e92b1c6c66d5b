//! Input vectors: rows of the embeddings, or composed of these and of rows of parts, and rows of
//! n-grams added.
//!
//! What stands at a place is an *input*: the token there, or in a model that composes its vectors
//! perhaps the word that ends there so far (`text::vocab::compose`). Without n-grams a vector is a function
//! of its input.

use super::forward::Model;
use super::layout::Span;
use kernels::composed::{composed_backward, composed_forward};
use kernels::embedding::{embedding_backward, embedding_forward};
use kernels::row_sums::{row_sums_backward, row_sums_forward};

/// What vectors are made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inputs<'a> {
    /// (N) what stands at each place.
    pub ids: &'a [u32],
    /// (N, K) the rows of the n-grams that end there; nothing in a model without.
    pub ngrams: &'a [u32],
}

impl<'a> Inputs<'a> {
    /// Inputs alone, without n-grams.
    pub fn alone(ids: &'a [u32]) -> Inputs<'a> {
        Inputs { ids, ngrams: &[] }
    }
}

/// Writes the vectors of `inputs` (N) to `x` (N, C).
pub(crate) fn input_forward(x: &mut [f32], model: Model, inputs: Inputs) {
    let (layout, params) = (model.layout, model.params);
    let table = layout.embed.of(params);
    match layout.parts {
        None => embedding_forward(x, table, inputs.ids),
        Some(parts) => {
            let of = model.composer().composition();
            composed_forward(x, table, parts.of(params), of, inputs.ids);
        }
    }
    if let Some(ngrams) = layout.ngrams {
        row_sums_forward(x, ngrams.of(params), inputs.ngrams, layout.config.ngrams.len());
    }
}

/// Adds the gradients `dx` (N, C) of the vectors of `inputs` into those of the tables;
/// `grads_acc` is laid out as the parameters from `start` on.
pub(super) fn input_backward(
    grads_acc: &mut [f32],
    start: usize,
    model: Model,
    dx: &[f32],
    inputs: Inputs,
) {
    let layout = model.layout;
    let place = |span: Span| span.start - start..span.end - start;
    let table = place(layout.embed);
    match layout.parts {
        None => embedding_backward(&mut grads_acc[table], dx, inputs.ids),
        Some(parts) => {
            let [dtable, dparts] = grads_acc
                .get_disjoint_mut([table, place(parts)])
                .expect("the table gives every tensor its own place");
            composed_backward(dtable, dparts, dx, model.composer().composition(), inputs.ids);
        }
    }
    if let Some(ngrams) = layout.ngrams {
        let drows = &mut grads_acc[place(ngrams)];
        row_sums_backward(drows, dx, inputs.ngrams, layout.config.ngrams.len());
    }
}
