//! QK norm: RMSNorm of every query and key head in fused rows, before the rotation (as in Qwen3).
//!
//! Henry et al., 2020, arXiv:2010.04245, in its RMSNorm form.

use crate::arch::{Arch, dispatch};
use crate::loops::{Cell, map, sum};
use crate::rope::Heads;
use crate::{Rows, RowsMut};

/// Values that [`qk_norm_forward`] saves for [`qk_norm_backward`].
#[derive(Debug)]
pub struct QkNormSaved<'a> {
    /// (N, (H+K)·D): the query and key heads divided by their rms, before the gain.
    pub normed: RowsMut<'a>,
    /// (N, H+K): `1 / rms` of each head.
    pub rstd: &'a mut [f32],
}

/// Normalises the query and key heads of `qkv` in place and scales each by its gain.
///
/// | argument | shape         | meaning                                             |
/// |----------|---------------|-----------------------------------------------------|
/// | `qkv`    | (N, (H+2K)·D) | query and key heads normalised in place             |
/// | `saved`  |               | overwritten with what the backward pass needs       |
/// | `weight` | (D) each      | gain of the query heads, gain of the key heads      |
/// | `heads`  |               | H, K and D                                          |
/// | `eps`    |               | added to the mean square, so that 0 stays finite    |
///
/// # Panics
/// If a length disagrees with its shape.
pub fn qk_norm_forward(
    qkv: &mut [f32],
    saved: Option<QkNormSaved>,
    weight: [&[f32]; 2],
    heads: Heads,
    eps: f32,
) {
    check("qk_norm_forward", qkv.len(), weight, heads);
    let Some(saved) = saved else {
        return dispatch!(arch => forward(arch, qkv, None::<(&mut [f32], _)>, weight, heads, eps));
    };
    let n = qkv.len() / heads.qkv_dim() * heads.n_query_key();
    assert_eq!(saved.rstd.len(), n, "qk_norm_forward: rstd is not (N, H+K)");
    assert_eq!(
        saved.normed.len(),
        n * heads.head_dim,
        "qk_norm_forward: normed is not (N, (H+K)*D)"
    );
    dispatch!(arch => match saved.normed {
        RowsMut::F32(n) => forward(arch, qkv, Some((n, saved.rstd)), weight, heads, eps),
        RowsMut::Bf16(n) => forward(arch, qkv, Some((n, saved.rstd)), weight, heads, eps),
    })
}

/// Backward of [`qk_norm_forward`]: updates the gradients of the query and key heads in place.
///
/// With `g = d * weight`: `dweight += sum of d * normed` and `d = rstd * (g - normed * mean(g * normed))`.
///
/// # Panics
/// If a length disagrees with its shape.
pub fn qk_norm_backward(
    dqkv: &mut [f32],             // (N, (H+2K)·D), changed in place; value heads stay
    dweight_acc: [&mut [f32]; 2], // (D) each: query gain, key gain
    normed: Rows,                 // (N, (H+K)·D), from the forward pass
    rstd: &[f32],                 // (N, H+K), from the forward pass
    weight: [&[f32]; 2],          // (D) each
    heads: Heads,
) {
    check("qk_norm_backward", dqkv.len(), weight, heads);
    let n = dqkv.len() / heads.qkv_dim() * heads.n_query_key();
    assert_eq!(rstd.len(), n, "qk_norm_backward: rstd is not (N, H+K)");
    assert_eq!(normed.len(), n * heads.head_dim, "qk_norm_backward: normed is not (N, (H+K)*D)");
    for dweight_acc in &dweight_acc {
        assert_eq!(dweight_acc.len(), heads.head_dim, "qk_norm_backward: dweight_acc is not (D)");
    }
    dispatch!(arch => match normed {
        Rows::F32(normed) => backward(arch, dqkv, dweight_acc, normed, rstd, weight, heads),
        Rows::Bf16(normed) => backward(arch, dqkv, dweight_acc, normed, rstd, weight, heads),
    })
}

