//! Dropout whose mask is a pure function of a key and the element's index: nothing is stored.

/// Which elements are dropped: element `i` is, if `hash(key, i)` falls below `rate`.
#[derive(Clone, Copy, Debug)]
pub struct DropMask {
    /// Names this use of dropout: seed, step, layer and place, mixed by the caller.
    pub key: u64,
    /// Probability of being dropped, in `[0, 1)`.
    pub rate: f32,
}

impl DropMask {
    /// The factor of element `i`: 0, or `1 / (1 - rate)`.
    fn factor(self, i: usize) -> f32 {
        let (low, high) = (self.key as u32, (self.key >> 32) as u32);
        let mut h = (i as u32).wrapping_mul(0x9e37_79b1) ^ low;
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d).wrapping_add(high);
        h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
        h ^= h >> 16;
        if h as f64 >= self.rate as f64 * 4294967296.0 { 1.0 / (1.0 - self.rate) } else { 0.0 }
    }
}

/// `out = x + drop(branch)`: a residual connection around a branch with dropout at its end.
pub fn dropout_add(out: &mut [f32], x: &[f32], branch: &[f32], mask: DropMask) {
    for i in 0..out.len() {
        out[i] = x[i] + mask.factor(i) * branch[i];
    }
}

/// Backward of [`dropout_add`] for the branch: `dbranch = drop(dy)` with the same mask.
pub fn dropout_backward(dbranch: &mut [f32], dy: &[f32], mask: DropMask) {
    for i in 0..dbranch.len() {
        dbranch[i] = mask.factor(i) * dy[i];
    }
}
