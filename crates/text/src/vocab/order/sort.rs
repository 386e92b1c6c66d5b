//! Sorting by each token order.

use super::{Mark, TokenOrder};
use crate::corpus::permutation::Permutation;
use kernels::rng::{Purpose, Rng};
use lattice::curves::{hilbert, spiral};
use std::cmp::Reverse;

/// The indices of `marks` in an order; ties by ascending index. `stream` distinguishes the random
/// orders of one seed.
pub fn sorted(order: TokenOrder, marks: &[Mark], seed: u64, stream: u64) -> Vec<u32> {
    let by_count = by_falling_count(marks);
    match order {
        TokenOrder::Frequency => by_count,
        TokenOrder::Spiral => along_spiral(marks, by_count),
        TokenOrder::Hilbert => along_hilbert(marks, by_count),
        TokenOrder::Random if marks.is_empty() => by_count,
        TokenOrder::Random => {
            let permutation =
                Permutation::new(marks.len() as u64, &Rng::new(seed, Purpose::Order, stream));
            (0..marks.len() as u64).map(|i| permutation.at(i) as u32).collect()
        }
    }
}

fn by_falling_count(marks: &[Mark]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..marks.len() as u32).collect();
    order.sort_by_key(|i| Reverse(marks[*i as usize].count));
    order
}

/// Keeps each token on the ring of its frequency rank, and sorts each ring by direction.
fn along_spiral(marks: &[Mark], by_count: Vec<u32>) -> Vec<u32> {
    let position = |(rank, index): (usize, u32)| {
        (spiral::ring(rank as u64), ring_fraction(marks[index as usize].position), index)
    };
    let mut positions: Vec<_> = by_count.into_iter().enumerate().map(position).collect();
    positions.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    positions.into_iter().map(|(_, _, index)| index).collect()
}

/// The fraction of a ring of the spiral before a direction, from 0 to 1. Rings are squares that
/// begin and end at their lower right corner and run counter-clockwise.
///
/// Angles would work too, but trigonometric functions differ between machines.
fn ring_fraction([x, y]: [f64; 2]) -> f64 {
    let r = x.abs().max(y.abs());
    if r == 0.0 {
        return 0.0;
    }
    let (n_sides, step) = if x == r && y > -r {
        (0.0, y + r)
    } else if y == r {
        (1.0, r - x)
    } else if x == -r {
        (2.0, r - y)
    } else {
        (3.0, x + r)
    };
    (n_sides + step / (2.0 * r)) / 4.0
}

/// Sorts the tokens that occur along Hilbert's curve.
///
/// Each coordinate is replaced by its rank, so that tokens are evenly spread over the square and
/// along the curve.
fn along_hilbert(marks: &[Mark], by_count: Vec<u32>) -> Vec<u32> {
    let n = by_count.partition_point(|index| marks[*index as usize].count > 0);
    let level = (n as u64).next_power_of_two().ilog2();
    let ranks = [0, 1].map(|axis| {
        let mut along: Vec<u32> = (0..n as u32).collect();
        let x = |i: u32| marks[by_count[i as usize] as usize].position[axis];
        along.sort_by(|a, b| x(*a).total_cmp(&x(*b)));
        let mut ranks = vec![0; n];
        along.iter().enumerate().for_each(|(rank, i)| ranks[*i as usize] = rank as u64);
        ranks
    });
    let scaled = |rank: u64| ((rank << level) / n as u64) as u32;
    let number = |i: usize| hilbert::number(level, scaled(ranks[0][i]), scaled(ranks[1][i]));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| number(*i));
    let sorted = order.into_iter().map(|i| by_count[i]);
    sorted.chain(by_count[n..].iter().copied()).collect()
}

#[cfg(test)]
#[path = "sort_tests.rs"]
mod tests;
