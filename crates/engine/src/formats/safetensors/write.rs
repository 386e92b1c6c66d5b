//! Writer of safetensors files: f32 tensors, streamed without a copy.

use super::{LEN_BYTES, METADATA};
use crate::disk::SaveError;
use std::io;

/// Alignment of the data in bytes, so that a mapped file can be computed with.
const ALIGN_BYTES: usize = 64;

/// Size of a written piece in floats: 1 MiB.
const PIECE_FLOATS: usize = 1 << 18;

/// Tensor to be written.
#[derive(Clone, Debug)]
pub struct TensorRef<'a> {
    /// Its name in the file.
    pub name: String,
    /// Its shape; the product is the number of values.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: &'a [f32],
}

/// Size of the file that [`write_tensors`] writes.
///
/// # Errors
/// As [`write_tensors`], except for those of `sink`.
pub fn tensors_file_len(tensors: &[TensorRef<'_>]) -> Result<u64, SaveError> {
    let data: usize = tensors.iter().map(|t| size_of_val(t.data)).sum();
    Ok((header(tensors)?.len() + data) as u64)
}

/// Passes the bytes of a safetensors file with these tensors to `sink`, piece by piece.
///
/// The tensors are written in the given order.
///
/// # Errors
/// [`SaveError::NotFinite`] at the first tensor with a value that is NaN or infinite (`sink` has
/// then received the tensors before it); [`SaveError::Invalid`] if a name occurs twice or a shape
/// does not match its values; errors of `sink`, through `io_error`.
pub fn write_tensors(
    tensors: &[TensorRef<'_>],
    sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    io_error: &dyn Fn(io::Error) -> SaveError,
) -> Result<(), SaveError> {
    sink(&header(tensors)?).map_err(io_error)?;
    for tensor in tensors {
        let count = tensor.data.iter().filter(|x| !x.is_finite()).count();
        if count > 0 {
            let (tensor, len) = (tensor.name.clone(), tensor.data.len());
            return Err(SaveError::NotFinite { tensor, count, len });
        }
        for piece in tensor.data.chunks(PIECE_FLOATS) {
            sink(bytemuck::cast_slice(piece)).map_err(io_error)?;
        }
    }
    Ok(())
}

/// Length and header, padded with blanks so that the data is aligned.
fn header(tensors: &[TensorRef<'_>]) -> Result<Vec<u8>, SaveError> {
    let mut entries = serde_json::Map::new();
    entries.insert(METADATA.to_string(), serde_json::json!({"format": "pt"}));
    let mut start = 0;
    for tensor in tensors {
        let len = tensor.shape.iter().try_fold(1usize, |len, dim| len.checked_mul(*dim));
        if len != Some(tensor.data.len()) {
            let found = format!("{:?} of {} values", tensor.shape, tensor.data.len());
            let expected = "a shape whose product is the number of values";
            return Err(SaveError::Invalid { field: "tensor shape", found, expected });
        }
        let end = start + size_of_val(tensor.data);
        let entry = serde_json::json!({
            "dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end],
        });
        start = end;
        if entries.insert(tensor.name.clone(), entry).is_some() {
            let (found, expected) = (tensor.name.clone(), "a name that no other tensor has");
            return Err(SaveError::Invalid { field: "tensor name", found, expected });
        }
    }
    let json = serde_json::Value::Object(entries).to_string();
    let len = (LEN_BYTES + json.len()).next_multiple_of(ALIGN_BYTES) - LEN_BYTES;
    let mut bytes = (len as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(LEN_BYTES + len, b' ');
    Ok(bytes)
}
