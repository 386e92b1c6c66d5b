//! Activations of a lane: tables of named buffers that define its memory.
//!
//! A line of a table gives name, format, shape and floats per row. Allocation, views and the
//! printed memory plan follow from it, so that a new activation is one line here and its use in the
//! passes.

use super::micro_shape::MicroShape;
use kernels::attention::attention_scratch_len;
use kernels::{Precision, Rows, RowsMut};

/// Buffers start at multiples of this many floats: one cache line.
const ALIGN_FLOATS: usize = 16;

/// A line of a table of buffers.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Name in the passes.
    pub name: &'static str,
    /// Its shape in the letters of [`crate::model`].
    pub shape: &'static str,
    /// Size in floats, including padding.
    pub floats: usize,
}

/// Floats of `n` numbers of the given format, rounded up to a cache line.
fn floats(format: Format, n: usize) -> usize {
    let floats = match format {
        Format::F32 => n,
        Format::Operand(Precision::F32) => n,
        Format::Operand(Precision::Bf16) => n.div_ceil(2),
    };
    floats.next_multiple_of(ALIGN_FLOATS)
}

/// Storage format of a buffer.
#[derive(Clone, Copy)]
enum Format {
    F32,
    /// Operands of matrix products.
    Operand(Precision),
}

/// View of the first `n` operands of the given format in a workspace of floats.
pub(crate) fn rows_mut(part: &mut [f32], n: usize, precision: Precision) -> RowsMut<'_> {
    match precision {
        Precision::F32 => RowsMut::F32(&mut part[..n]),
        Precision::Bf16 => RowsMut::Bf16(&mut bytemuck::cast_slice_mut(part)[..n]),
    }
}

/// Read-only version of [`rows_mut`].
pub(crate) fn rows(part: &[f32], n: usize, precision: Precision) -> Rows<'_> {
    match precision {
        Precision::F32 => Rows::F32(&part[..n]),
        Precision::Bf16 => Rows::Bf16(&bytemuck::cast_slice(part)[..n]),
    }
}

/// Splits `floats` floats off the front of `rest`.
fn take<'a>(rest: &mut &'a mut [f32], floats: usize) -> &'a mut [f32] {
    let (part, tail) = std::mem::take(rest).split_at_mut(floats);
    *rest = tail;
    part
}

