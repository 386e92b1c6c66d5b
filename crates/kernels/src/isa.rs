//! Instruction set selection: detected once, overridable by `CRYSTALLINE_ISA`, used by every kernel.
//!
//! A single baseline build contains every path; a kernel calls [`Isa::active`] once per call and
//! dispatches. Enum order is the order of preference, so `isa >= Isa::Avx512` reads naturally.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction path: a set of instructions that kernels are compiled for. Slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Isa {
    /// Plain Rust, on any processor.
    Portable = 1,
    /// AVX2 with fused multiply-add: 8 lanes of f32.
    Avx2 = 2,
    /// AVX-512 F, BW, DQ and VL: 16 lanes of f32.
    Avx512 = 3,
    /// AVX-512 with `vdpbf16ps`: two bf16 products a lane.
    Avx512Bf16 = 4,
}

/// 0 means not yet detected.
static ACTIVE: AtomicU8 = AtomicU8::new(0);

impl Isa {
    /// All paths, slowest first.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16];

    /// The name used on the command line, in `CRYSTALLINE_ISA` and in stored runs.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512bf16",
        }
    }

    /// The path with this name, if any.
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// The fastest path that this processor supports.
    pub fn best() -> Isa {
        Isa::available().last().unwrap_or(Isa::Portable)
    }

    /// Every path that this processor supports, slowest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => Isa::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The path in use: the fastest one, unless `CRYSTALLINE_ISA` or [`force`] selects another.
    ///
    /// An unknown or unavailable name in `CRYSTALLINE_ISA` is ignored here; the program validates it
    /// at start-up with [`requested`] and reports the error.
    #[inline]
    pub fn active() -> Isa {
        match ACTIVE.load(Ordering::Relaxed) {
            1 => Isa::Portable,
            2 => Isa::Avx2,
            3 => Isa::Avx512,
            4 => Isa::Avx512Bf16,
            _ => {
                let isa = requested().ok().flatten().unwrap_or_else(Isa::best);
                ACTIVE.store(isa as u8, Ordering::Relaxed);
                isa
            }
        }
    }
}

/// The path that `CRYSTALLINE_ISA` selects, `None` if it is not set.
///
/// # Errors
/// A message if the name is unknown or this processor lacks the path.
pub fn requested() -> Result<Option<Isa>, String> {
    let Ok(name) = std::env::var("CRYSTALLINE_ISA") else { return Ok(None) };
    let names: Vec<_> = Isa::available().map(Isa::name).collect();
    match Isa::from_name(&name) {
        Some(isa) if isa.is_available() => Ok(Some(isa)),
        Some(_) => Err(format!(
            "CRYSTALLINE_ISA={name}: this processor lacks it; it has {}",
            names.join(", ")
        )),
        None => Err(format!(
            "CRYSTALLINE_ISA={name}: no such instruction path; this processor has {}",
            names.join(", ")
        )),
    }
}

/// Makes all later kernel calls use this path. Packed weights become invalid: pack them again.
///
/// # Panics
/// If the processor lacks the instructions.
pub fn force(isa: Isa) {
    assert!(isa.is_available(), "isa::force: this processor lacks {}", isa.name());
    ACTIVE.store(isa as u8, Ordering::Relaxed);
}

/// Test support: instruction paths for the tests of this crate.
#[cfg(test)]
pub(crate) mod testing {
    use super::Isa;
    use std::sync::{Mutex, PoisonError};

    /// Every path that this processor supports. Prints the names of those that it skips, so that they
    /// are not taken for tested.
    pub(crate) fn paths() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| {
            if !isa.is_available() {
                println!("skipped: {} not on this processor", isa.name());
            }
            isa.is_available()
        })
    }

    /// Runs `test` once with each path active; a lock keeps other such tests out meanwhile.
    pub(crate) fn on_each_path(mut test: impl FnMut(Isa)) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Isa::active();
        for isa in paths() {
            super::force(isa);
            test(isa);
        }
        super::force(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_bijection() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::from_name("sse9"), None);
    }

    #[test]
    fn portable_is_always_there_and_best_is_available() {
        assert_eq!(Isa::available().next(), Some(Isa::Portable));
        assert!(Isa::best().is_available());
    }
}
