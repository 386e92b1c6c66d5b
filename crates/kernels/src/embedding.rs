//! Rows of the token table: read in the forward pass, added into in the backward pass.

/// Copies row `tokens[r]` of `table` (V, C) to row `r` of `x` (N, C).
pub fn embedding_forward(x: &mut [f32], table: &[f32], tokens: &[u32]) {
    if tokens.is_empty() {
        return;
    }
    let cols = x.len() / tokens.len();
    assert_eq!(x.len(), tokens.len() * cols, "embedding_forward: x is not (N, C)");
    for (x, &token) in x.chunks_exact_mut(cols).zip(tokens) {
        x.copy_from_slice(&table[token as usize * cols..][..cols]);
    }
}

/// Adds row `r` of `dx` (N, C) into row `tokens[r]` of `dtable_acc` (V, C), in the order of `r`.
pub fn embedding_backward(dtable_acc: &mut [f32], dx: &[f32], tokens: &[u32]) {
    if tokens.is_empty() {
        return;
    }
    let cols = dx.len() / tokens.len();
    assert_eq!(dx.len(), tokens.len() * cols, "embedding_backward: dx is not (N, C)");
    for (dx, &token) in dx.chunks_exact(cols).zip(tokens) {
        crate::reduce::add_into(&mut dtable_acc[token as usize * cols..][..cols], dx);
    }
}
