//! Parameters of a model folder: in one file or in shards, all of them finite.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use engine::formats::{ModelFolder, TensorFile, TensorRef, read_params, write_tensors};
use engine::model::{InputLayer, Layout, ModelConfig, OwnedModel, init_params};
use kernels::{Pool, Precision};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};

const INDEX: &str = "model.safetensors.index.json";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// A model folder with random weights.
struct Folder {
    parent: tempfile::TempDir,
    layout: Layout,
    params: Vec<f32>,
}

impl Folder {
    /// A folder whose tensor `name` holds `value` at its end.
    fn with(change: Option<(&str, f32)>) -> Folder {
        let options = TrainOptions::new(TokenizerKind::Char);
        let tokenizer = Tokenizer::train(&options, &["to be"], &mut Control::threads(1)).unwrap();
        let layout = Layout::new(&ModelConfig::new(tokenizer.vocab_size(), 32, 1, 1)).unwrap();
        let params = init_params(&layout, 1);
        let folder =
            Folder { parent: tempfile::tempdir().unwrap(), params: params.to_vec(), layout };
        let (layout, inputs) = (
            Layout::new(&folder.layout.config).unwrap(),
            InputLayer::new(&folder.layout, None, None),
        );
        let model = OwnedModel::new(layout, params, inputs, Precision::F32, &mut Pool::new(1));
        ModelFolder::write(&folder.path(), model.model(), &tokenizer, None).unwrap();
        if let Some((name, value)) = change {
            folder.write("model.safetensors", |tensor| tensor == name, Some(value));
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.parent.path().join("model")
    }

    /// Writes the tensors that are `wanted` to a file; with `last`, the last value of each is that,
    /// and all other tensors are written, too.
    fn write(&self, file: &str, wanted: impl Fn(&str) -> bool, last: Option<f32>) {
        let values: Vec<_> = self.layout.tensors.iter().map(|t| t.span.of(&self.params)).collect();
        let tensors = self.layout.tensors.iter().zip(&values);
        let tensors = tensors.filter(|(t, _)| last.is_some() || wanted(&t.name));
        let tensors: Vec<TensorRef<'_>> = tensors
            .map(|(t, data)| TensorRef { name: t.name.clone(), shape: t.shape.clone(), data })
            .collect();
        let mut bytes = Vec::new();
        let mut sink = |piece: &[u8]| -> std::io::Result<()> {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        write_tensors(&tensors, &mut sink, &|_| unreachable!()).unwrap();
        let path = self.path().join(file);
        fs::write(&path, &bytes).unwrap();
        let Some(last) = last else { return };
        let table = TensorFile::open(&engine::disk::RealFs, &path).unwrap();
        for info in table.tensors().iter().filter(|info| wanted(&info.name)) {
            let at = (info.start + info.bytes) as usize - 4;
            bytes[at..at + 4].copy_from_slice(&last.to_le_bytes());
        }
        fs::write(path, bytes).unwrap();
    }

    /// The folder with its parameters in two shards: tensors of blocks, and the others.
    fn sharded() -> Folder {
        let folder = Folder::with(None);
        fs::remove_file(folder.path().join("model.safetensors")).unwrap();
        folder.write(SHARDS[0], |name| name.contains("layers"), None);
        folder.write(SHARDS[1], |name| !name.contains("layers"), None);
        let of = |name: &str| SHARDS[usize::from(!name.contains("layers"))];
        let map = folder.layout.tensors.iter().map(|t| (t.name.clone(), json!(of(&t.name))));
        folder.set_index(
            json!({ "metadata": {"total_size": 1}, "weight_map": map.collect::<Value>() }),
        );
        folder
    }

    fn set_index(&self, index: Value) {
        fs::write(self.path().join(INDEX), index.to_string()).unwrap();
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path().join(INDEX)).unwrap()).unwrap()
    }

    /// The error of reading the parameters.
    fn fault(&self) -> String {
        read_params(&self.path(), &self.layout).unwrap_err().to_string()
    }
}

