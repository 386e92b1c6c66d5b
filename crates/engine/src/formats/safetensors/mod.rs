//! Safetensors files: named tensors of numbers, written as a stream and validated on reading.
//!
//! The format: a little-endian u64 `n`; `n` bytes of JSON that give each tensor's dtype, shape and
//! byte range; then the numbers, without gaps. See <https://github.com/huggingface/safetensors>.

mod float16;
mod header;
mod read;
mod write;

pub use header::{TensorInfo, TensorLimits};
pub use read::TensorFile;
pub use write::{TensorRef, tensors_file_len, write_tensors};

/// Bytes of the length before the header.
const LEN_BYTES: usize = 8;

/// Header entry that is not a tensor.
const METADATA: &str = "__metadata__";

// Numbers are copied between memory and files unchanged.
const _: () = assert!(cfg!(target_endian = "little"), "safetensors files are little-endian");
