//! Instruction paths under test, one at a time, and the seed of the random inputs.

use kernels::{Isa, Precision, isa};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Both formats of rows.
pub const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// The active instruction set is global to the process, so one test at a time may set it.
fn alone() -> MutexGuard<'static, ()> {
    static PATH: Mutex<()> = Mutex::new(());
    PATH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` with each instruction set of this processor active; names those that it lacks.
pub fn on_every_isa(mut test: impl FnMut(Isa)) {
    let _guard = alone();
    for isa in Isa::ALL {
        if isa.is_available() {
            isa::force(isa);
            test(isa);
        } else {
            println!("skipped: {} not on this processor", isa.name());
        }
    }
}

/// Runs `test` with each instruction set active and for each format.
pub fn on_every_path(mut test: impl FnMut(Isa, Precision)) {
    on_every_isa(|isa| PRECISIONS.into_iter().for_each(|precision| test(isa, precision)));
}

/// Runs `test` with the fastest instruction set active.
pub fn on_best_isa(test: impl FnOnce()) {
    let _guard = alone();
    isa::force(Isa::best());
    test();
}

/// The seed of all random inputs: `CRYSTALLINE_TEST_SEED`, or a fixed one; printed.
pub fn seed() -> u64 {
    let seed = std::env::var("CRYSTALLINE_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or(0x5eed);
    println!("CRYSTALLINE_TEST_SEED={seed}");
    seed
}
