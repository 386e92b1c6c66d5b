//! The factored output layer: P(token) = P(class) · P(token | class), exactly normalised.
//!
//! Two softmaxes stand for one: over the classes, and over the tokens of the right class. With C
//! classes of V/C tokens a token costs C + V/C dot products instead of V (Goodman, "Classes for fast
//! maximum entropy training", 2001). The ids of a class stand side by side, so its rows are one
//! matrix; the batch's rows are sorted by the class of their targets, so that each class is one
//! small product (`members`). The softmax over classes is that of [`super::softmax`].
//!
//! All lanes' rows are sorted together: a class is worked on once, by one thread, and there is one
//! gradient of the tables with a row for each token. Nothing depends on who did what.

mod class_sort;
mod expand;
mod member_block;
mod member_scratch;
mod members;

pub use class_sort::ClassSort;
pub(crate) use expand::class_log_probabilities;
pub(super) use expand::log_softmax;
pub use expand::{Expansion, ExpansionRoom};
pub(crate) use member_block::member_logits;
pub(super) use member_block::{ClassPart, MemberGrads, add_to_rows};
pub(super) use member_scratch::Scratch;
pub use members::{LaneRows, Members, TableGrads};

use crate::model::Layout;

/// Writes the biases that make a fresh model predict the tokens' frequencies: `counts` (V).
///
/// # Panics
/// If there is not a count for each token.
pub fn unigram_biases(params: &mut [f32], layout: &Layout, counts: &[u64]) {
    let Some(factor) = &layout.factor else { return };
    assert_eq!(counts.len(), layout.config.vocab_size, "unigram_biases: a count for each token");
    // One is added, so that what was never seen is unlikely but possible.
    let seen = |range: std::ops::Range<usize>| -> f64 {
        counts[range].iter().map(|count| *count as f64 + 1.0).sum()
    };
    let total = seen(0..counts.len());
    for (class, ids) in factor.starts.windows(2).enumerate() {
        let ids = ids[0] as usize..ids[1] as usize;
        let mass = seen(ids.clone());
        factor.class_bias.of_mut(params)[class] = (mass / total).ln() as f32;
        for id in ids {
            factor.member_bias.of_mut(params)[id] = (seen(id..id + 1) / mass).ln() as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HeadConfig, ModelConfig};

    #[test]
    fn biases_are_the_logarithms_of_frequencies() {
        let mut config = ModelConfig::new(5, 8, 1, 2);
        config.head = HeadConfig::Factor { class_starts: vec![0, 2, 5] };
        let layout = Layout::new(&config).unwrap();
        let mut params = vec![0.0; layout.len];
        unigram_biases(&mut params, &layout, &[7, 1, 4, 0, 3]);
        let factor = layout.factor.as_ref().unwrap();
        let (class, member) = (factor.class_bias.of(&params), factor.member_bias.of(&params));
        for (id, expected) in [8.0, 2.0, 5.0, 1.0, 4.0f64].into_iter().enumerate() {
            let found = (class[usize::from(id >= 2)] + member[id]).exp() as f64;
            assert!((found - expected / 20.0).abs() < 1e-6, "{id}: {found}");
        }
    }
}
