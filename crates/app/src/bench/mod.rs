//! Benchmarks on standard shapes; each figure is related to the limits of the machine.

pub mod codes;
pub mod generation;
pub mod orders;
pub mod training;
pub mod verified;
pub mod writing;

use clap::ValueEnum;
use engine::model::ModelConfig;

/// A standard shape: 4,096 tokens per step, for the largest 1,024.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shape {
    /// V=4096, width 128, 4 layers, T=128.
    Nano,
    /// V=8192, width 384, 6 layers, T=256.
    Small,
    /// V=33278, width 128, 4 layers, T=128.
    Word,
    /// V=50257, width 768, 12 layers, T=256.
    #[value(name = "124m")]
    M124,
}

impl Shape {
    /// The model, and the number of sequences in a batch.
    pub fn config(self) -> (ModelConfig, usize) {
        let (v, c, l, h, t, batch) = match self {
            Shape::Nano => (4096, 128, 4, 4, 128, 32),
            Shape::Small => (8192, 384, 6, 6, 256, 16),
            Shape::Word => (33278, 128, 4, 4, 128, 32),
            Shape::M124 => (50257, 768, 12, 12, 256, 4),
        };
        (ModelConfig { seq_len: t, ..ModelConfig::new(v, c, l, h) }, batch)
    }
}

/// The sum over all threads of the result of `measure`, run on all at once.
fn on_all_threads(threads: usize, measure: impl Fn(usize) -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let measure = &measure;
        let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || measure(t))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).sum()
    })
}

/// The median of the measurements.
fn median(measured: &mut [f64]) -> f64 {
    measured.sort_by(f64::total_cmp);
    measured[measured.len() / 2]
}
