//! Stop flag: a request to end long work early, which that work looks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A request to end long work early; once made it stays. Clones are the same request.
///
/// Looking for it is one relaxed load, so loops look as often as they like. Work that ends early
/// leaves results behind that are not to be used; its caller looks for the request afterwards.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Makes the request.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the request was made.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for those who set or read it by other means, such as handlers of signals.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_one_request_and_others_are_not() {
        let (stop, other) = (Stop::default(), Stop::default());
        let clone = stop.clone();
        clone.request();
        assert!(stop.is_requested() && clone.is_requested() && !other.is_requested());
    }
}
