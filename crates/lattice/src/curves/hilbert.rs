//! Hilbert's curve on a square grid: number to point and back (Hilbert 1891).
//!
//! A curve of order k visits each of the `2^k * 2^k` points once, from (0, 0) to (2^k - 1, 0), in
//! unit steps. Points with close numbers are close in the plane, and mostly vice versa; the spiral
//! has only the first.

/// Largest order of a curve; its numbers use all 64 bits.
pub const MAX_ORDER: u32 = 32;

/// The point with number `n` on the curve of this order.
///
/// # Panics
/// If `order` is above [`MAX_ORDER`] or the number is not below `4^order`.
pub fn position(order: u32, n: u64) -> (u32, u32) {
    check_order(order);
    assert!(order == MAX_ORDER || n >> (2 * order) == 0, "hilbert: {n} is not below 4^{order}");
    let (mut x, mut y) = (0, 0);
    // From the smallest square, one point, to the whole: each square is placed in the next larger.
    for level in 0..order {
        let quarter = (n >> (2 * level) & 3) as u32;
        let (right, upper) = (quarter >> 1, (quarter >> 1) ^ (quarter & 1));
        (x, y) = mirrored(level, right, upper, x, y);
        x |= right << level;
        y |= upper << level;
    }
    (x, y)
}

/// The number of a point on the curve of this order.
///
/// # Panics
/// If `order` is above [`MAX_ORDER`] or a coordinate is not below `2^order`.
pub fn number(order: u32, x: u32, y: u32) -> u64 {
    check_order(order);
    let is_inside = order == MAX_ORDER || (x | y) >> order == 0;
    assert!(is_inside, "hilbert: ({x}, {y}) is outside of a grid of 2^{order}");
    let (mut x, mut y, mut n) = (x, y, 0);
    for level in (0..order).rev() {
        let (right, upper) = (x >> level & 1, y >> level & 1);
        // The quarters in the order of the curve: lower left, upper left, upper right, lower right.
        n = n << 2 | u64::from(right << 1 | (right ^ upper));
        (x, y) = (x & mask(level), y & mask(level));
        (x, y) = mirrored(level, right, upper, x, y);
    }
    n
}

/// Mirrors a point of a quarter so that the quarter's curve connects to its neighbours' curves.
///
/// The lower left quarter is mirrored at the diagonal, the lower right one at the antidiagonal.
/// Both are their own inverses, so both directions use this function.
fn mirrored(level: u32, right: u32, upper: u32, x: u32, y: u32) -> (u32, u32) {
    match (right, upper) {
        (0, 0) => (y, x),
        (1, 0) => (mask(level) - y, mask(level) - x),
        _ => (x, y),
    }
}

/// The largest coordinate in a square of order `level`; `level` must be below [`MAX_ORDER`].
fn mask(level: u32) -> u32 {
    (1 << level) - 1
}

fn check_order(order: u32) {
    assert!(order <= MAX_ORDER, "hilbert: the order {order} is above {MAX_ORDER}");
}

#[cfg(test)]
mod tests {
    use super::{MAX_ORDER, number, position};
    use proptest::prelude::*;

    /// The definition: four curves of half the size, in the order lower left, upper left, upper
    /// right, lower right; the first mirrored at its diagonal, the last at its antidiagonal.
    fn drawn(order: u32) -> Vec<(u32, u32)> {
        if order == 0 {
            return vec![(0, 0)];
        }
        let (quarter, half) = (drawn(order - 1), 1 << (order - 1));
        let place = |map: fn(u32, u32, u32) -> (u32, u32)| {
            quarter.iter().map(move |&(x, y)| map(x, y, half)).collect::<Vec<_>>()
        };
        [
            place(|x, y, _| (y, x)),
            place(|x, y, half| (x, y + half)),
            place(|x, y, half| (x + half, y + half)),
            place(|x, y, half| (2 * half - 1 - y, half - 1 - x)),
        ]
        .concat()
    }

    /// Whether two points are one step apart.
    fn is_step(a: (u32, u32), b: (u32, u32)) -> bool {
        u64::from(a.0.abs_diff(b.0)) + u64::from(a.1.abs_diff(b.1)) == 1
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn a_million_points_agree_with_the_definition() {
        for order in [0, 1, 2, 3, 4, 7, 10] {
            let points: Vec<(u32, u32)> =
                (0..1 << (2 * order)).map(|n| position(order, n)).collect();
            assert!(points == drawn(order), "wrong curve of order {order}");
            assert!(points.windows(2).all(|p| is_step(p[0], p[1])), "a jump in order {order}");
            for (n, &(x, y)) in points.iter().enumerate() {
                assert_eq!(number(order, x, y), n as u64);
            }
        }
        assert!(!is_step((0, 0), (1, 1)) && !is_step((3, 3), (3, 3)) && is_step((3, 4), (3, 3)));
    }

    proptest! {
        #[test]
        fn both_directions_are_inverse(order in 0..=MAX_ORDER, n: u64, x: u32, y: u32) {
            let n = if order == 0 { 0 } else { n >> (64 - 2 * order) };
            let point = position(order, n);
            prop_assert_eq!(number(order, point.0, point.1), n);
            if n > 0 {
                prop_assert!(is_step(position(order, n - 1), point));
            }
            let inside = |coordinate: u32| u64::from(coordinate) as u32 & (((1u64 << order) - 1) as u32);
            let (x, y) = (inside(x), inside(y));
            prop_assert_eq!(position(order, number(order, x, y)), (x, y));
        }
    }

    #[test]
    fn the_ends_of_the_largest_curve_are_right() {
        assert_eq!(position(MAX_ORDER, u64::MAX), (u32::MAX, 0));
        assert_eq!(number(MAX_ORDER, u32::MAX, 0), u64::MAX);
        assert_eq!(position(MAX_ORDER, 0), (0, 0));
    }

    #[test]
    #[should_panic(expected = "outside of a grid")]
    fn points_outside_are_refused() {
        number(3, 8, 0);
    }

    #[test]
    #[should_panic(expected = "not below 4^3")]
    fn numbers_outside_are_refused() {
        position(3, 64);
    }
}
