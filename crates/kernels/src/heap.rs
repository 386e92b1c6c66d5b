//! Heap: the system's allocator, which lets the program say so where memory is exhausted.
//!
//! Without it the standard library aborts with a backtrace. Every allocation passes here, so there
//! is no other place where memory can run out unsaid.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, to be named as the program's `#[global_allocator]`.
#[derive(Debug)]
pub struct Heap {
    /// Called with the number of bytes that the system refused; it must not allocate.
    pub exhausted: fn(usize) -> !,
}

impl Heap {
    fn checked(&self, bytes: *mut u8, size: usize) -> *mut u8 {
        if bytes.is_null() { (self.exhausted)(size) } else { bytes }
    }
}

// SAFETY: all calls go to the system's allocator as they are; `exhausted` does not return.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this method, which is the same.
        self.checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.checked(unsafe { System.realloc(old, layout, size) }, size)
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}
