//! Cached attention equals the forward pass for any division of the positions into calls.

use crate::attention::check_forward;
use crate::ops::attention::{Text, attend, forward};
use crate::ops::inputs::{Cells, Random};
use crate::paths::{on_every_path, seed};
use kernels::Rows;
use kernels::attention::{AttentionShape, CacheShape};

/// Fused rows of random numbers.
fn fused_rows(shape: AttentionShape) -> Vec<f32> {
    Random(seed()).f32s(shape.seq_len * shape.qkv_dim(), 2.0)
}

fn shapes() -> Vec<AttentionShape> {
    // Groups of 1, 2, 3, 4, 5 and 12 heads use different tiles when decoding.
    let sizes =
        [(20, 6, 1), (2, 2, 1), (8, 3, 1), (33, 8, 2), (16, 5, 1), (128, 12, 1), (64, 2, 2)];
    sizes
        .map(|(head_dim, n_heads, n_kv_heads)| AttentionShape {
            n_heads,
            n_kv_heads,
            head_dim,
            seq_len: 150,
        })
        .into()
}

#[test]
fn any_division_into_calls_gives_the_same_bits() {
    for shape in shapes() {
        on_every_path(|isa, precision| {
            let qkv = Cells::new(&fused_rows(shape), precision);
            let (whole, lse) = forward(&qkv, shape);
            assert_eq!(check_forward(&qkv, &whole, &lse, shape), None);
            for pieces in [vec![0, 150], vec![0, 1, 2, 50, 131, 150], (0..=150).collect()] {
                let mut text = Text::new(shape, precision);
                for piece in pieces.windows(2) {
                    text.feed(qkv.rows(), piece[0]..piece[1]);
                }
                let y = Cells::new(&text.y, precision);
                assert_eq!(y, whole, "{} {precision:?} {shape:?}", isa.name());
            }
        });
    }
}

/// More than one block of keys, and f32 rows into a cache of either format.
#[test]
fn a_long_sequence_matches_the_definition() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 20, seq_len: 800 };
    on_every_path(|isa, precision| {
        let x = fused_rows(shape);
        let qkv = Cells::new(&x, precision);
        let mut text = Text::new(shape, precision);
        text.feed(Rows::F32(&x), 0..766);
        (766..769).chain(769..shape.seq_len).for_each(|t| text.feed(Rows::F32(&x), t..t + 1));
        let (whole, lse) = forward(&qkv, shape);
        let y = Cells::new(&text.y, precision);
        assert_eq!(y, whole, "{} {precision:?}", isa.name());
        assert_eq!(check_forward(&qkv, &y, &lse, shape), None);
    });
}

#[test]
fn heads_and_rows_can_be_shared_among_threads() {
    let shape = AttentionShape { n_heads: 6, n_kv_heads: 3, head_dim: 24, seq_len: 100 };
    on_every_path(|_, precision| {
        let qkv = Cells::new(&fused_rows(shape), precision);
        let mut text = Text::new(shape, precision);
        text.feed(qkv.rows(), 0..100);

        let (part, q_dim) = (CacheShape { n_heads: 2, n_kv_heads: 1, ..text.cache_shape }, 2 * 24);
        let mut last = vec![f32::NAN; shape.y_dim()];
        for (kv, y) in last.chunks_exact_mut(q_dim).enumerate() {
            let q =
                qkv.rows().slice(shape.query(99, 2 * kv).start..shape.query(99, 2 * kv + 2).start);
            let cache = &text.cache[kv * part.head_words()..][..part.head_words()];
            attend(y, q, cache, part, 99);
        }
        assert_eq!(last, text.y[99 * shape.y_dim()..]);

        let mut rows = vec![f32::NAN; 7 * shape.y_dim()];
        let q = qkv.rows().slice(40 * shape.qkv_dim()..47 * shape.qkv_dim());
        attend(&mut rows, q, &text.cache, text.cache_shape, 40);
        assert_eq!(rows, text.y[40 * shape.y_dim()..47 * shape.y_dim()]);
    });
}

/// Contents that an earlier sequence left beyond the end are not read, NaN included.
#[test]
fn a_used_cache_can_be_filled_again() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 9, seq_len: 21 };
    on_every_path(|isa, precision| {
        let qkv = Cells::new(&fused_rows(shape), precision);
        let bad = vec![f32::NAN; shape.seq_len * shape.qkv_dim()];
        let mut text = Text::new(shape, precision);
        text.feed(Rows::F32(&bad), 0..21);
        (0..21).for_each(|t| text.feed(qkv.rows(), t..t + 1));
        let (whole, _) = forward(&qkv, shape);
        assert_eq!(Cells::new(&text.y, precision), whole, "{} {precision:?}", isa.name());
    });
}

#[test]
fn a_wrong_position_is_noticed() {
    let shape = AttentionShape { n_heads: 2, n_kv_heads: 1, head_dim: 20, seq_len: 40 };
    on_every_path(|_, precision| {
        let qkv = Cells::new(&fused_rows(shape), precision);
        let mut text = Text::new(shape, precision);
        text.feed(qkv.rows(), 0..40);
        let q = qkv.rows().slice(39 * shape.qkv_dim()..40 * shape.qkv_dim());
        let y = &mut text.y[39 * shape.y_dim()..];
        attend(y, q, &text.cache, text.cache_shape, 38);
        let (_, lse) = forward(&qkv, shape);
        let y = Cells::new(&text.y, precision);
        assert!(check_forward(&qkv, &y, &lse, shape).is_some());
    });
}
