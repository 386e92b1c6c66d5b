//! Parameter files of a model folder: `model.safetensors`, or the shards that
//! `model.safetensors.index.json` names.

use crate::disk::{LoadError, RealFs, is_plain_name, read_file};
use crate::formats::TensorFile;
use crate::model::Tensor;
use rustc_hash::FxHashMap;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// File name of the parameters in one file.
pub(super) const PARAMS_NAME: &str = "model.safetensors";
/// File name of the list of shards.
const INDEX_NAME: &str = "model.safetensors.index.json";
/// Name and ending that shards have in every folder.
const SHARD_PREFIX: &str = "model-";
const SHARD_SUFFIX: &str = ".safetensors";

/// Largest index that is read: 65,536 tensors with names of 200 bytes.
const INDEX_BYTES_MAX: u64 = 16 << 20;
/// Largest number of tensors in an index, and of shards.
const N_TENSORS_MAX: usize = 65_536;
const N_SHARDS_MAX: usize = 1024;

/// The files, open, with the place of each tensor.
pub(in crate::formats) struct ParamFiles {
    files: Vec<TensorFile>,
    /// Index into `files` by the name of a tensor, if an index names it.
    place: Option<FxHashMap<String, usize>>,
    index: PathBuf,
}

impl ParamFiles {
    /// Opens the files of `folder` and checks their tables; no tensor is read. If there are both
    /// one file and an index, the file counts, as for other programs.
    ///
    /// # Errors
    /// [`LoadError`] with the first file that is missing, damaged, or contradicts the index.
    pub fn open(folder: &Path) -> Result<ParamFiles, LoadError> {
        let (one, index) = (folder.join(PARAMS_NAME), folder.join(INDEX_NAME));
        if one.exists() || !index.exists() {
            let files = vec![TensorFile::open(&RealFs, &one)?];
            return Ok(ParamFiles { files, place: None, index });
        }
        let bytes = read_file(&RealFs, &index, INDEX_BYTES_MAX)?;
        let read: Index = serde_json::from_slice(&bytes)
            .map_err(|error| LoadError::damaged(&index, "content", error, "a list of shards"))?;
        let names = shard_names(folder, &index, &read.weight_map.0)?;
        let open = |name: &&str| TensorFile::open(&RealFs, &folder.join(name));
        let files: Vec<TensorFile> = names.iter().map(open).collect::<Result<_, LoadError>>()?;
        let place_of = |shard: &str| names.iter().position(|name| *name == shard);
        let place = read.weight_map.0.iter();
        let place = place.filter_map(|(tensor, shard)| Some((tensor.clone(), place_of(shard)?)));
        let files = ParamFiles { place: Some(place.collect()), files, index };
        files.check_places()?;
        Ok(files)
    }

    /// Checks that each shard has the tensors that the index places in it, and no others.
    fn check_places(&self) -> Result<(), LoadError> {
        let Some(place) = &self.place else { return Ok(()) };
        for (i, file) in self.files.iter().enumerate() {
            if let Some(tensor) = file.tensors().iter().find(|t| place.get(&t.name) != Some(&i)) {
                let field = format!("tensor {}", tensor.name);
                let expected = match place.get(&tensor.name) {
                    Some(other) => format!("only in {}", self.files[*other].path().display()),
                    None => "in the index, too".to_string(),
                };
                return Err(LoadError::mismatch(file.path(), field, "present", expected));
            }
        }
        let missing = |(name, i): &(&String, &usize)| self.files[**i].get(name).is_none();
        match place.iter().filter(missing).min() {
            Some((name, i)) => {
                let expected = "there, as the index says";
                let field = format!("tensor {name}");
                Err(LoadError::mismatch(self.files[*i].path(), field, "missing", expected))
            }
            None => Ok(()),
        }
    }

    /// Checks that the files hold exactly these tensors.
    ///
    /// # Errors
    /// [`LoadError::Mismatch`] with the first that is missing, has another shape, or is not expected.
    pub fn expect_exactly(&self, tensors: &[Tensor]) -> Result<(), LoadError> {
        if let Some(tensor) = tensors.iter().find(|tensor| self.file_of(&tensor.name).is_none()) {
            let field = format!("tensor {}", tensor.name);
            let expected = format!("{:?}", tensor.shape);
            return Err(LoadError::mismatch(&self.index, field, "missing", expected));
        }
        (0..self.files.len()).try_for_each(|i| {
            let here = tensors.iter().filter(|tensor| self.file_of(&tensor.name) == Some(i));
            self.files[i].expect_exactly(here.map(|t| (t.name.as_str(), &t.shape[..])))
        })
    }

    /// Fills `out` with a tensor; returns the number of values that are NaN or infinite.
    ///
    /// # Errors
    /// As [`TensorFile::read`].
    pub fn read(&mut self, tensor: &Tensor, out: &mut [f32]) -> Result<usize, LoadError> {
        let i = self.file_of(&tensor.name).unwrap_or_default();
        self.files[i].read(&tensor.name, &tensor.shape, out)
    }

    /// Path of the file that holds a tensor.
    pub fn path_of(&self, tensor: &Tensor) -> &Path {
        self.files[self.file_of(&tensor.name).unwrap_or_default()].path()
    }

    fn file_of(&self, tensor: &str) -> Option<usize> {
        self.place.as_ref().map_or(Some(0), |place| place.get(tensor).copied())
    }
}

/// The shards of an index, each once, ascending.
///
/// # Errors
/// [`LoadError`] if there are none or too many, one has a path instead of a name, or the folder has
/// a shard that the index does not name.
fn shard_names<'a>(
    folder: &Path,
    index: &Path,
    weight_map: &'a [(String, String)],
) -> Result<Vec<&'a str>, LoadError> {
    let names: BTreeSet<&str> = weight_map.iter().map(|(_, shard)| shard.as_str()).collect();
    let is_shard = |name: &str| is_plain_name(name) && name.ends_with(SHARD_SUFFIX);
    if let Some(name) = names.iter().find(|name| !is_shard(name)) {
        let expected = "a plain name that ends in .safetensors";
        return Err(LoadError::damaged(index, "shard", format!("{name:?}"), expected));
    }
    if names.is_empty() || names.len() > N_SHARDS_MAX {
        let expected = format!("1 to {N_SHARDS_MAX}");
        return Err(LoadError::damaged(index, "number of shards", names.len(), expected));
    }
    for entry in std::fs::read_dir(folder).map_err(LoadError::io("list", folder))? {
        let name = entry.map_err(LoadError::io("list", folder))?.file_name();
        let name = name.to_string_lossy();
        let is_extra = name.starts_with(SHARD_PREFIX) && name.ends_with(SHARD_SUFFIX);
        if is_extra && !names.contains(&*name) {
            let (path, expected) = (folder.join(&*name), "named in the index, or removed");
            return Err(LoadError::mismatch(&path, "shard", "not in the index", expected));
        }
    }
    Ok(names.into_iter().collect())
}

/// The part of an index that is read.
#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Pairs of tensor and shard; a tensor twice is refused.
struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<WeightMap, D::Error> {
        input.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of shards by tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
        let (mut pairs, mut seen) = (Vec::new(), FxHashMap::default());
        while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
            if seen.insert(tensor.clone(), ()).is_some() {
                return Err(A::Error::custom(format!("a second entry for {tensor:?}")));
            }
            if pairs.len() == N_TENSORS_MAX {
                return Err(A::Error::custom(format!("more than {N_TENSORS_MAX} tensors")));
            }
            pairs.push((tensor, shard));
        }
        Ok(WeightMap(pairs))
    }
}
