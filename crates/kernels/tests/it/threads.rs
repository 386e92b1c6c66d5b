//! Thread independence: the bits of shared work do not depend on the number of threads.

use crate::ops;
use crate::paths::{on_every_path, seed};
use kernels::{Pool, Precision};

/// Numbers of threads compared with one.
const THREADS: [usize; 3] = [2, 3, 5];

/// The first number of threads whose bits differ from those of one thread.
fn differs(work: impl Fn(&mut Pool) -> Vec<f32>) -> Option<usize> {
    let bits = |threads| {
        let y = work(&mut Pool::new(threads));
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = bits(1);
    THREADS.into_iter().find(|threads| bits(*threads) != one)
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    on_every_path(|isa, precision| {
        for op in ops::ALL {
            let Some(shared) = op.shared else { continue };
            let found = differs(|pool| shared(pool, precision));
            assert_eq!(found, None, "{} {precision:?}", isa.name());
        }
    });
}

/// A sum whose order depends on the number of threads is noticed.
#[test]
fn the_check_notices_a_sum_per_thread() {
    let x = ops::inputs::Random(seed()).f32s(1000, 1.0);
    let found = differs(|pool| {
        let part = x.len().div_ceil(pool.threads());
        vec![x.chunks(part).map(|x| x.iter().sum::<f32>()).sum()]
    });
    assert!(found.is_some());
    assert!(
        ops::ALL.iter().any(|op| op.shared.is_some_and(|s| has_finite(s))),
        "nothing is shared"
    );
}

/// Whether every element was written.
fn has_finite(shared: fn(&mut Pool, Precision) -> Vec<f32>) -> bool {
    let mut y = Vec::new();
    crate::paths::on_best_isa(|| y = shared(&mut Pool::new(3), Precision::F32));
    !y.is_empty() && y.iter().all(|y| y.is_finite())
}
