//! Initial parameters: a pure function of (seed, table).

use super::layout::Layout;
use super::table::Init;
use kernels::AlignedVec;
use kernels::rng::{Purpose, Rng};

/// Initial parameters as the table specifies. Each tensor draws from its own random stream, so that
/// its numbers do not depend on the tensors before it.
pub fn init_params(layout: &Layout, seed: u64) -> AlignedVec<f32> {
    let mut params = AlignedVec::zeroed(layout.len);
    for (i, tensor) in layout.tensors.iter().enumerate() {
        let values = tensor.span.of_mut(&mut params);
        match tensor.init {
            Init::Ones => values.fill(1.0),
            Init::Zeros => {}
            Init::Normal(std) => {
                let rng = Rng::new(seed, Purpose::Initialisation, i as u64);
                rng.fill_normal(values, 0, std as f64);
            }
        }
    }
    params
}