/// Makes a struct of views from a table of buffers. A line is `name: format "shape" = numbers per
/// row`, where the format is `f32`, or `operand` for operands of products. `fixed` is an f32 buffer
/// whose size does not depend on the number of rows; its total size is given.
macro_rules! buffer_table {
    (
        $(#[$doc:meta])* $table:ident($s:ident) {
            $($(#[$line:meta])* $name:ident: $kind:tt $shape:literal = $width:expr;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $table<'a> {
            $($(#[$line])* pub $name: buffer_table!(@type $kind, 'a),)*
        }

        impl<'a> $table<'a> {
            /// The table.
            pub fn buffers($s: &MicroShape) -> Vec<Buffer> {
                vec![$(Buffer {
                    name: stringify!($name),
                    shape: $shape,
                    floats: buffer_table!(@floats $kind, $s, $width),
                }),*]
            }

            /// Total floats of the buffers.
            pub fn floats($s: &MicroShape) -> usize {
                0 $(+ buffer_table!(@floats $kind, $s, $width))*
            }

            /// Views of the buffers in `memory`, each as long as `n_rows` rows need.
            pub fn of(mut memory: &'a mut [f32], $s: &MicroShape, n_rows: usize) -> Self {
                $(
                    let part = take(&mut memory, buffer_table!(@floats $kind, $s, $width));
                    let $name = buffer_table!(@view $kind, part, $s, n_rows, $width);
                )*
                $table { $($name),* }
            }
        }
    };
    (@type f32, $a:lifetime) => { &$a mut [f32] };
    (@type fixed, $a:lifetime) => { &$a mut [f32] };
    (@type operand, $a:lifetime) => { RowsMut<$a> };
    (@floats f32, $s:ident, $width:expr) => { floats(Format::F32, $s.n_rows() * $width) };
    (@floats fixed, $s:ident, $width:expr) => { floats(Format::F32, $width) };
    (@floats operand, $s:ident, $width:expr) => {
        floats(Format::Operand($s.precision), $s.n_rows() * $width)
    };
    (@view f32, $part:ident, $s:ident, $n:ident, $width:expr) => { &mut $part[..$n * $width] };
    (@view fixed, $part:ident, $s:ident, $n:ident, $width:expr) => { &mut $part[..$width] };
    (@view operand, $part:ident, $s:ident, $n:ident, $width:expr) => {
        rows_mut($part, $n * $width, $s.precision)
    };
}

buffer_table! {
    /// Activations of one block, kept for its backward pass.
    BlockActs(s) {
        attn_rstd: f32 "N" = 1;
        attn_in: operand "N, C" = s.config.model_dim;
        qk_normed: operand "N, H + K, D" = s.n_normed_heads() * s.config.head_dim;
        qk_rstd: f32 "N, H + K" = s.n_normed_heads();
        qkv: operand "N, Q" = s.config.qkv_dim();
        lse: f32 "N, H" = s.config.n_heads;
        attn_out: operand "N, H, D" = s.config.attn_dim();
        mid: f32 "N, C" = s.config.model_dim;
        mlp_rstd: f32 "N" = 1;
        mlp_in: operand "N, C" = s.config.model_dim;
        gate_up: operand "N, 2F" = 2 * s.config.ffn_dim;
        hidden: operand "N, F" = s.config.ffn_dim;
    }
}

buffer_table! {
    /// Workspace shared by all blocks. Except for the gradient of the stream, no value outlives the
    /// call that wrote it.
    Scratch(s) {
        /// Query-key-value rows, or their gradient.
        qkv: f32 "N, Q" = s.config.qkv_dim();
        /// Gate and up before activation, or the first block's query-key-value rows of the distinct
        /// inputs, or the gradient of either.
        gate_up: f32 "N, max(2F, Q)" = s.config.qkv_dim().max(2 * s.config.ffn_dim);
        /// Gradient inside a branch.
        dlayer: f32 "N, max(C, H·D, F)" = s.config.model_dim.max(s.config.attn_dim()).max(s.config.ffn_dim);
        /// The gradient of the residual stream.
        dstream: f32 "N, C" = s.config.model_dim;
        /// Output of a branch before dropout, or its gradient after dropout.
        branch: f32 "N, C" = s.config.model_dim;
        /// Operands converted from f32 for one product.
        operand: operand "N, max(C, Q, 2F)" = s.config.model_dim.max(s.config.qkv_dim()).max(2 * s.config.ffn_dim);
        /// Scratch of the attention kernels.
        attention: fixed "a tile of a sequence" = attention_scratch_len(s.attention(), s.precision);
    }
}

buffer_table! {
    /// Buffers between the blocks and the output layer.
    OutputActs(s) {
        /// (N) scales of the final norm.
        rstd: f32 "N" = 1;
        /// Normalised stream: the output layer's input.
        input: operand "N, C" = s.config.model_dim;
        /// Gradient of that input, written by the output layer.
        dinput: f32 "N, C" = s.config.model_dim;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;
    use kernels::AlignedVec;

    /// The buffers of a table fill its memory without gaps or overlaps, in every format.
    #[test]
    fn buffers_of_a_table_share_its_memory() {
        for precision in [Precision::F32, Precision::Bf16] {
            let config = ModelConfig { qk_norm: true, ..ModelConfig::new(50, 24, 2, 2) };
            let shape = MicroShape::new(&config, 7, 3, precision);
            let table = BlockActs::buffers(&shape);
            assert_eq!(table.iter().map(|b| b.floats).sum::<usize>(), BlockActs::floats(&shape));
            let mut memory = AlignedVec::zeroed(BlockActs::floats(&shape));
            let acts = BlockActs::of(&mut memory, &shape, shape.n_rows());
            acts.attn_rstd.fill(1.0);
            acts.mid.fill(2.0);
            acts.lse.fill(3.0);
            let count = |x: f32| memory.iter().filter(|y| **y == x).count();
            let n = shape.n_rows();
            assert_eq!([count(1.0), count(2.0), count(3.0)], [n, 24 * n, 2 * n]);
            let starts =
                table.iter().scan(0, |end, b| Some(std::mem::replace(end, *end + b.floats)));
            assert!(starts.into_iter().all(|start| start.is_multiple_of(ALIGN_FLOATS)));
        }
    }

    /// Planted error: memory too short for its table is refused.
    #[test]
    #[should_panic]
    fn too_little_memory_is_refused() {
        let shape = MicroShape::new(&ModelConfig::new(50, 24, 2, 2), 8, 2, Precision::F32);
        let mut memory = vec![0.0; BlockActs::floats(&shape) - 1];
        BlockActs::of(&mut memory, &shape, 16);
    }
}
