//! Coverage: every public kernel has an output compared with its definition and a benchmark line,
//! every backward kernel a complex-step gradient, and every benchmark line runs.

use crate::ops;
use crate::ops::inputs::Random;
use crate::paths::{on_best_isa, on_every_isa};
use kernels::Precision;
use std::collections::BTreeSet;
use std::path::Path;

/// Largest benchmark lines, in bytes, that are run here once; the others differ only in size.
const MAX_BYTES: usize = 2 << 20;

type Names = BTreeSet<String>;

/// Public kernels in a source file: functions outside modules that take slices or rows of numbers.
fn kernels_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("\npub fn ").skip(1) {
        let signature = part.split('{').next().unwrap_or_default();
        let name = signature.split(['(', '<']).next().unwrap_or_default();
        if signature.contains("[f32]") || signature.contains("Rows") {
            found.push(name.to_string());
        }
    }
    found
}

/// Public kernels below a folder; some definitions have files of their own.
fn kernels_below(folder: &Path, found: &mut Names) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kernels_below(&path, found);
        } else if path.file_name().unwrap() != "naive.rs" {
            found.extend(kernels_in(&std::fs::read_to_string(path).unwrap()));
        }
    }
}

/// Functions that the names of outputs, gradients or lines refer to.
fn functions<'a>(names: impl Iterator<Item = &'a str>) -> Names {
    names.filter_map(|name| name.split(' ').next()).map(str::to_string).collect()
}

/// Kernels without an output, a line or a gradient, and names that are no kernel.
fn complaints(kernels: &Names, compared: &Names, lines: &Names, gradients: &Names) -> Vec<String> {
    let backward = kernels.iter().filter(|name| name.contains("_backward")).cloned().collect();
    let mut complaints = Vec::new();
    let sides: [(&Names, &Names, &str); 3] = [
        (kernels, compared, "an output in `compare`"),
        (kernels, lines, "a line in `bench`"),
        (&backward, gradients, "a gradient in `gradients`"),
    ];
    for (wanted, there, what) in sides {
        complaints.extend(wanted.difference(there).map(|name| format!("{name} lacks {what}")));
        complaints.extend(there.difference(kernels).map(|name| format!("{name} is no kernel")));
    }
    complaints
}

/// The kernels of this crate, and those with an output, a line and a gradient.
fn here() -> [Names; 4] {
    let mut kernels = Names::new();
    kernels_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut kernels);
    let [mut compared, mut lines, mut gradients] = [(); 3].map(|()| Names::new());
    on_best_isa(|| {
        for op in ops::ALL {
            let outputs = (op.compare)(&mut Random(1), Precision::F32);
            compared.extend(functions(outputs.iter().map(|output| output.what)));
            lines.extend(functions((op.bench)().iter().map(|line| line.name.as_str())));
            let found = (op.gradients)(&mut Random(1));
            gradients.extend(functions(found.iter().map(|gradient| gradient.what)));
        }
    });
    [kernels, compared, lines, gradients]
}

#[test]
fn every_kernel_has_an_op_object() {
    let [kernels, compared, lines, gradients] = here();
    assert!(kernels.contains("rmsnorm_forward") && kernels.contains("attention_cached"));
    assert_eq!(complaints(&kernels, &compared, &lines, &gradients), Vec::<String>::new());
}

/// A kernel without an op object and an op object without a kernel are noticed.
#[test]
fn the_rule_catches_planted_violations() {
    let text = "\npub fn softmax_backward(\n    dx: &mut [f32],\n) {\n}\n\npub fn panel_cols() -> usize \
                {\n}\n\nfn inner(x: &[f32]) {}\n\n    pub fn definition(x: &[f32]) {}\n";
    assert_eq!(kernels_in(text), ["softmax_backward"]);
    let [mut kernels, compared, lines, gradients] = here();
    kernels.extend(kernels_in(text));
    let found = complaints(&kernels, &compared, &lines, &gradients);
    let lacks = |what: &str| format!("softmax_backward lacks {what}");
    let expected = ["an output in `compare`", "a line in `bench`", "a gradient in `gradients`"];
    assert_eq!(found, expected.map(lacks));
    kernels.remove("softmax_backward");
    kernels.remove("embedding_forward");
    let found = complaints(&kernels, &compared, &lines, &gradients);
    assert_eq!(found, ["embedding_forward is no kernel"; 2]);
}

#[test]
fn benchmark_lines_run() {
    on_every_isa(|_| {
        let mut n_run = 0;
        for line in ops::ALL.iter().flat_map(|op| (op.bench)()) {
            assert!(line.bytes > 0, "{} moves no bytes", line.name);
            if line.bytes <= MAX_BYTES && line.flops <= 100 * MAX_BYTES {
                (line.set_up)()();
                n_run += 1;
            }
        }
        assert!(n_run > 50, "{n_run} lines ran");
    });
}
