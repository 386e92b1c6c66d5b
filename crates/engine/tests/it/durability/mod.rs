//! Durability: saving, pruning, appending and loading under every failure of a simulated disk.
//!
//! Each test also runs against a deliberately broken writer and must catch it. Random tests
//! print their seed; `CRYSTALLINE_TEST_SEED` sets it, `CRYSTALLINE_TEST_CASES` multiplies counts.

// A panic is how a test fails; clippy allows it only in functions marked as tests.
#![allow(clippy::unwrap_used)]

mod bit_rot;
mod crash_states;
mod disk_full;
mod faults;
mod hostile_tensors;
mod line_files;
mod model_folder;
mod real_disk;
mod retention;
mod scenario;
mod sim_disk;
mod sim_fs;
mod snapshot;
mod sync_failures;

/// Random number generator (Steele and others, "Fast splittable pseudorandom number
/// generators", 2014).
pub struct Rng(u64);

impl Rng {
    /// Seeded by the environment variable, or else by a constant, and by `stream`.
    fn new(stream: u64) -> Rng {
        let seed = std::env::var("CRYSTALLINE_TEST_SEED");
        let seed: u64 =
            seed.map_or(1, |seed| seed.parse().expect("CRYSTALLINE_TEST_SEED: a number"));
        println!("CRYSTALLINE_TEST_SEED={seed}");
        Rng(seed.wrapping_mul(1 << 32).wrapping_add(stream))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// One of `0..n`.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// `n` cases, times `CRYSTALLINE_TEST_CASES` if set.
fn cases(n: usize) -> usize {
    let factor = std::env::var("CRYSTALLINE_TEST_CASES");
    n * factor.map_or(1, |f| f.parse().expect("CRYSTALLINE_TEST_CASES: a number"))
}
