//! Definition tests: every kernel on each instruction set, in both formats, at odd sizes.

use crate::ops::check::Compared;
use crate::ops::constants;
use crate::ops::inputs::Random;
use crate::ops::{self, Op};
use crate::paths::{PRECISIONS, on_every_isa, seed};
use std::collections::BTreeMap;

/// Random shapes tried per kernel, format and instruction set.
pub const N_SHAPES: usize = 60;

/// Runs `test` on every output of an object's kernels over random shapes, on the active path.
pub fn for_each_output(op: &Op, n_shapes: usize, mut test: impl FnMut(Compared)) {
    let seed = seed();
    for precision in PRECISIONS {
        let mut random = Random(seed);
        for _ in 0..n_shapes {
            (op.compare)(&mut random, precision).into_iter().for_each(&mut test);
        }
    }
}

#[test]
fn kernels_match_their_definitions() {
    on_every_isa(|isa| {
        for op in ops::ALL {
            for_each_output(&op, N_SHAPES, |output| {
                assert_eq!(output.mismatch(), None, "{}", isa.name());
            });
        }
    });
}

/// Of single planted errors, the checks notice four in five per output, 19 in 20 per family, and for
/// most outputs all but one in a hundred; the rest hide where large terms cancel.
#[test]
fn checks_notice_planted_errors() {
    on_every_isa(|isa| {
        for op in ops::ALL {
            let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
            for_each_output(&op, 6, |mut output| {
                let (unseen, planted) = output.unseen_errors();
                let count = counts.entry((output.what, output.planted.to_bits())).or_default();
                *count = (count.0 + unseen, count.1 + planted);
            });
            let (mut all_unseen, mut all) = (0, 0);
            for ((output, _), (unseen, planted)) in counts {
                assert!(planted > 0, "{output:?} is empty");
                assert!(5 * unseen <= planted, "{} {output:?}: {unseen} of {planted}", isa.name());
                (all_unseen, all) = (all_unseen + unseen, all + planted);
            }
            assert!(20 * all_unseen <= all, "{}: {all_unseen} of {all}", isa.name());
        }
    });
}

/// A constant that is wrong by a twentieth is noticed: the cases reach the range in which it matters.
#[test]
fn each_constant_matters() {
    let mut n_constants = 0;
    for op in ops::ALL {
        for name in constants::known(|| for_each_output(&op, N_SHAPES, drop)) {
            let (mut n_noticed, function) = (0, name.split(' ').next());
            constants::with_wrong(name, || {
                for_each_output(&op, N_SHAPES, |output| {
                    let is_own = output.what.split(' ').next() == function;
                    n_noticed += usize::from(is_own && output.mismatch().is_some());
                });
            });
            assert!(n_noticed >= 3, "{name}: {n_noticed} cases notice that it is wrong");
            n_constants += 1;
        }
    }
    assert!(n_constants >= 18, "{n_constants}");
}
