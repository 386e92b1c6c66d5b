//! What an output does with the numbers that it held before.

/// How a kernel combines its result with what is there.
#[derive(Clone, Copy, Debug)]
pub enum Accum<'a> {
    /// The output is overwritten with the result.
    Replace,
    /// The result is added into the output.
    Add,
    /// The output is overwritten with this matrix plus the result.
    Plus(&'a [f32]),
}
