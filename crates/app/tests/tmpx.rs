#![allow(dead_code, unused, clippy::all)]
mod resume {
    #[path = "/tmp/h/c/crates/engine/tests/it/resume/corpus.rs"]
    mod corpus;
    #[path = "/tmp/h/c/crates/engine/tests/it/resume/every_step.rs"]
    mod every_step;
    #[path = "/tmp/h/c/crates/engine/tests/it/resume/rollback.rs"]
    mod rollback;
    #[path = "/tmp/h/c/crates/engine/tests/it/resume/scene.rs"]
    mod scene;
}
mod durability {
    #[path = "/tmp/h/c/crates/engine/tests/it/durability/real_disk.rs"]
    mod real_disk;
    #[path = "/tmp/h/c/crates/engine/tests/it/durability/retention.rs"]
    mod retention;
    #[path = "/tmp/h/c/crates/engine/tests/it/durability/scenario.rs"]
    mod scenario;
    #[path = "/tmp/h/c/crates/engine/tests/it/durability/sim_disk.rs"]
    mod sim_disk;
    #[path = "/tmp/h/c/crates/engine/tests/it/durability/sim_fs.rs"]
    mod sim_fs;
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
}