#[test]
fn shards_hold_the_same_model_as_one_file() {
    let folder = Folder::sharded();
    assert_eq!(read_params(&folder.path(), &folder.layout).unwrap().to_vec(), folder.params);
    // One file beside an index counts, as for other programs.
    folder.write("model.safetensors", |_| true, None);
    fs::remove_file(folder.path().join(SHARDS[0])).unwrap();
    assert_eq!(read_params(&folder.path(), &folder.layout).unwrap().to_vec(), folder.params);
}

#[test]
fn shards_that_contradict_their_index_are_refused_by_name() {
    let norm = "model.norm.weight";
    let index = |change: &dyn Fn(&mut Value)| {
        let folder = Folder::sharded();
        let mut index = folder.index();
        change(&mut index);
        folder.set_index(index);
        folder.fault()
    };
    let placed = |shard: &'static str| index(&|index| index["weight_map"][norm] = json!(shard));
    let wrong_place = placed(SHARDS[0]);
    assert!(wrong_place.contains(norm) && wrong_place.contains("only in"), "{wrong_place}");
    for elsewhere in ["../model-3.safetensors", "/etc/passwd", "a/b.safetensors", "", "..", "x.bin"]
    {
        let fault = placed(elsewhere);
        assert!(fault.contains("a plain name"), "{elsewhere}: {fault}");
    }
    let gone = placed("model-00003-of-00003.safetensors");
    assert!(gone.contains("model-00003-of-00003.safetensors"), "{gone}");
    let left_out = index(&|index| {
        index["weight_map"].as_object_mut().unwrap().remove(norm);
    });
    assert!(left_out.contains(norm) && left_out.contains("in the index"), "{left_out}");
    let added = index(&|index| index["weight_map"]["more"] = json!(SHARDS[0]));
    assert!(added.contains("tensor more is missing"), "{added}");
    for (change, named) in
        [(json!({}), "number of shards"), (json!([]), "table"), (json!(3), "table")]
    {
        let fault = index(&|index| index["weight_map"] = change.clone());
        assert!(fault.contains(named), "{change}: {fault}");
    }
    for text in ["", "{", "[]", "{\"weight_map\":{\"a\":\"b\",\"a\":\"b\"}}"] {
        let folder = Folder::sharded();
        fs::write(folder.path().join(INDEX), text).unwrap();
        assert!(folder.fault().contains(INDEX), "{text}: {}", folder.fault());
    }
}

#[test]
fn a_missing_an_extra_and_a_damaged_shard_are_named() {
    let folder = Folder::sharded();
    let extra = folder.path().join("model-00003-of-00002.safetensors");
    fs::write(&extra, "").unwrap();
    assert!(folder.fault().contains("model-00003-of-00002.safetensors"), "{}", folder.fault());
    fs::remove_file(extra).unwrap();
    let shard = folder.path().join(SHARDS[1]);
    let bytes = fs::read(&shard).unwrap();
    for len in [0, 7, 100, bytes.len() - 1] {
        fs::write(&shard, &bytes[..len]).unwrap();
        assert!(folder.fault().contains(SHARDS[1]), "{len}: {}", folder.fault());
    }
    fs::remove_file(shard).unwrap();
    assert!(folder.fault().contains(SHARDS[1]), "{}", folder.fault());
}

/// For instance in the norm's weights, which every output depends on, or a bias of the head.
#[test]
fn numbers_that_are_not_finite_are_refused_by_name_and_count() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let folder = Folder::with(Some(("model.norm.weight", value)));
        let fault = folder.fault();
        let parts = ["model.safetensors: tensor model.norm.weight holds 1 values of 32", "NaN"];
        assert!(parts.iter().all(|part| fault.contains(part)), "{fault}");
        let open = || ModelFolder::open(&folder.path()).unwrap();
        let load = |folder: ModelFolder| folder.load(Precision::F32, &mut Pool::new(1));
        assert_eq!(load(open()).unwrap_err().code(), "not-finite");
        assert!(load(open().allow_nonfinite(true)).is_ok(), "only to look at it");
    }
}
