//! Control classes without meaning, for comparison: frequency bins and random classes.

use super::limits::Limits;
use crate::corpus::permutation::Permutation;
use kernels::rng::Rng;

/// Cuts words, given by descending count, into bins with equal sums of square roots of counts;
/// returns the bin of each.
///
/// Classes of frequent words are therefore small. A bin also ends when it is full, and continues if
/// the remaining words would not fit into the remaining bins.
pub fn frequency_bins(counts: &[u64], limits: Limits) -> Vec<u32> {
    let Limits { n_classes, size_cap } = limits;
    let root = |count: u64| (count as f64).sqrt();
    let mut mass_left: f64 = counts.iter().map(|count| root(*count)).sum();
    let mut bin = 0;
    let mut size = 0;
    let mut mass = 0.0;
    let mut bins = Vec::with_capacity(counts.len());
    for (i, &count) in counts.iter().enumerate() {
        bins.push(bin as u32);
        size += 1;
        mass += root(count);
        let (n_left, bins_left) = (counts.len() - i - 1, n_classes - bin - 1);
        let is_heavy = mass * (bins_left + 1) as f64 >= mass_left;
        let others_fit = n_left <= bins_left * size_cap;
        if bins_left > 0 && ((is_heavy && others_fit) || size == size_cap || n_left == bins_left) {
            mass_left -= mass;
            (bin, size, mass) = (bin + 1, 0, 0.0);
        }
    }
    bins
}

/// Assigns `n_words` words to classes of equal size in random order.
pub fn random_classes(n_words: usize, n_classes: usize, rng: &Rng) -> Vec<u32> {
    if n_words == 0 {
        return Vec::new();
    }
    let order = Permutation::new(n_words as u64, rng);
    (0..n_words as u64).map(|i| (order.at(i) % n_classes as u64) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::rng::Purpose;

    fn sizes(classes: &[u32], n_classes: usize) -> Vec<usize> {
        let mut sizes = vec![0; n_classes];
        classes.iter().for_each(|class| sizes[*class as usize] += 1);
        sizes
    }

    #[test]
    fn bins_have_equal_square_root_mass() {
        let counts: Vec<u64> = (1..=10_000).map(|rank| 1_000_000 / rank).collect();
        let bins = frequency_bins(&counts, Limits { n_classes: 40, size_cap: 1000 });
        assert!(bins.is_sorted());
        let mut mass = vec![0.0; 40];
        bins.iter().zip(&counts).for_each(|(bin, n)| mass[*bin as usize] += (*n as f64).sqrt());
        // A bin ends with the word that reaches its share, so it differs by less than that word.
        let largest_word = (counts[0] as f64).sqrt();
        let mean = mass.iter().sum::<f64>() / 40.0;
        assert!(mass.iter().all(|mass| (mass - mean).abs() <= largest_word), "{mass:?}");
        let sizes = sizes(&bins, 40);
        assert!(sizes[0] < sizes[39] / 5);
    }

    #[test]
    fn bins_keep_their_cap_and_leave_none_empty() {
        for (n, n_classes, size_cap) in
            [(100, 10, 10), (100, 10, 11), (100, 10, 40), (10, 10, 1), (7, 1, 7), (0, 1, 1)]
        {
            for counts in [vec![1; n], (0..n as u64).map(|i| 1 << (40 - i.min(40))).collect()] {
                let bins = frequency_bins(&counts, Limits { n_classes, size_cap });
                let sizes = sizes(&bins, n_classes);
                assert!(sizes.iter().all(|size| *size <= size_cap), "{sizes:?}");
                assert!(n == 0 || sizes.iter().all(|size| *size > 0), "{sizes:?}");
            }
        }
    }

    #[test]
    fn random_classes_have_equal_sizes_and_depend_on_the_seed() {
        let classes = |seed| random_classes(1003, 10, &Rng::new(seed, Purpose::Test, 0));
        let sizes = sizes(&classes(1), 10);
        assert!(sizes.iter().all(|size| (100..=101).contains(size)), "{sizes:?}");
        assert_eq!(classes(1), classes(1));
        assert_ne!(classes(1), classes(2));
    }
}
