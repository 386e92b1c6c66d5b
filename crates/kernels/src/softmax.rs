//! Choosing from logits: softmax of one row in place, and the index of the largest.

/// Replaces `x` by `softmax(x / temperature)`.
pub fn softmax_in_place(x: &mut [f32], temperature: f32) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in x.iter_mut() {
        *v = ((*v - max) / temperature).exp();
        sum += *v;
    }
    crate::reduce::scale(x, 1.0 / sum);
}

/// The index of the largest element, the first of equals; NaN never wins.
pub fn argmax(x: &[f32]) -> usize {
    let mut best = 0;
    for i in 1..x.len() {
        if x[i] > x[best] || x[best].is_nan() {
            best = i;
        }
    }
    best
}
