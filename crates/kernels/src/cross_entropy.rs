//! Softmax cross-entropy: the loss of every row in nats, and the gradient of its logits.

use crate::RowsMut;

/// The target of a row that does not count: loss 0, gradient 0.
pub const IGNORE: u32 = u32::MAX;

/// Loss and gradient of each row of `logits` (R, V): `dlogits = scale * (softmax - onehot)`.
///
/// Logits that are NaN, or infinite beyond repair, give a loss that is not finite.
pub fn cross_entropy(
    dlogits: RowsMut,
    loss: &mut [f32],
    logits: &[f32],
    targets: &[u32],
    scale: f32,
) {
    let (mut dlogits, rows) = (dlogits, targets.len());
    assert_eq!(dlogits.len(), logits.len(), "cross_entropy: dlogits is not (R, V)");
    cross_entropy_loss(loss, logits, targets);
    let cols = logits.len() / rows.max(1);
    for r in 0..rows {
        let row = &logits[r * cols..][..cols];
        let target = targets[r];
        if target == IGNORE {
            (0..cols).for_each(|c| dlogits.set(r * cols + c, 0.0));
            continue;
        }
        let lse = loss[r] + row[target as usize];
        for c in 0..cols {
            let onehot = if c == target as usize { 1.0 } else { 0.0 };
            dlogits.set(r * cols + c, scale * ((row[c] - lse).exp() - onehot));
        }
    }
}

/// Loss of each row of `logits` (R, V), in nats.
pub fn cross_entropy_loss(loss: &mut [f32], logits: &[f32], targets: &[u32]) {
    let rows = targets.len();
    assert_eq!(loss.len(), rows, "cross_entropy: loss is not (R)");
    let cols = logits.len() / rows.max(1);
    assert_eq!(logits.len(), rows * cols, "cross_entropy: logits is not (R, V)");
    for r in 0..rows {
        let row = &logits[r * cols..][..cols];
        if targets[r] == IGNORE {
            loss[r] = 0.0;
            continue;
        }
        assert!((targets[r] as usize) < cols, "cross_entropy: target {} of {cols}", targets[r]);
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = row.iter().map(|x| (x - max).exp()).sum();
        loss[r] = max + sum.ln() - row[targets[r] as usize];
    }
}
