//! Sums in a fixed order, additions, scaling, and the search for numbers that are not finite.

/// The sum of squares, in f64 and in a fixed order.
pub fn sum_squares(x: &[f32]) -> f64 {
    x.iter().map(|&v| v as f64 * v as f64).sum()
}

/// Adds `src` into `dst_acc`.
pub fn add_into(dst_acc: &mut [f32], src: &[f32]) {
    assert_eq!(dst_acc.len(), src.len(), "add_into: dst_acc and src differ in length");
    for (d, s) in dst_acc.iter_mut().zip(src) {
        *d += s;
    }
}

/// Adds every one of `lanes` into `dst_acc`, in their order.
pub fn sum_lanes(dst_acc: &mut [f32], lanes: &[&[f32]]) {
    for lane in lanes {
        add_into(dst_acc, lane);
    }
}

/// Multiplies every element by `factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.iter_mut().for_each(|v| *v *= factor);
}

/// Whether no element is NaN or infinite.
pub fn all_finite(x: &[f32]) -> bool {
    x.iter().all(|v| v.is_finite())
}
