//! Header of a safetensors file, possibly hostile: every number in it is checked against the limits
//! and the real file size before it is used.

use super::METADATA;
use crate::disk::LoadError;
use rustc_hash::FxHashSet;
use safetensors::Dtype;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// Limits of a safetensors file.
#[derive(Clone, Copy, Debug)]
pub struct TensorLimits {
    /// Largest header, in bytes.
    pub header_bytes: u64,
    /// Largest number of tensors.
    pub n_tensors: usize,
    /// Longest name of a tensor, in bytes.
    pub name_bytes: usize,
}

impl Default for TensorLimits {
    fn default() -> Self {
        TensorLimits { header_bytes: 16 << 20, n_tensors: 65_536, name_bytes: 256 }
    }
}

/// Largest number of dimensions of a tensor.
const DIMS_MAX: usize = 4;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Number format, as named in the file.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Offset of its first byte from the start of the file.
    pub start: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product() // checked to fit when the header was read
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parses the JSON header of the file `path`, whose data occupies the bytes
/// `data_start..file_bytes`.
///
/// Returns the tensors in the order of their data.
///
/// # Errors
/// [`LoadError::Damaged`] unless the tensors tile the data exactly and each has the size of its
/// shape; [`LoadError::TooLarge`] beyond `limits`.
pub(super) fn parse_header(
    json: &[u8],
    data_start: u64,
    file_bytes: u64,
    limits: TensorLimits,
    path: &Path,
) -> Result<Vec<TensorInfo>, LoadError> {
    let damaged = |found: String| LoadError::damaged(path, "header", found, "a tensor table");
    if json.first() != Some(&b'{') {
        return Err(damaged("no JSON object".to_string()));
    }
    let mut input = serde_json::Deserializer::from_slice(json);
    let mut raw = HeaderSeed(limits)
        .deserialize(&mut input)
        .and_then(|raw| input.end().map(|()| raw))
        .map_err(|error| damaged(error.to_string()))?;
    raw.sort_by_key(|(_, tensor)| tensor.data_offsets);

    let mut end = 0;
    let mut tensors = Vec::with_capacity(raw.len());
    for (name, tensor) in raw {
        let field = |what: &str| format!("tensor {name}: {what}");
        let (from, to) = tensor.data_offsets;
        if from != end || to < from {
            let expected = format!("a range that starts at {end}, where the one before ends");
            return Err(LoadError::damaged(
                path,
                field("range"),
                format!("{from}..{to}"),
                expected,
            ));
        }
        end = to;
        if Some(to - from) != size_bytes(&tensor.shape.0, tensor.dtype) {
            let found = format!("{:?} of {:?}", tensor.shape.0, tensor.dtype);
            let expected = format!("a shape that takes {} bytes", to - from);
            return Err(LoadError::damaged(path, field("shape"), found, expected));
        }
        let (dtype, shape, bytes) = (tensor.dtype, tensor.shape.0, to - from);
        // Cannot wrap in an accepted file: the sum of the sizes is compared with the file's size
        // below.
        let start = data_start.saturating_add(from);
        tensors.push(TensorInfo { name, dtype, shape, start, bytes });
    }
    if data_start.checked_add(end) != Some(file_bytes) {
        let found = file_bytes.saturating_sub(data_start);
        return Err(LoadError::damaged(path, "size of the data", found, end));
    }
    Ok(tensors)
}

/// Size of a tensor in bytes; `None` if it overflows or is not a whole number of bytes.
fn size_bytes(shape: &[usize], dtype: Dtype) -> Option<u64> {
    let len = shape.iter().try_fold(1usize, |len, dim| len.checked_mul(*dim))?;
    let bits = len.checked_mul(dtype.bitsize())?;
    bits.is_multiple_of(8).then(|| u64::try_from(bits / 8).ok())?
}

/// Entry of a tensor in the header.
#[derive(Deserialize)]
struct RawTensor {
    dtype: Dtype,
    shape: Dims,
    data_offsets: (u64, u64),
}

/// Parses the table; refuses duplicate names and stops at the limits.
struct HeaderSeed(TensorLimits);

impl<'de> DeserializeSeed<'de> for HeaderSeed {
    type Value = Vec<(String, RawTensor)>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed {
    type Value = Vec<(String, RawTensor)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seen = FxHashSet::default();
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > self.0.name_bytes {
                let (found, limit) = (name.len(), self.0.name_bytes);
                return Err(A::Error::custom(format!("a name of {found} bytes, limit {limit}")));
            }
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("a second entry for {name:?}")));
            }
            if name == METADATA {
                map.next_value::<Option<HashMap<String, String>>>()?;
                continue;
            }
            if tensors.len() == self.0.n_tensors {
                let limit = self.0.n_tensors;
                return Err(A::Error::custom(format!("more than {limit} tensors")));
            }
            let tensor = map.next_value()?;
            tensors.push((name, tensor));
        }
        Ok(tensors)
    }
}

/// A shape of at most [`DIMS_MAX`] dimensions.
struct Dims(Vec<usize>);

impl<'de> Deserialize<'de> for Dims {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_seq(DimsVisitor)
    }
}

struct DimsVisitor;

impl<'de> Visitor<'de> for DimsVisitor {
    type Value = Dims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {DIMS_MAX} dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dims, A::Error> {
        let mut dims = Vec::with_capacity(DIMS_MAX);
        while dims.len() < DIMS_MAX {
            let Some(dim) = seq.next_element()? else { return Ok(Dims(dims)) };
            dims.push(dim);
        }
        match seq.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom(format!("more than {DIMS_MAX} dimensions"))),
            None => Ok(Dims(dims)),
        }
    }
}
