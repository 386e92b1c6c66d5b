//! K-means tests: nearest centres, caps and means by definition, and planted clusters.

use super::*;
use kernels::rng::Purpose;

fn rng(seed: u64) -> Rng {
    Rng::new(seed, Purpose::Test, 0)
}

/// Points in `n` clusters around random directions, in turn.
fn clusters(n: usize, n_points: usize) -> (Vec<f32>, Vec<f32>) {
    let mut directions = vec![0.0; n * WORD_DIM];
    rng(1).fill_normal(&mut directions, 0, 1.0);
    let mut vectors = vec![0.0; n_points * WORD_DIM];
    rng(2).fill_normal(&mut vectors, 0, 0.3);
    for (i, vector) in vectors.chunks_exact_mut(WORD_DIM).enumerate() {
        let direction = &directions[i % n * WORD_DIM..][..WORD_DIM];
        vector.iter_mut().zip(direction).for_each(|(x, d)| *x += d);
        let length = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
    }
    (vectors, (0..n_points).map(|i| 1.0 + 1000.0 / (1.0 + i as f32)).collect())
}

fn run(points: Points, limits: Limits, threads: usize) -> Vec<u32> {
    let mut goes_on = |_, _| true;
    let mut watch = Watch::new(N_ROUNDS_MAX, &mut goes_on);
    kmeans(points, limits, &rng(3), &mut Pool::new(threads), &mut watch).unwrap()
}

#[test]
fn clusters_become_classes_on_any_number_of_threads() {
    let (vectors, weights) = clusters(9, 5000);
    let points = Points { vectors: &vectors, weights: &weights };
    let limits = Limits { n_classes: 9, size_cap: 1000 };
    let class_of = run(points, limits, 1);
    for (i, class) in class_of.iter().enumerate() {
        assert_eq!(*class, class_of[i % 9], "point {i}");
    }
    let mut first = class_of[..9].to_vec();
    first.sort_unstable();
    assert_eq!(first, (0..9).collect::<Vec<_>>());
    for threads in [2, 3] {
        assert_eq!(run(points, limits, threads), class_of);
    }
}

#[test]
fn points_go_to_the_nearest_centre_below_its_cap() {
    let (vectors, weights) = clusters(4, 1500);
    let points = Points { vectors: &vectors, weights: &weights };
    let centres = &vectors[..4 * WORD_DIM];
    for size_cap in [375, 400, 1500] {
        let mut class_of = vec![u32::MAX; 1500];
        let n_changed = assign(&mut class_of, points, centres, size_cap, &mut Pool::new(2));
        assert_eq!(n_changed, 1500);
        let mut sizes = [0; 4];
        for (i, class) in class_of.iter().enumerate() {
            let cosine =
                |c: u32| dot(points.vector(i), &centres[c as usize * WORD_DIM..][..WORD_DIM]);
            let not_full = (0..4).filter(|c| sizes[*c as usize] < size_cap);
            // The two sums of 64 products round differently: each by at most an epsilon a term.
            let bound = 2.0 * WORD_DIM as f32 * f32::EPSILON;
            assert!(not_full.clone().all(|c| cosine(*class) >= cosine(c) - bound), "point {i}");
            sizes[*class as usize] += 1;
        }
        assert!(sizes.iter().all(|size| *size <= size_cap));
    }
}

#[test]
fn centres_are_weighted_mean_directions() {
    let mut vectors = vec![0.0; 3 * WORD_DIM];
    (vectors[0], vectors[WORD_DIM + 1], vectors[2 * WORD_DIM + 2]) = (1.0, 1.0, 1.0);
    let points = Points { vectors: &vectors, weights: &[3.0, 4.0, 7.0] };
    let mut centres = vec![0.5; 3 * WORD_DIM];
    mean_directions(&mut centres, points, &[1, 1, 2]);
    assert!(centres[..WORD_DIM].iter().all(|x| *x == 0.5), "a centre without points does not move");
    assert_eq!(centres[WORD_DIM..WORD_DIM + 3], [0.6, 0.8, 0.0]);
    assert_eq!(centres[2 * WORD_DIM..2 * WORD_DIM + 3], [0.0, 0.0, 1.0]);
}
