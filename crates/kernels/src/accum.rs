//! Accumulation modes: a kernel replaces its output, adds into it, or adds to another matrix.

/// How a kernel combines its result with the contents of the output.
#[derive(Clone, Copy, Debug)]
pub enum Accum<'a> {
    /// The output is overwritten with the result.
    Replace,
    /// The result is added into the output.
    Add,
    /// The output is overwritten with this matrix plus the result.
    Plus(&'a [f32]),
}

impl<'a> Accum<'a> {
    /// The mode for the part of the output that starts at element `start`.
    pub(crate) fn from(self, start: usize) -> Accum<'a> {
        match self {
            Accum::Plus(other) => Accum::Plus(&other[start..]),
            accum => accum,
        }
    }
}
