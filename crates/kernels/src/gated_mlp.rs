//! SwiGLU gate of the feed-forward block: `h = silu(gate) * up`, with `silu(x) = x * sigmoid(x)`.
//!
//! Shazeer, 2020, arXiv:2002.05202.

use crate::arch::{Arch, dispatch};
use crate::exp::sigmoid;
use crate::loops::{Cell, map};
use crate::rows::store_rows;
use crate::{Rows, RowsMut};

/// Gates each row: `h = silu(gate) * up`.
///
/// | argument  | shape   | meaning                                            |
/// |-----------|---------|----------------------------------------------------|
/// | `h`       | (N, F)  | overwritten with the gated rows                    |
/// | `saved`   | (N, 2F) | overwritten with `gate_up` in the format of `saved` |
/// | `gate_up` | (N, 2F) | each row: F numbers of the gate, then F of up      |
/// | `ffn_dim` |         | F                                                  |
///
/// Cost: an exponential and a division per element of `h`.
///
/// # Panics
/// If a length disagrees with its shape.
pub fn swiglu_forward(h: RowsMut, saved: Option<RowsMut>, gate_up: &[f32], ffn_dim: usize) {
    check("swiglu_forward", h.len(), gate_up.len(), ffn_dim);
    if let Some(saved) = &saved {
        assert_eq!(saved.len(), gate_up.len(), "swiglu_forward: saved is not (N, 2F)");
    }
    dispatch!(arch => match h {
        RowsMut::F32(h) => forward(arch, h, saved, gate_up, ffn_dim),
        RowsMut::Bf16(h) => forward(arch, h, saved, gate_up, ffn_dim),
    })
}

/// Backward of [`swiglu_forward`].
///
/// With `s = sigmoid(gate)`: `dup = dh * gate * s` and `dgate = dh * up * s * (1 + gate * (1 - s))`.
///
/// # Panics
/// If a length disagrees with its shape.
pub fn swiglu_backward(
    dgate_up: RowsMut, // (N, 2F), overwritten
    dh: &[f32],        // (N, F)
    gate_up: Rows,     // (N, 2F), as saved by the forward pass
    ffn_dim: usize,    // F
) {
    check("swiglu_backward", dh.len(), gate_up.len(), ffn_dim);
    assert_eq!(dgate_up.len(), gate_up.len(), "swiglu_backward: dgate_up is not (N, 2F)");
    dispatch!(arch => match (dgate_up, gate_up) {
        (RowsMut::F32(d), Rows::F32(x)) => backward(arch, d, dh, x, ffn_dim),
        (RowsMut::F32(d), Rows::Bf16(x)) => backward(arch, d, dh, x, ffn_dim),
        (RowsMut::Bf16(d), Rows::F32(x)) => backward(arch, d, dh, x, ffn_dim),
        (RowsMut::Bf16(d), Rows::Bf16(x)) => backward(arch, d, dh, x, ffn_dim),
    })
}

fn check(name: &str, h: usize, gate_up: usize, ffn_dim: usize) {
    assert!(ffn_dim > 0 && h.is_multiple_of(ffn_dim), "{name}: the hidden rows are not (N, F)");
    assert_eq!(gate_up, 2 * h, "{name}: gate_up is not (N, 2F)");
}

#[inline(always)]
fn forward<A: Arch, C: Cell>(
    arch: A,
    h: &mut [C],
    mut saved: Option<RowsMut>,
    gate_up: &[f32],
    ffn_dim: usize,
) {
    let rows = gate_up.chunks_exact(2 * ffn_dim);
    for (r, (h, row)) in h.chunks_exact_mut(ffn_dim).zip(rows).enumerate() {
        let (gate, up) = row.split_at(ffn_dim);
        map(arch, [h], (gate, up), |_, (gate, up)| [gate * sigmoid(arch, gate) * up]);
        if let Some(saved) = &mut saved {
            store_rows(saved.slice_mut(r * 2 * ffn_dim..(r + 1) * 2 * ffn_dim), row);
        }
    }
}

#[inline(always)]
fn backward<A: Arch, C: Cell, D: Cell>(
    arch: A,
    dgate_up: &mut [C],
    dh: &[f32],
    gate_up: &[D],
    ffn_dim: usize,
) {
    let rows = gate_up.chunks_exact(2 * ffn_dim).zip(dh.chunks_exact(ffn_dim));
    for (drow, (row, dh)) in dgate_up.chunks_exact_mut(2 * ffn_dim).zip(rows) {
        let (dgate, dup) = drow.split_at_mut(ffn_dim);
        let (gate, up) = row.split_at(ffn_dim);
        map(arch, [dgate, dup], (dh, gate, up), |_, (dh, gate, up)| {
            let s = sigmoid(arch, gate);
            let dhs = dh * s;
            [dhs * up * arch.mul_add(gate, 1.0 - s, 1.0), dhs * gate]
        });
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::scalar::Scalar;

    fn sigmoid<S: Scalar>(x: S) -> S {
        S::from_f64(1.0) / (S::from_f64(1.0) + (-x).exp())
    }

    /// Definition of [`super::swiglu_forward`].
    pub fn swiglu_forward<S: Scalar>(h: &mut [S], gate_up: &[S], ffn_dim: usize) {
        for (h, row) in h.chunks_exact_mut(ffn_dim).zip(gate_up.chunks_exact(2 * ffn_dim)) {
            for f in 0..ffn_dim {
                h[f] = row[f] * sigmoid(row[f]) * row[ffn_dim + f];
            }
        }
    }

    /// Definition of [`super::swiglu_backward`].
    pub fn swiglu_backward<S: Scalar>(dgate_up: &mut [S], dh: &[S], gate_up: &[S], ffn_dim: usize) {
        let rows = gate_up.chunks_exact(2 * ffn_dim).zip(dh.chunks_exact(ffn_dim));
        for (drow, (row, dh)) in dgate_up.chunks_exact_mut(2 * ffn_dim).zip(rows) {
            for f in 0..ffn_dim {
                let (gate, up, one) = (row[f], row[ffn_dim + f], S::from_f64(1.0));
                let s = sigmoid(gate);
                drow[f] = dh[f] * up * s * (one + gate * (one - s));
                drow[ffn_dim + f] = dh[f] * gate * s;
            }
        }
    }
}
