//! Loop skeletons of the row kernels: element-wise map, sum, and maximum, by blocks.
//!
//! Three rules keep plain loops fast; each was found by measurement:
//!
//! * A loop writes to a local block, which is stored afterwards. The compiler then knows that inputs
//!   and outputs do not alias and needs no overlap check, which would be costly for small rows.
//! * The compiler may not reorder float sums. So a fold keeps an array of partial results and adds
//!   whole blocks of terms to it with vector instructions ([`Arch::add_block`]).
//! * Such an array is never indexed by a run-time value, which would move it from registers to memory
//!   (30 % of the time of a softmax). So the end of a row is padded to a whole block.

use crate::arch::{Arch, BLOCK, LANES, larger};
use crate::rows::f32_from_bf16;
use std::array::from_fn;
use std::ops::Range;

/// A stored element: an f32, or a `u16` that holds a bf16.
pub(crate) trait Cell: Copy + Default {
    /// The value of the element.
    fn load(self) -> f32;

    /// Writes `src`, rounded to the format, to `dst` of equal length.
    fn store<A: Arch>(arch: A, dst: &mut [Self], src: &[f32]);
}

impl Cell for f32 {
    #[inline(always)]
    fn load(self) -> f32 {
        self
    }

    #[inline(always)]
    fn store<A: Arch>(_: A, dst: &mut [f32], src: &[f32]) {
        dst.copy_from_slice(src);
    }
}

impl Cell for u16 {
    #[inline(always)]
    fn load(self) -> f32 {
        f32_from_bf16(self)
    }

    #[inline(always)]
    fn store<A: Arch>(arch: A, dst: &mut [u16], src: &[f32]) {
        arch.to_bf16(dst, src);
    }
}

/// Input of a loop: a slice, the index itself, or a tuple of inputs.
pub(crate) trait Source: Copy {
    /// One element: an f32 for a slice, a tuple for a tuple.
    type Item: Copy;

    /// The `n` elements from `start`.
    fn part(self, start: usize, n: usize) -> Self;

    /// Element `i`.
    fn get(self, i: usize) -> Self::Item;
}

impl<C: Cell> Source for &[C] {
    type Item = f32;

    #[inline(always)]
    fn part(self, start: usize, n: usize) -> Self {
        &self[start..start + n]
    }

    #[inline(always)]
    fn get(self, i: usize) -> f32 {
        self[i].load()
    }
}

/// The index of each element, modulo 2^32, counted from the stored start.
#[derive(Clone, Copy)]
pub(crate) struct Index(pub u32);

impl Source for Index {
    type Item = u32;

    #[inline(always)]
    fn part(self, start: usize, _: usize) -> Index {
        Index(self.0.wrapping_add(start as u32))
    }

    #[inline(always)]
    fn get(self, i: usize) -> u32 {
        self.0.wrapping_add(i as u32)
    }
}

impl Source for () {
    type Item = ();

    #[inline(always)]
    fn part(self, _: usize, _: usize) {}

    #[inline(always)]
    fn get(self, _: usize) {}
}

/// [`Source`] for a tuple: an element is the tuple of its members' elements.
macro_rules! tuple_source {
    ($($member:ident $n:tt),+) => {
        impl<$($member: Source),+> Source for ($($member,)+) {
            type Item = ($($member::Item,)+);

            #[inline(always)]
            fn part(self, start: usize, n: usize) -> Self {
                ($(self.$n.part(start, n),)+)
            }

            #[inline(always)]
            fn get(self, i: usize) -> Self::Item {
                ($(self.$n.get(i),)+)
            }
        }
    };
}

tuple_source!(P 0, Q 1);
tuple_source!(P 0, Q 1, R 2);
tuple_source!(P 0, Q 1, R 2, S 3);

/// Element-wise `dst = f(old dst, src)` for outputs and sources of equal length.
///
/// If `f` ignores the old value of an output, that value is not read.
#[inline(always)]
pub(crate) fn map<A: Arch, C: Cell, S: Source, const M: usize>(
    arch: A,
    mut dst: [&mut [C]; M],
    src: S,
    f: impl Fn([f32; M], S::Item) -> [f32; M],
) {
    let len = dst[0].len();
    let whole = len - len % BLOCK;
    for start in (0..whole).step_by(BLOCK) {
        map_block(arch, &mut dst, src, start..start + BLOCK, &f);
    }
    if whole < len {
        map_block(arch, &mut dst, src, whole..len, &f);
    }
}

/// One block of [`map`]: the elements `at`, at most [`BLOCK`] of them.
#[inline(always)]
fn map_block<A: Arch, C: Cell, S: Source, const M: usize>(
    arch: A,
    dst: &mut [&mut [C]; M],
    src: S,
    at: Range<usize>,
    f: &impl Fn([f32; M], S::Item) -> [f32; M],
) {
    let n = at.len();
    let mut block = [[0.0; BLOCK]; M];
    let src = src.part(at.start, n);
    let old: [&[C]; M] = from_fn(|m| &dst[m][at.clone()]);
    for i in 0..n {
        let mut y = [0.0; M];
        for m in 0..M {
            y[m] = old[m][i].load();
        }
        y = f(y, src.get(i));
        for m in 0..M {
            block[m][i] = y[m];
        }
    }
    for m in 0..M {
        C::store(arch, &mut dst[m][at.clone()], &block[m][..n]);
    }
}

/// The sum of `term(element)` over `len` elements.
#[inline(always)]
pub(crate) fn sum<A: Arch, S: Source>(
    arch: A,
    src: S,
    len: usize,
    term: impl Fn(S::Item) -> f32,
) -> f32 {
    let acc = fold(src, len, 0.0, term, |acc, terms| arch.add_block(acc, terms));
    join_lanes(acc, |a, b| a + b)
}

/// The largest element of a row, or -inf; NaN is ignored.
#[inline(always)]
pub(crate) fn largest<A: Arch>(arch: A, x: &[f32]) -> f32 {
    let none = f32::NEG_INFINITY;
    join_lanes(fold(x, x.len(), none, |x| x, |acc, x| arch.max_block(acc, x)), larger)
}

/// Folds the terms of `len` elements, block by block, into [`LANES`] partial results.
///
/// The order is fixed: partial result `l` takes terms `l`, `l + 32`, `l + 64`, ... `none` is the
/// neutral element.
#[inline(always)]
fn fold<S: Source>(
    src: S,
    len: usize,
    none: f32,
    term: impl Fn(S::Item) -> f32,
    take_in: impl Fn(&mut [f32; LANES], &[f32; BLOCK]),
) -> [f32; LANES] {
    let mut acc = [none; LANES];
    let whole = len - len % BLOCK;
    for start in (0..whole).step_by(BLOCK) {
        take_in(&mut acc, &terms(src.part(start, BLOCK), BLOCK, none, &term));
    }
    if whole < len {
        let rest = len - whole;
        take_in(&mut acc, &terms(src.part(whole, rest), rest, none, &term));
    }
    acc
}

/// The terms of `n` elements, padded with `none`.
#[inline(always)]
fn terms<S: Source>(src: S, n: usize, none: f32, f: &impl Fn(S::Item) -> f32) -> [f32; BLOCK] {
    let mut terms = [none; BLOCK];
    for i in 0..n {
        terms[i] = f(src.get(i));
    }
    terms
}

/// Combines the partial results by halving: a fixed order that suits vectors.
#[inline(always)]
fn join_lanes<T: Copy>(mut acc: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            acc[l] = join(acc[l], acc[l + width]);
        }
        width /= 2;
    }
    acc[0]
}
