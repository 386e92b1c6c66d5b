//! Files of a model folder before they are written: bytes or tensors under a name.

use super::safetensors::{TensorRef, tensors_file_len, write_tensors};
use crate::disk::{NewFile, SaveError};
use std::io;
use std::sync::Arc;

/// File to be written.
#[derive(Clone, Debug)]
pub struct FileEntry<'a> {
    /// Its name in the folder: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Contents.
    pub contents: FileContents<'a>,
}

/// Contents of a file.
#[derive(Clone, Debug)]
pub enum FileContents<'a> {
    /// Bytes; shared, so that a file that never changes is not copied for every save.
    Bytes(Arc<[u8]>),
    /// Tensors, written as a safetensors file.
    Tensors(Vec<TensorRef<'a>>),
}

impl NewFile for FileEntry<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn file_len(&self) -> Result<u64, SaveError> {
        match &self.contents {
            FileContents::Bytes(bytes) => Ok(bytes.len() as u64),
            FileContents::Tensors(tensors) => tensors_file_len(tensors),
        }
    }

    fn write(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
        io_error: &dyn Fn(io::Error) -> SaveError,
    ) -> Result<(), SaveError> {
        match &self.contents {
            FileContents::Bytes(bytes) => sink(bytes).map_err(io_error),
            FileContents::Tensors(tensors) => write_tensors(tensors, sink, io_error),
        }
    }
}
