//! Reader of safetensors files, into memory of the caller.

use super::LEN_BYTES;
use super::float16::f32_from_f16;
use super::header::{TensorInfo, TensorLimits, parse_header};
use crate::disk::{Fs, LoadError, ReadFile};
use kernels::rows::f32_from_bf16;
use rustc_hash::{FxHashMap, FxHashSet};
use safetensors::Dtype;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

/// Half-precision values are converted in pieces of this many.
const PIECE_VALUES: usize = 1 << 15;

/// A safetensors file whose header has been checked.
pub struct TensorFile {
    path: PathBuf,
    file: Box<dyn ReadFile>,
    tensors: Vec<TensorInfo>,
    by_name: FxHashMap<String, usize>,
}

impl TensorFile {
    /// Opens a file and checks its header against its size; no tensor is read.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] if it breaks the format, [`LoadError::TooLarge`] beyond the default
    /// [`TensorLimits`], [`LoadError::Io`].
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<TensorFile, LoadError> {
        let limits = TensorLimits::default();
        let mut file = fs.open(path).map_err(LoadError::io("open", path))?;
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(LoadError::io("measure", path))?;
        file.rewind().map_err(LoadError::io("read", path))?;
        if file_bytes < LEN_BYTES as u64 {
            return Err(LoadError::damaged(path, "size", file_bytes, "at least 8"));
        }
        let mut len = [0; LEN_BYTES];
        file.read_exact(&mut len).map_err(LoadError::io("read", path))?;
        let header_bytes = u64::from_le_bytes(len);
        if header_bytes > file_bytes - LEN_BYTES as u64 {
            let expected = format!("at most {}, to fit in the file", file_bytes - LEN_BYTES as u64);
            return Err(LoadError::damaged(path, "header length", header_bytes, expected));
        }
        if header_bytes > limits.header_bytes {
            let (path, field) = (path.to_owned(), "header length".to_string());
            let limit = limits.header_bytes;
            return Err(LoadError::TooLarge { path, field, found: header_bytes, limit });
        }
        let mut json = vec![0; usize::try_from(header_bytes).expect("within the limit of 16 MiB")];
        file.read_exact(&mut json).map_err(LoadError::io("read", path))?;
        let data_start = LEN_BYTES as u64 + header_bytes;
        let tensors = parse_header(&json, data_start, file_bytes, limits, path)?;
        let by_name = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(TensorFile { path: path.to_owned(), file, tensors, by_name })
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|i| &self.tensors[*i])
    }

    /// Checks that the file holds exactly the tensors `expected`, in any order.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] with the first tensor that is missing, has another shape, or is not
    /// expected.
    pub fn expect_exactly<'a>(
        &self,
        expected: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<(), LoadError> {
        let mut n_expected = 0;
        let mut names = FxHashSet::default();
        for (name, shape) in expected {
            self.expect(name, shape)?;
            n_expected += usize::from(names.insert(name));
        }
        if n_expected == self.tensors.len() {
            return Ok(());
        }
        let extra = self.tensors.iter().find(|t| !names.contains(t.name.as_str()));
        let extra = extra.map_or("", |t| t.name.as_str());
        let field = format!("tensor {extra}");
        Err(LoadError::mismatch(&self.path, field, "present", "no such tensor in this model"))
    }

    /// Fills `out` with the values of a tensor; returns how many are NaN or infinite.
    ///
    /// F32 is read directly into `out`; F16 and BF16 are widened, which is exact.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] if the tensor is missing or has another shape,
    /// [`LoadError::Unsupported`] if it has another dtype, [`LoadError::Io`] (`out` then holds part
    /// of the values).
    ///
    /// # Panics
    /// If `out` does not have the length of `shape`.
    pub fn read(
        &mut self,
        name: &str,
        shape: &[usize],
        out: &mut [f32],
    ) -> Result<usize, LoadError> {
        let len: usize = shape.iter().product();
        assert_eq!(out.len(), len, "TensorFile::read: out does not have the length of shape");
        let tensor = self.expect(name, shape)?;
        let (dtype, start) = (tensor.dtype, tensor.start);
        self.file.seek(SeekFrom::Start(start)).map_err(LoadError::io("read", &self.path))?;
        let result = match dtype {
            Dtype::F32 => self.file.read_exact(bytemuck::cast_slice_mut(out)),
            Dtype::F16 => self.read_halves(out, f32_from_f16),
            Dtype::BF16 => self.read_halves(out, f32_from_bf16),
            _ => {
                let (path, field) = (self.path.clone(), format!("tensor {name}: dtype"));
                let (found, supported) = (format!("{dtype:?}"), "F32, F16, BF16".to_string());
                return Err(LoadError::Unsupported { path, field, found, supported });
            }
        };
        result.map_err(LoadError::io("read", &self.path))?;
        Ok(out.iter().filter(|x| !x.is_finite()).count())
    }

    /// Reads 16-bit values from the current position and widens them.
    fn read_halves(&mut self, out: &mut [f32], widen: fn(u16) -> f32) -> io::Result<()> {
        let mut halves = vec![0u16; PIECE_VALUES.min(out.len())];
        for piece in out.chunks_mut(PIECE_VALUES) {
            let halves = &mut halves[..piece.len()];
            self.file.read_exact(bytemuck::cast_slice_mut(halves))?;
            piece.iter_mut().zip(halves).for_each(|(x, half)| *x = widen(*half));
        }
        Ok(())
    }

    /// The tensor of this name, if it has this shape.
    fn expect(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, LoadError> {
        let Some(tensor) = self.get(name) else {
            let field = format!("tensor {name}");
            return Err(LoadError::mismatch(&self.path, field, "missing", format!("{shape:?}")));
        };
        if tensor.shape != shape {
            let field = format!("tensor {name}: shape");
            let (found, expected) = (format!("{:?}", tensor.shape), format!("{shape:?}"));
            return Err(LoadError::mismatch(&self.path, field, found, expected));
        }
        Ok(tensor)
    }
}
