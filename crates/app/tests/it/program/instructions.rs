//! Instruction path changes: a run resumed on another path reports it and ends with nearly the same
//! loss.

use crate::program::process::Ended;
use crate::program::scene::Scene;
use kernels::Isa;

/// Rounding differs in the last of 24 bits and grows over 60 steps; a wrong kernel shows in the
/// first digits.
const LOSS_TOLERANCE: f64 = 1e-3;

/// Runs a command on an instruction path.
fn on(isa: Isa, mut command: std::process::Command) -> Ended {
    let ended: Ended = command.env("CRYSTALLINE_ISA", isa.name()).output().unwrap().into();
    ended.assert_success();
    ended
}

#[test]
fn another_instruction_path_is_reported_and_changes_last_bits_only() {
    let scene = Scene::new();
    let note = "note      the run began on";
    on(Isa::Portable, scene.train("portable", "--precision f32 --save-every 60"));
    let loss = scene.end("portable").train_loss();
    for isa in Isa::available().filter(|isa| *isa != Isa::Portable) {
        let [out, mixed] = [isa.name().to_string(), format!("{}-then-portable", isa.name())];
        on(isa, scene.train(&out, "--precision f32 --save-every 60"));
        on(isa, scene.train(&mixed, "--precision f32 --save-every 60 --stop-at 20"));
        let ended = on(Isa::Portable, scene.train_or_resume(&mixed, ""));
        assert!(ended.stderr.contains(note), "{}", ended.stderr);
        for out in [out, mixed] {
            let found = scene.end(&out).train_loss();
            assert!((found - loss).abs() <= LOSS_TOLERANCE, "{out}: {found}, portable: {loss}");
        }
    }
    on(Isa::Portable, scene.train("same", "--precision f32 --save-every 60 --stop-at 20"));
    let ended = on(Isa::Portable, scene.train_or_resume("same", ""));
    assert!(!ended.stderr.contains(note), "{}", ended.stderr);
    assert!(scene.end("same") == scene.end("portable"));
    on(Isa::Portable, scene.train("lr", "--precision f32 --save-every 60 --lr 0.02"));
    let other = scene.end("lr").train_loss();
    assert!(
        (other - loss).abs() > LOSS_TOLERANCE,
        "a different rate is not detected: {other}, {loss}"
    );
}
