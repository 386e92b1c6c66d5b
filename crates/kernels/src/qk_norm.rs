//! RMSNorm of every query and key head inside fused rows, before the rotation (as in Qwen3).

use crate::rope::Heads;
use crate::{Rows, RowsMut};

/// What [`qk_norm_forward`] keeps for [`qk_norm_backward`].
#[derive(Debug)]
pub struct QkNormSaved<'a> {
    /// (N, (H+K)·D): the heads divided by their rms, before the gain.
    pub normed: RowsMut<'a>,
    /// (N, H+K): `1 / rms` of each head.
    pub rstd: &'a mut [f32],
}

/// Normalises the query and key heads of `qkv` (N, (H+2K)·D) in place and scales them by their gain.
///
/// `weight` holds the gain of the query heads and that of the key heads, (D) each.
pub fn qk_norm_forward(
    qkv: &mut [f32],
    saved: Option<QkNormSaved>,
    weight: [&[f32]; 2],
    heads: Heads,
    eps: f32,
) {
    let (mut saved, dim, n) = (saved, heads.head_dim, heads.n_query_key());
    assert_eq!(qkv.len() % heads.qkv_dim(), 0, "qk_norm_forward: qkv is not (N, (H+2K)*D)");
    for (r, row) in qkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            let weight = weight[(h >= heads.n_heads) as usize];
            let mean_square = head.iter().map(|v| v * v).sum::<f32>() / dim as f32;
            let rstd = 1.0 / (mean_square + eps).sqrt();
            if let Some(saved) = &mut saved {
                saved.rstd[r * n + h] = rstd;
            }
            for i in 0..dim {
                let normed = head[i] * rstd;
                if let Some(saved) = &mut saved {
                    saved.normed.set((r * n + h) * dim + i, normed);
                }
                head[i] = weight[i] * normed;
            }
        }
    }
}

/// Backward of [`qk_norm_forward`]: `dqkv` in place, `dweight_acc` (query gain, key gain) added into.
pub fn qk_norm_backward(
    dqkv: &mut [f32],
    dweight_acc: [&mut [f32]; 2],
    normed: Rows,
    rstd: &[f32],
    weight: [&[f32]; 2],
    heads: Heads,
) {
    let (dim, n) = (heads.head_dim, heads.n_query_key());
    for (r, row) in dqkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            let which = (h >= heads.n_heads) as usize;
            let (normed, rstd) = (|i| normed.get((r * n + h) * dim + i), rstd[r * n + h]);
            let mut mean_gn = 0.0;
            for i in 0..dim {
                dweight_acc[which][i] += head[i] * normed(i);
                mean_gn += head[i] * weight[which][i] * normed(i) / dim as f32;
            }
            for i in 0..dim {
                head[i] = rstd * (head[i] * weight[which][i] - normed(i) * mean_gn);
            }
        }
    }
}
