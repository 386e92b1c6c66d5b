//! Gradient tests: every backward definition against the derivative of its forward definition.
//!
//! Random shapes; the forward definition runs on complex numbers, the backward definition on f64.

use crate::ops;
use crate::ops::check::Gradient;
use crate::ops::inputs::Random;
use crate::paths::seed;

/// Shapes tried per kernel.
const N_SHAPES: usize = 250;

fn for_each_gradient(n_shapes: usize, mut test: impl FnMut(Gradient)) {
    let seed = seed();
    for op in ops::ALL {
        let mut random = Random(seed);
        for _ in 0..n_shapes {
            (op.gradients)(&mut random).into_iter().for_each(&mut test);
        }
    }
}

#[test]
fn backward_is_the_derivative_of_forward() {
    for_each_gradient(N_SHAPES, |gradient| assert_eq!(gradient.mismatch(), None));
}

#[test]
fn checks_notice_planted_errors() {
    for_each_gradient(N_SHAPES, |mut gradient| {
        assert!(gradient.notices_planted_errors(), "{} passed", gradient.what);
    });
}
