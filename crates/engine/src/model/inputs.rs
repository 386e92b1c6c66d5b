//! Input vectors: rows of the embeddings, or composed of these and of rows of parts.
//!
//! What stands at a place is an *input*: the token there, or in a model that composes its vectors
//! perhaps the word that ends there so far (`vocab/compose`). A vector is a function of its input.

use super::forward::Model;
use super::layout::Span;
use kernels::composed::{composed_backward, composed_forward};
use kernels::embedding::{embedding_backward, embedding_forward};

/// Writes the vectors of `inputs` (N) to `x` (N, C).
pub(crate) fn input_forward(x: &mut [f32], model: Model, inputs: &[u32]) {
    let table = model.layout.embed.of(model.params);
    match model.layout.parts {
        None => embedding_forward(x, table, inputs),
        Some(parts) => {
            let parts = parts.of(model.params);
            composed_forward(x, table, parts, model.composer().composition(), inputs);
        }
    }
}

/// Adds the gradients `dx` (N, C) of the vectors of `inputs` into those of the tables;
/// `grads_acc` is laid out as the parameters from `start` on.
pub(super) fn input_backward(
    grads_acc: &mut [f32],
    start: usize,
    model: Model,
    dx: &[f32],
    inputs: &[u32],
) {
    let place = |span: Span| span.start - start..span.end - start;
    let table = place(model.layout.embed);
    match model.layout.parts {
        None => embedding_backward(&mut grads_acc[table], dx, inputs),
        Some(parts) => {
            let [dtable, dparts] = grads_acc
                .get_disjoint_mut([table, place(parts)])
                .expect("the table gives every tensor its own place");
            composed_backward(dtable, dparts, dx, model.composer().composition(), inputs);
        }
    }
}
