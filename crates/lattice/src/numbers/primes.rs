//! Primes in ascending order: all below a limit, or the first n.

/// All primes below `limit`, in ascending order, by the sieve of Eratosthenes over odd numbers.
///
/// Uses `limit / 2` bytes of memory.
pub fn primes_below(limit: usize) -> Vec<u64> {
    if limit <= 2 {
        return Vec::new();
    }
    // Entry i is for the number 2i + 1; entry 0, for 1, is never read.
    let mut is_composite = vec![false; limit / 2];
    let mut primes = vec![2];
    for i in 1..is_composite.len() {
        if is_composite[i] {
            continue;
        }
        let p = 2 * i + 1;
        primes.push(p as u64);
        // Starts at p^2: smaller multiples have a smaller prime factor. A step of p entries is 2p.
        for multiple in (p.saturating_mul(p) / 2..is_composite.len()).step_by(p) {
            is_composite[multiple] = true;
        }
    }
    primes
}

/// The first `n` primes: `nth_primes(4)` is 2, 3, 5, 7.
pub fn nth_primes(n: usize) -> Vec<u64> {
    // From n = 6 on, the n-th prime is below n (ln n + ln ln n) (Rosser & Schoenfeld 1962, (3.13)),
    // which is below n log2 n. Up to n = 5 it is at most 11.
    let bits = n.checked_ilog2().unwrap_or(0) as usize + 1;
    let mut primes = primes_below((n * bits).max(12));
    primes.truncate(n);
    assert_eq!(primes.len(), n, "nth_primes: Rosser's bound is broken");
    primes
}

#[cfg(test)]
mod tests {
    use super::{nth_primes, primes_below};

    /// The definition: exactly two divisors.
    fn has_two_divisors(n: u64) -> bool {
        (1..=n).filter(|&d| n.is_multiple_of(d)).count() == 2
    }

    #[test]
    fn primes_below_any_limit_follow_the_definition() {
        let primes: Vec<u64> = (0..400).filter(|&n| has_two_divisors(n)).collect();
        for limit in 0..400 {
            let below: Vec<u64> = primes.iter().copied().filter(|&p| p < limit).collect();
            assert_eq!(primes_below(limit as usize), below, "limit {limit}");
        }
    }

    #[test]
    fn counts_of_primes_are_the_known_ones() {
        // The numbers of primes below powers of ten: OEIS A006880.
        for (limit, count) in [(1_000, 168), (10_000, 1_229), (100_000, 9_592), (1_000_000, 78_498)]
        {
            assert_eq!(primes_below(limit).len(), count, "below {limit}");
        }
    }

    #[test]
    fn nth_primes_are_a_prefix_of_all_primes() {
        for n in 0..300 {
            assert_eq!(nth_primes(n), primes_below(2_000)[..n]);
        }
        assert_eq!(nth_primes(10_000).last(), Some(&104_729));
        assert_eq!(nth_primes(50_000).last(), Some(&611_953));
    }
}
