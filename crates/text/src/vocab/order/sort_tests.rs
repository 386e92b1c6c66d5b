//! Order tests: orders are permutations, the spiral sorts by frequency and then direction, and near
//! positions have near ids along Hilbert's curve.

use super::*;
use crate::corpus::permutation::check_exactly_once;
use lattice::curves::spiral::{position, ring};

/// `n` marks with Zipf's counts in no order, at random positions of the square from -1 to 1; the last
/// tenth by count does not occur.
fn marks(n: usize) -> Vec<Mark> {
    let rng = Rng::new(1, Purpose::Test, n as u64);
    let ranks: Vec<u32> = sorted(TokenOrder::Random, &vec![Mark::default(); n], 7, 7);
    let count =
        |rank: u32| if rank as usize * 10 < n * 9 { 10_000 / (u64::from(rank) + 1) } else { 0 };
    let position = |i: u64| [2 * i, 2 * i + 1].map(|word| 2.0 * rng.f64_at(word) - 1.0);
    let marks = ranks.into_iter().zip(0..);
    marks.map(|(rank, i)| Mark { count: count(rank), position: position(i) }).collect()
}

fn seen(marks: &[Mark], order: TokenOrder) -> Vec<Mark> {
    sorted(order, marks, 1, 0).into_iter().map(|i| marks[i as usize]).collect()
}

/// The first id that violates the spiral order: a token nearer to the centre than a more frequent
/// one, or before one of its ring with an earlier direction.
fn fault_of_spiral(ordered: &[Mark]) -> Option<usize> {
    let mut counts: Vec<u64> = ordered.iter().map(|mark| mark.count).collect();
    counts.sort_by_key(|count| Reverse(*count));
    let rings: Vec<u64> = (0..ordered.len() as u64).map(ring).collect();
    let of_ring = |i: usize| {
        let start = rings.partition_point(|r| *r < rings[i]);
        start..rings.partition_point(|r| *r <= rings[i])
    };
    (0..ordered.len()).find(|&i| {
        let falls = i > 0
            && rings[i] == rings[i - 1]
            && ring_fraction(ordered[i].position) < ring_fraction(ordered[i - 1].position);
        falls || !counts[of_ring(i)].contains(&ordered[i].count)
    })
}

#[test]
fn every_order_has_each_token_once_and_is_reproducible() {
    for n in [0, 1, 2, 3, 8, 9, 10, 25, 64, 100, 1000] {
        let marks = marks(n);
        for order in TokenOrder::ALL {
            let ids = sorted(order, &marks, 1, 0);
            assert_eq!(
                check_exactly_once(n, ids.iter().map(|id| u64::from(*id))),
                Ok(()),
                "{order}"
            );
            assert_eq!(ids, sorted(order, &marks, 1, 0), "{order}");
        }
    }
}

#[test]
fn random_orders_differ_by_seed_and_stream() {
    let marks = marks(100);
    let random = |seed, stream| sorted(TokenOrder::Random, &marks, seed, stream);
    assert!(random(1, 0) != random(2, 0) && random(1, 0) != random(1, 1));
}

#[test]
fn frequency_falls_and_ties_keep_their_order() {
    let mark = |count| Mark { count, ..Mark::default() };
    let marks = [2, 0, 5, 2, 5, 0, 2].map(mark);
    assert_eq!(sorted(TokenOrder::Frequency, &marks, 1, 0), [2, 4, 0, 3, 6, 1, 5]);
    assert!(
        seen(&self::marks(1000), TokenOrder::Frequency).is_sorted_by(|a, b| a.count >= b.count)
    );
}

#[test]
fn the_spiral_sorts_by_frequency_and_then_direction() {
    for n in [1, 9, 10, 49, 1000] {
        let ordered = seen(&marks(n), TokenOrder::Spiral);
        assert_eq!(fault_of_spiral(&ordered), None);
        // Up to the end of every ring the tokens are the same as by frequency.
        let by_count = seen(&marks(n), TokenOrder::Frequency);
        let mass = |marks: &[Mark]| marks.iter().map(|mark| mark.count).sum::<u64>();
        for end in (0..).map(|r: usize| (2 * r + 1).pow(2)).take_while(|end| *end < n) {
            assert_eq!(mass(&ordered[..end]), mass(&by_count[..end]), "{end}");
        }
    }
}

#[test]
fn the_check_of_the_spiral_finds_planted_faults() {
    let mut ordered = seen(&marks(1000), TokenOrder::Spiral);
    ordered.swap(500, 510); // on one ring
    assert_eq!(fault_of_spiral(&ordered), Some(501));
    let mut ordered = seen(&marks(1000), TokenOrder::Spiral);
    ordered.swap(3, 900);
    assert!(fault_of_spiral(&ordered).is_some_and(|fault| fault <= 3));
    assert!(fault_of_spiral(&seen(&marks(1000), TokenOrder::Frequency)).is_some());
}

/// The direction of each point of a ring gives its fraction of the ring.
#[test]
fn directions_agree_with_the_spiral() {
    assert_eq!(ring_fraction([0.0, 0.0]), 0.0);
    for n in 1..2_000 {
        let (r, (x, y)) = (ring(n), position(n));
        let position = n - (2 * r - 1).pow(2) + 1;
        for scale in [1.0, 0.25, 3.0] {
            let found = ring_fraction([x as f64 * scale, y as f64 * scale]);
            let expected = position as f64 / (8 * r) as f64;
            // Two roundings of numbers up to 4, then a quarter of them.
            assert!((found - expected).abs() <= 2.0 * f64::EPSILON, "{n}: {found}, {expected}");
        }
    }
}

/// Mean distance in the plane of tokens with neighbouring ids.
fn mean_step(ordered: &[Mark]) -> f64 {
    let step = |pair: &[Mark]| {
        let [dx, dy] = [0, 1].map(|axis| pair[0].position[axis] - pair[1].position[axis]);
        (dx * dx + dy * dy).sqrt()
    };
    ordered.windows(2).map(step).sum::<f64>() / (ordered.len() - 1) as f64
}

/// A thousand points of a square of side 2 are about 2 / sqrt(1000) apart. Steps along the curve
/// are longer by a small factor; steps of an order that ignores positions are about half a side.
#[test]
fn close_positions_have_close_ids_along_hilberts_curve() {
    let marks = marks(1000);
    let apart = 2.0 / 1000f64.sqrt();
    let occurring = |order| mean_step(&seen(&marks, order)[..900]);
    assert!(occurring(TokenOrder::Hilbert) < 2.0 * apart, "{}", occurring(TokenOrder::Hilbert));
    for order in [TokenOrder::Frequency, TokenOrder::Random] {
        assert!(mean_step(&seen(&marks, order)) > 0.8, "{order}");
    }
    // Neighbours on a ring have similar directions, though not distances.
    assert!(occurring(TokenOrder::Spiral) < 0.8 * occurring(TokenOrder::Frequency));
}

#[test]
fn tokens_that_do_not_occur_come_last() {
    let marks = marks(1000);
    for order in [TokenOrder::Frequency, TokenOrder::Hilbert] {
        assert!(seen(&marks, order).is_sorted_by_key(|mark| mark.count == 0), "{order}");
    }
}
