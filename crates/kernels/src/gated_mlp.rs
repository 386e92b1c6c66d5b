//! The gate of the feed-forward block: `h = silu(gate) * up` (SwiGLU, Shazeer 2020).

use crate::{Rows, RowsMut};

/// Gates each row: `h` (N, F) from `gate_up` (N, 2F), gate first; `saved` gets a copy of `gate_up`.
pub fn swiglu_forward(h: RowsMut, saved: Option<RowsMut>, gate_up: &[f32], ffn_dim: usize) {
    let mut h = h;
    assert_eq!(gate_up.len(), 2 * h.len(), "swiglu_forward: gate_up is not (N, 2F)");
    if let Some(saved) = saved {
        crate::rows::store_rows(saved, gate_up);
    }
    for (r, row) in gate_up.chunks_exact(2 * ffn_dim).enumerate() {
        for f in 0..ffn_dim {
            let (gate, up) = (row[f], row[ffn_dim + f]);
            h.set(r * ffn_dim + f, gate / (1.0 + (-gate).exp()) * up);
        }
    }
}

/// Backward of [`swiglu_forward`]: `dgate_up` (N, 2F) from `dh` (N, F) and the saved `gate_up`.
///
/// With `s = sigmoid(gate)`: `dup = dh * gate * s`, `dgate = dh * up * s * (1 + gate * (1 - s))`.
pub fn swiglu_backward(dgate_up: RowsMut, dh: &[f32], gate_up: Rows, ffn_dim: usize) {
    let mut dgate_up = dgate_up;
    assert_eq!(gate_up.len(), 2 * dh.len(), "swiglu_backward: gate_up is not (N, 2F)");
    assert_eq!(dgate_up.len(), 2 * dh.len(), "swiglu_backward: dgate_up is not (N, 2F)");
    for (r, dh) in dh.chunks_exact(ffn_dim).enumerate() {
        for f in 0..ffn_dim {
            let at = r * 2 * ffn_dim + f;
            let (gate, up) = (gate_up.get(at), gate_up.get(at + ffn_dim));
            let s = 1.0 / (1.0 + (-gate).exp());
            dgate_up.set(at, dh[f] * up * s * (1.0 + gate * (1.0 - s)));
            dgate_up.set(at + ffn_dim, dh[f] * gate * s);
        }
    }
}
