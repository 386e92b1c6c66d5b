//! Plane curves: Ulam's spiral and Hilbert's curve, from number to point and back.

pub mod hilbert;
pub mod spiral;
