//! Constants of kernels, such as an eps: each can be given wrongly to the kernel alone, to see that the
//! comparison with the definition notices.
//!
//! A constant that no case is sensitive to could be wrong, or missing, without a test failing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static KNOWN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Factor on a constant that is planted wrongly.
const WRONG: f32 = 1.05;

/// `value` as it is to be given to a kernel: wrong if an error is planted in the constant called
/// `name`, the function's name first.
pub fn constant(name: &'static str, value: f32) -> f32 {
    KNOWN.with_borrow_mut(|known| known.insert(name));
    if PLANTED.get() == Some(name) { value * WRONG } else { value }
}

/// The names of the constants that `run` gives to kernels.
pub fn known(run: impl FnOnce()) -> BTreeSet<&'static str> {
    KNOWN.take();
    run();
    KNOWN.take()
}

/// Does `run` with a wrong value of the constant called `name`.
pub fn with_wrong<R>(name: &'static str, run: impl FnOnce() -> R) -> R {
    PLANTED.set(Some(name));
    let result = run();
    PLANTED.set(None);
    result
}
