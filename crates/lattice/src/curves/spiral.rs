//! Ulam's spiral: number to point and back, exact for all 64-bit numbers.
//!
//! ```text
//!      16  15  14  13  12
//!      17   4   3   2  11
//!      18   5   0   1  10        x to the right, y upwards
//!      19   6   7   8   9
//! ```
//!
//! Ring r is the border of the square of half-width r. Its first number is `(2r - 1)^2`, on the
//! right side one above the lower right corner; it runs up, left, down and right, 2r steps each.
//! Consecutive numbers are adjacent in the plane, and low numbers lie at the centre.

/// Largest ring with 64-bit numbers; they do not fill it.
const LAST_RING: u64 = 1 << 31;

/// The ring of a number: the half-width of the square on whose border its point lies. Ring 0 has
/// one number, ring r has 8r, and the rings up to r contain the numbers below `(2r + 1)^2`.
pub fn ring(n: u64) -> u64 {
    // On ring r the integer square root is 2r - 1 or 2r.
    n.isqrt().div_ceil(2)
}

/// The point of a number: 0 at the origin, 1 at (1, 0), 2 at (1, 1).
///
/// Coordinates are at most 2^31 in absolute value; for 32-bit numbers they are at most 2^15.
pub fn position(n: u64) -> (i64, i64) {
    let ring = ring(n);
    if ring == 0 {
        return (0, 0);
    }
    let (r, side) = (ring as i64, 2 * ring); // at most 2^31, see above
    let offset = n - (side - 1) * (side - 1);
    let step = (offset % side) as i64;
    match offset / side {
        0 => (r, step + 1 - r),
        1 => (r - 1 - step, r),
        2 => (-r, r - 1 - step),
        _ => (step + 1 - r, -r),
    }
}

/// The number at a point, or `None` if it has more than 64 bits.
pub fn number(x: i64, y: i64) -> Option<u64> {
    let ring = x.unsigned_abs().max(y.unsigned_abs());
    if ring == 0 {
        return Some(0);
    }
    if ring > LAST_RING {
        return None;
    }
    let (r, side) = (ring as i64, 2 * ring);
    // Each side includes its end corner, not its start: the lower right corner ends the ring.
    let (n_sides, step) = if x == r && y > -r {
        (0, y + r - 1)
    } else if y == r {
        (1, r - 1 - x)
    } else if x == -r {
        (2, r - 1 - y)
    } else {
        (3, x + r - 1)
    };
    let first = (side - 1) * (side - 1);
    first.checked_add(n_sides * side + step as u64)
}

#[cfg(test)]
mod tests {
    use super::{number, position, ring};
    use proptest::prelude::*;

    /// The definition: walks 1, 1, 2, 2, 3, 3, ... steps, turning left after each.
    fn walked(n: usize) -> Vec<(i64, i64)> {
        let (mut x, mut y, mut dx, mut dy) = (0, 0, 1, 0);
        let mut points = Vec::with_capacity(n);
        for leg in 2.. {
            for _ in 0..leg / 2 {
                points.push((x, y));
                if points.len() == n {
                    return points;
                }
                (x, y) = (x + dx, y + dy);
            }
            (dx, dy) = (-dy, dx);
        }
        points
    }

    /// The first number whose point is not one step away from its predecessor's.
    fn first_jump(points: &[(i64, i64)]) -> Option<usize> {
        let steps = points.windows(2).map(|p| p[0].0.abs_diff(p[1].0) + p[0].1.abs_diff(p[1].1));
        steps.enumerate().find(|(_, step)| *step != 1).map(|(i, _)| i + 1)
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn a_million_points_agree_with_the_walk() {
        let points: Vec<(i64, i64)> = (0..1_000_000).map(position).collect();
        assert!(points == walked(1_000_000), "the points are not those of the walk");
        assert_eq!(first_jump(&points), None);
        for (n, &(x, y)) in points.iter().enumerate() {
            assert_eq!(number(x, y), Some(n as u64));
            assert_eq!(ring(n as u64), x.unsigned_abs().max(y.unsigned_abs()));
        }
    }

    #[test]
    fn the_check_of_steps_finds_a_planted_jump() {
        let mut points = walked(100);
        assert_eq!(first_jump(&points), None);
        points.swap(50, 60);
        assert_eq!(first_jump(&points), Some(50));
    }

    #[test]
    fn the_largest_64_bit_numbers_have_points() {
        // The last point of ring 2^31 - 1, and the first one of the next.
        let corner = (1u64 << 32).wrapping_sub(1);
        let r = (1i64 << 31) - 1;
        assert_eq!(position(corner * corner - 1), (r, -r));
        assert_eq!(position(corner * corner), (r + 1, -r));
        for n in u64::MAX - 1_000..=u64::MAX {
            let (x, y) = position(n);
            assert_eq!(number(x, y), Some(n));
        }
        let (x, y) = position(u64::MAX);
        assert_eq!(number(x - 1, y), None, "one further along the last side");
        let beyond = [(1 << 31, -(1 << 31)), (0, (1 << 31) + 1), (i64::MIN, i64::MAX)];
        assert_eq!(beyond.map(|(x, y)| number(x, y)), [None; 3]);
    }

    proptest! {
        #[test]
        fn numbers_and_points_are_inverse(n: u64, bits in 0..64u32) {
            let n = n >> bits;
            let (x, y) = position(n);
            prop_assert_eq!(number(x, y), Some(n));
            let next = position(n.saturating_sub(1));
            prop_assert_eq!(first_jump(&[next, (x, y)]), (n == 0).then_some(1));
        }

        #[test]
        fn points_and_numbers_are_inverse(x in -(1i64 << 31)..1 << 31, y: i32, bits in 0..32u32) {
            let (x, y) = (x >> bits, i64::from(y) >> bits);
            if let Some(n) = number(x, y) {
                prop_assert_eq!(position(n), (x, y));
            } else {
                prop_assert_eq!(x.abs().max(y.abs()), 1 << 31);
            }
        }
    }
}