fn check(name: &str, len: usize, weight: [&[f32]; 2], heads: Heads) {
    assert!(len.is_multiple_of(heads.qkv_dim()), "{name}: qkv is not (N, (H+2K)*D)");
    for weight in weight {
        assert_eq!(weight.len(), heads.head_dim, "{name}: a weight is not (D)");
    }
}

#[inline(always)]
fn forward<A: Arch, C: Cell>(
    arch: A,
    qkv: &mut [f32],
    mut saved: Option<(&mut [C], &mut [f32])>,
    weight: [&[f32]; 2],
    heads: Heads,
    eps: f32,
) {
    let (dim, n) = (heads.head_dim, heads.n_query_key());
    for (r, row) in qkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            let weight = weight[(h >= heads.n_heads) as usize];
            let mean_square = sum(arch, &*head, dim, |x| x * x) / dim as f32;
            let rstd = 1.0 / (mean_square + eps).sqrt();
            if let Some((saved_normed, saved_rstd)) = &mut saved {
                let i = r * n + h;
                saved_rstd[i] = rstd;
                map(arch, [&mut saved_normed[i * dim..][..dim]], &*head, |_, x| [x * rstd]);
            }
            map(arch, [head], weight, |[x], w| [w * (x * rstd)]);
        }
    }
}

#[inline(always)]
fn backward<A: Arch, C: Cell>(
    arch: A,
    dqkv: &mut [f32],
    dweight_acc: [&mut [f32]; 2],
    normed: &[C],
    rstd: &[f32],
    weight: [&[f32]; 2],
    heads: Heads,
) {
    let (dim, n) = (heads.head_dim, heads.n_query_key());
    for (r, row) in dqkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
        for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
            let (i, which) = (r * n + h, (h >= heads.n_heads) as usize);
            let (normed, weight, rstd) = (&normed[i * dim..][..dim], weight[which], rstd[i]);
            let total = sum(arch, (&*head, normed, weight), dim, |(d, n, w)| d * w * n);
            let mean_gn = total / dim as f32;
            let dweight_acc = &mut *dweight_acc[which];
            map(arch, [head, dweight_acc], (normed, weight), |[d, dw], (n, w)| {
                [rstd * arch.mul_add(-n, mean_gn, d * w), arch.mul_add(d, n, dw)]
            });
        }
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::rmsnorm::naive::{rmsnorm_backward, rmsnorm_forward};
    use crate::rope::Heads;
    use crate::scalar::Scalar;

    /// Definition of [`super::qk_norm_forward`]: [`rmsnorm_forward`] of every query and key head.
    pub fn qk_norm_forward<S: Scalar>(
        qkv: &mut [S],
        normed: &mut [S],
        rstd: &mut [S],
        weight: [&[S]; 2],
        heads: Heads,
        eps: f64,
    ) {
        let (dim, n) = (heads.head_dim, heads.n_query_key());
        for (r, row) in qkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
            for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
                let (i, x) = (r * n + h, head.to_vec());
                let weight = weight[(h >= heads.n_heads) as usize];
                rmsnorm_forward(head, &mut rstd[i..=i], &x, weight, eps);
                for c in 0..dim {
                    normed[i * dim + c] = x[c] * rstd[i];
                }
            }
        }
    }

    /// Definition of [`super::qk_norm_backward`]: [`rmsnorm_backward`] of every query and key head.
    pub fn qk_norm_backward<S: Scalar>(
        dqkv: &mut [S],
        dweight_acc: [&mut [S]; 2],
        normed: &[S],
        rstd: &[S],
        weight: [&[S]; 2],
        heads: Heads,
    ) {
        let (dim, n) = (heads.head_dim, heads.n_query_key());
        for (r, row) in dqkv.chunks_exact_mut(heads.qkv_dim()).enumerate() {
            for (h, head) in row.chunks_exact_mut(dim).take(n).enumerate() {
                let (i, which) = (r * n + h, (h >= heads.n_heads) as usize);
                let x: Vec<S> = normed[i * dim..][..dim].iter().map(|&n| n / rstd[i]).collect();
                let dy = head.to_vec();
                let rstd = &rstd[i..=i];
                rmsnorm_backward(head, dweight_acc[which], &dy, &x, weight[which], rstd);
            }
        }
    }
}
