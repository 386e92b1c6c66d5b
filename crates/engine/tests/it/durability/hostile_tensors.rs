//! Hostile safetensors files: all published attacks, and random mutations.

use super::Rng;
use super::cases;
use super::scenario::disk_with;
use super::sim_fs::SimFs;
use engine::disk::{Fs, LoadError, SaveError, write_all};
use engine::formats::{TensorFile, TensorRef, write_tensors};
use std::path::Path;

const PATH: &str = "/run/x.safetensors";

fn open(bytes: &[u8]) -> Result<TensorFile, LoadError> {
    let fs: SimFs = disk_with(&[]);
    let mut file = fs.create(Path::new(PATH)).unwrap();
    write_all(file.as_mut(), bytes).unwrap();
    TensorFile::open(&fs, Path::new(PATH))
}

/// A file with this header and `data_bytes` bytes of data.
fn file_of(header: &str, data_bytes: usize) -> Vec<u8> {
    let len = (header.len() as u64).to_le_bytes();
    [&len[..], header.as_bytes(), &vec![1; data_bytes]].concat()
}

fn written(tensors: &[TensorRef<'_>]) -> Result<Vec<u8>, SaveError> {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| -> std::io::Result<()> {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    write_tensors(tensors, &mut sink, &|_| unreachable!())?;
    Ok(bytes)
}

fn two_tensors() -> Vec<u8> {
    let a =
        TensorRef { name: "a".into(), shape: vec![2, 3], data: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
    let b = TensorRef { name: "b \"quoted\"".into(), shape: vec![], data: &[7.5] };
    let c = TensorRef { name: "c".into(), shape: vec![0, 4], data: &[] };
    written(&[a, b, c]).unwrap()
}

#[test]
fn written_files_are_read_back_and_by_the_reference() {
    let bytes = two_tensors();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!((8 + header_len) % 64, 0, "the data is aligned");
    let mut file = open(&bytes).unwrap();
    let mut a = [0.0; 6];
    assert_eq!(file.read("a", &[2, 3], &mut a).unwrap(), 0);
    assert_eq!(a, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut b = [0.0];
    file.read("b \"quoted\"", &[], &mut b).unwrap();
    assert_eq!(b, [7.5]);

    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.len(), 3);
    assert_eq!(reference.tensor("a").unwrap().data(), bytemuck::cast_slice::<f32, u8>(&a));
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn unwritable_tensors_are_refused() {
    let t = |name: &str, shape: &[usize]| TensorRef {
        name: name.into(),
        shape: shape.into(),
        data: &[0.0; 4],
    };
    let invalid =
        |tensors: &[TensorRef<'_>]| matches!(written(tensors), Err(SaveError::Invalid { .. }));
    assert!(invalid(&[t("a", &[3])]));
    assert!(invalid(&[t("a", &[usize::MAX, 2])]));
    assert!(invalid(&[t("a", &[4]), t("a", &[2, 2])]));
    assert!(invalid(&[t("__metadata__", &[4])]));
    assert!(written(&[t("a", &[4]), t("b", &[2, 2])]).is_ok());
}

/// Names may be in any order in the header.
#[test]
fn tensors_are_found_whatever_their_order() {
    let header = r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = file_of(header, 0);
    bytes.extend([1.5f32, 2.5].map(f32::to_le_bytes).concat());
    let mut file = open(&bytes).unwrap();
    assert_eq!(file.tensors().iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for (name, expected) in [("b", 2.5), ("a", 1.5)] {
        let mut found = [0.0];
        file.read(name, &[1], &mut found).unwrap();
        assert_eq!(found, [expected]);
    }
}

/// Each file breaks one rule and must be refused before anything large is allocated.
#[test]
fn every_published_attack_is_refused() {
    let t = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let one =
        |dtype: &str, shape: &str, from, to| format!(r#"{{"a":{}}}"#, t(dtype, shape, from, to));
    let two = |a: String, b: String| format!(r#"{{"a":{a},"b":{b}}}"#);
    let f32_at = |from, to| t("F32", "[2]", from, to);
    let long_name = format!(r#"{{"{}":{}}}"#, "n".repeat(257), f32_at(0, 8));
    let bad: Vec<(&str, String, usize)> = vec![
        ("no object", "[]".into(), 0),
        ("empty header", String::new(), 0),
        ("blank before the object", format!(" {}", one("F32", "[2]", 0, 8)), 8),
        ("text after the object", format!("{} x", one("F32", "[2]", 0, 8)), 8),
        ("a size that wraps to 0", one("F32", "[4611686018427387904,4]", 0, 0), 0),
        ("a size that wraps to 8", one("F32", "[4611686018427387906]", 0, 8), 8),
        ("bits that wrap", one("F32", "[576460752303423488]", 0, 8), 8),
        ("a dimension above 64 bits", one("F32", "[18446744073709551616]", 0, 8), 8),
        ("a negative dimension", one("F32", "[-2]", 0, 8), 8),
        ("a fractional dimension", one("F32", "[2.0]", 0, 8), 8),
        ("five dimensions", one("F32", "[1,1,1,1,2]", 0, 8), 8),
        ("a million dimensions", one("F32", &format!("[{}1]", "1,".repeat(1_000_000)), 0, 4), 4),
        ("nested shapes", one("F32", &"[".repeat(100_000), 0, 8), 8),
        ("an unknown dtype", one("F33", "[2]", 0, 8), 8),
        ("half a byte", one("F4", "[3]", 0, 1), 1),
        ("a range that ends before it starts", one("F32", "[2]", 8, 0), 8),
        ("a range past the end", one("F32", "[2]", 8, 16), 8),
        ("a range past 64 bits", one("F32", "[2]", u64::MAX - 7, u64::MAX), 8),
        ("a range that starts late", one("F32", "[2]", 8, 16), 16),
        ("a shape smaller than its range", one("F32", "[1]", 0, 8), 8),
        ("a shape larger than its range", one("F32", "[3]", 0, 8), 8),
        ("ranges that overlap", two(f32_at(0, 8), f32_at(4, 12)), 12),
        ("the same range twice", two(f32_at(0, 8), f32_at(0, 8)), 8),
        ("a hole", two(f32_at(0, 8), f32_at(12, 20)), 20),
        ("data left over", one("F32", "[2]", 0, 8), 9),
        ("data missing", one("F32", "[2]", 0, 8), 7),
        ("data without tensors", "{}".into(), 4),
        ("a name twice", format!(r#"{{"a":{0},"a":{0}}}"#, t("F32", "[0]", 0, 0)), 0),
        (
            "a name twice, differently written",
            format!(r#"{{"a":{0},"\u0061":{0}}}"#, t("F32", "[0]", 0, 0)),
            0,
        ),
        ("a long name", long_name, 8),
        (
            "metadata that is no text",
            format!(r#"{{"__metadata__":{{"a":1}},"a":{}}}"#, f32_at(0, 8)),
            8,
        ),
        ("metadata twice", r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0),
        ("no shape", r#"{"a":{"dtype":"F32","data_offsets":[0,8]}}"#.into(), 8),
        ("no range", r#"{"a":{"dtype":"F32","shape":[2]}}"#.into(), 8),
        ("three offsets", r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}"#.into(), 8),
        (
            "a shape twice",
            r#"{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}"#.into(),
            8,
        ),
    ];
    for (what, header, data_bytes) in &bad {
        match open(&file_of(header, *data_bytes)) {
            Ok(_) => panic!("{what}: accepted"),
            Err(LoadError::Damaged { path, .. }) => assert_eq!(path, Path::new(PATH), "{what}"),
            Err(other) => panic!("{what}: {other}"),
        }
    }
    assert!(open(&file_of(&one("F32", "[2]", 0, 8), 8)).is_ok(), "the sound one is accepted");
}

#[test]
fn lengths_of_the_header_are_checked_before_it_is_read() {
    for len in [0u64, 1, 9, 1 << 24, (1 << 24) + 1, 1 << 40, u64::MAX - 7, u64::MAX] {
        let bytes = [&len.to_le_bytes()[..], b"{}      "].concat();
        assert!(open(&bytes).is_err(), "header length {len}");
    }
    for len in 0..8 {
        assert!(open(&vec![0; len]).is_err(), "a file of {len} bytes");
    }
    // As long as declared, and longer than allowed.
    let header = format!("{{}}{}", " ".repeat(16 << 20));
    let error = open(&file_of(&header, 0)).err().unwrap();
    assert!(matches!(error, LoadError::TooLarge { limit: 16_777_216, .. }), "{error}");
    let many: Vec<String> = (0..65_537)
        .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    let error = open(&file_of(&format!("{{{}}}", many.join(",")), 0)).err().unwrap();
    assert!(error.to_string().contains("more than 65536 tensors"), "{error}");
    assert!(open(&file_of(&format!("{{{}}}", many[..1000].join(",")), 0)).is_ok());
}

/// Mutated files never cause a panic, and none is accepted that the reference refuses.
#[test]
fn mutations_are_never_accepted_where_the_reference_refuses() {
    let mut rng = Rng::new(90);
    let good = two_tensors();
    let header_end = good.len() - 28;
    let digits = b"0123456789-[]{},:\"\\ eF";
    let mut n_accepted = 0;
    for case in 0..cases(20_000) {
        let mut bytes = good.clone();
        for _ in 0..1 + rng.below(3) {
            let i = if rng.chance(90) { rng.below(header_end) } else { rng.below(bytes.len()) };
            match rng.below(4) {
                0 => bytes[i] ^= 1 << rng.below(8),
                1 => bytes[i] = digits[rng.below(digits.len())],
                2 => bytes.truncate(i.max(1)),
                _ => bytes.insert(i, digits[rng.below(digits.len())]),
            }
            if bytes.len() <= header_end {
                break;
            }
        }
        let reference = safetensors::SafeTensors::deserialize(&bytes);
        if let Ok(file) = open(&bytes) {
            n_accepted += 1;
            let reference = reference.unwrap_or_else(|error| panic!("case {case}: {error}"));
            assert_eq!(file.tensors().len(), reference.len(), "case {case}");
        }
    }
    assert!(n_accepted > 100, "only {n_accepted} were accepted: the mutations are too rough");
}

#[test]
fn halves_are_widened_and_other_types_refused() {
    let header = r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"i":{"dtype":"I32","shape":[1],"data_offsets":[8,12]}}"#;
    let mut bytes = file_of(header, 0);
    for half in [0x3e00u16, 0xc000, 0x3fc0, 0x7f80] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend([0; 4]);
    let mut file = open(&bytes).unwrap();
    let mut two = [0.0; 2];
    assert_eq!(file.read("h", &[2], &mut two).unwrap(), 0);
    assert_eq!(two, [1.5, -2.0]);
    assert_eq!(file.read("b", &[2], &mut two).unwrap(), 1, "one value is not finite");
    assert_eq!(two, [1.5, f32::INFINITY]);
    let message = file.read("i", &[1], &mut two[..1]).unwrap_err().to_string();
    assert!(message.contains("tensor i: dtype I32 is not supported"), "{message}");
}

#[test]
fn missing_unexpected_and_misshapen_tensors_are_named() {
    let file = open(&two_tensors()).unwrap();
    let all: [(&str, &[usize]); 3] = [("c", &[0, 4]), ("a", &[2, 3]), ("b \"quoted\"", &[])];
    file.expect_exactly(all).unwrap();
    let message = |expected: &[(&str, &[usize])]| {
        file.expect_exactly(expected.iter().copied()).unwrap_err().to_string()
    };
    assert!(message(&all[..2]).contains("tensor b \"quoted\" is present"));
    let transposed = message(&[all[0], ("a", &[3, 2]), all[2]]);
    assert!(transposed.contains("tensor a: shape is [2, 3], expected [3, 2]"), "{transposed}");
    assert!(message(&[all[0], all[1], all[2], ("d", &[1])]).contains("tensor d is missing"));
    assert!(message(&[all[0], all[1], all[1]]).contains("no such tensor"));
}
