//! Benchmarks: the same shapes as everybody's, each figure beside what the machine can do.

pub mod training;
pub mod verified;

use clap::ValueEnum;
use engine::model::ModelConfig;

/// A standard shape: 4,096 tokens a step, the largest 1,024.
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
    /// The model, and sequences in a batch.
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
