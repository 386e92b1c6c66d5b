//! Word vector tests: orthonormal directions, mutual information by hand, words of similar use.

use super::*;
use kernels::rng::Purpose;

/// Nonzero columns of (rows, [`WORD_DIM`]) are orthonormal.
fn worst_angle(matrix: &[f32]) -> (f64, usize) {
    let column = |c: usize| matrix.iter().skip(c).step_by(WORD_DIM).map(|x| f64::from(*x));
    let product = |a, b| column(a).zip(column(b)).map(|(a, b)| a * b).sum::<f64>();
    let held: Vec<usize> = (0..WORD_DIM).filter(|c| column(*c).any(|x| x != 0.0)).collect();
    let mut worst = 0.0f64;
    for (i, &a) in held.iter().enumerate() {
        for &b in &held[..=i] {
            worst = worst.max((product(a, b) - f64::from(u8::from(a == b))).abs());
        }
    }
    (worst, held.len())
}

#[test]
fn columns_become_orthonormal_and_dependent_ones_zero() {
    for n_rows in [0, 1, 10, 64, 65, 300] {
        let mut matrix = vec![0.0; n_rows * WORD_DIM];
        Rng::new(1, Purpose::Test, 0).fill_normal(&mut matrix, 0, 1.0);
        // The third column is twice the first.
        matrix.chunks_exact_mut(WORD_DIM).for_each(|row| row[2] = 2.0 * row[0]);
        orthonormalise(&mut matrix);
        let (worst, n_held) = worst_angle(&matrix);
        // Rounding of sums of products with a total magnitude of 1.
        assert!(worst <= (n_rows + WORD_DIM) as f64 * f64::from(f32::EPSILON), "{worst}");
        assert_eq!(n_held, n_rows.min(WORD_DIM - 1), "{n_rows} rows");
        if let [first, ..] = &mut matrix[..] {
            *first += 0.01;
            assert!(worst_angle(&matrix).0 > 1e-5, "a planted error is not detected");
        }
    }
}

#[test]
fn dot_products_are_sums_of_products() {
    for len in [0, 1, 15, 16, 17, 64, 100] {
        let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
        let b: Vec<f32> = (0..len).map(|i| (i % 5) as f32 - 2.0).collect();
        assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>());
    }
}

#[test]
fn mutual_information_matches_the_counts() {
    let tokens = [0, 1, 0, 1, 0, 1, 0, 2, 0];
    let bigrams = Bigrams::count(&tokens[..], 3).unwrap();
    let rows = mutual_information(&bigrams, &[0, 1, 2]);
    assert_eq!((rows.n_rows(), rows.n_cols()), (3, 6));
    let mut dense = vec![0.0; 18];
    let identity: Vec<f32> = (0..36).map(|i| f32::from(u8::from(i / 6 == i % 6))).collect();
    rows.multiply(&mut dense, &identity, 6, &mut Pool::new(1));
    // Of 8 pairs, 01 and 10 occur three times, 02 and 20 once; 0 occurs 4 times on either side.
    let information = |count: f64, word: f64, context: f64| (count * 8.0 / (word * context)).ln();
    let expected = [
        [0.0, information(3.0, 4.0, 3.0), information(1.0, 4.0, 1.0)],
        [information(3.0, 3.0, 4.0), 0.0, 0.0],
        [information(1.0, 1.0, 4.0), 0.0, 0.0],
    ];
    for (row, expected) in dense.chunks_exact(6).zip(&expected) {
        for side in [0..3, 3..6] {
            for (found, expected) in row[side].iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() <= f64::from(f32::EPSILON));
            }
        }
    }
}

#[test]
fn words_of_similar_use_have_similar_vectors() {
    // Classes follow each other in a ring of five; words of a class are drawn at random.
    let rng = Rng::new(2, Purpose::Test, 0);
    let tokens: Vec<u32> = (0..20_000).map(|i| (i % 5 * 10 + rng.below_at(i, 10)) as u32).collect();
    let bigrams = Bigrams::count(&tokens[..], 51).unwrap();
    let words: Vec<u32> = (0..51).collect();
    let mut goes_on = |_, _| true;
    let mut watch = Watch::new(N_PASSES, &mut goes_on);
    let vectors = word_vectors(&bigrams, &words, &rng, &mut Pool::new(2), &mut watch).unwrap();
    let cosine = |a: usize, b: usize| {
        dot(&vectors[a * WORD_DIM..][..WORD_DIM], &vectors[b * WORD_DIM..][..WORD_DIM])
    };
    for a in 0..50 {
        assert!((cosine(a, a) - 1.0).abs() <= WORD_DIM as f32 * f32::EPSILON);
        for b in 0..50 {
            assert_eq!(cosine(a, b) > 0.5, a / 10 == b / 10, "words {a} and {b}");
        }
    }
    assert_eq!(cosine(50, 50), 0.0, "a word that does not occur has no direction");
}
