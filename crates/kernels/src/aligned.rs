//! `AlignedVec`: a zeroed, cache-line aligned buffer of plain numbers with a fixed size.
//!
//! A run's parameters, gradients, moments, activations and packed weights are one such buffer each.
//! With this alignment no two buffers share a cache line and no vector load crosses one.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes of a cache line, and of the widest vector register.
pub const ALIGN_BYTES: usize = 64;

/// Allocations of this size and larger are aligned to 2 MiB pages and advised to use them.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Number types for which all-zero bits are a valid value: the elements of an [`AlignedVec`].
///
/// # Safety
/// Implement this only for types without padding, pointers, `Drop`, or invalid bit patterns.
pub unsafe trait Plain: Copy + Send + Sync + 'static {}
// SAFETY: primitive numbers have no padding and every bit pattern is a value.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}

/// A fixed-size, zeroed slice of `T` that starts at a multiple of [`ALIGN_BYTES`].
#[derive(Debug)]
pub struct AlignedVec<T: Plain> {
    start: NonNull<T>,
    len: usize,
    /// Elements that it would have if it were not made in [`plan`].
    planned: usize,
}

thread_local! {
    static IS_PLANNING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `make`, in which every [`AlignedVec`] that this thread makes is empty and only knows its
/// [`AlignedVec::size`], and pools have no threads. So the code that takes memory also tells how
/// much it would take.
pub fn plan<R>(make: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_PLANNING.set(self.0);
        }
    }
    let _restore = Restore(IS_PLANNING.replace(true));
    make()
}

/// Whether this thread runs in [`plan`].
pub fn is_planning() -> bool {
    IS_PLANNING.get()
}

// SAFETY: it owns its elements, which are `Send + Sync` numbers.
unsafe impl<T: Plain> Send for AlignedVec<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Plain> Sync for AlignedVec<T> {}

impl<T: Plain> AlignedVec<T> {
    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// If the byte size overflows; aborts through the standard handler if memory is exhausted.
    pub fn zeroed(len: usize) -> AlignedVec<T> {
        if len == 0 || is_planning() {
            return AlignedVec { start: NonNull::dangling(), len: 0, planned: len };
        }
        let layout = Self::layout(len);
        // SAFETY: the layout has a non-zero size, since `len > 0` and no `Plain` type is empty.
        let bytes = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(bytes.cast::<T>()) else { handle_alloc_error(layout) };
        // Must precede the first write: pages that `alloc_zeroed` touches stay 4 KiB pages.
        advise_huge_pages(bytes, layout.size());
        // SAFETY: the allocation has that many bytes, and all-zero bits are a value of `T`.
        unsafe { bytes.write_bytes(0, layout.size()) };
        AlignedVec { start, len, planned: len }
    }

    /// Number of elements, or the number that it would have if it was made in [`plan`].
    pub fn size(&self) -> usize {
        self.planned
    }

    /// Makes room for at least `len` elements; if there were fewer, all are zeros afterwards.
    ///
    /// # Panics
    /// As [`AlignedVec::zeroed`].
    pub fn reserve_zeroed(&mut self, len: usize) {
        if self.len < len {
            *self = AlignedVec::zeroed(len);
        }
    }

    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<T>()).expect("AlignedVec: byte size overflows");
        let align = if bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { ALIGN_BYTES };
        Layout::from_size_align(bytes, align).expect("AlignedVec: byte size overflows")
    }
}

/// Asks for 2 MiB pages, which avoid most of the TLB misses of a large buffer.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise_huge_pages(start: *mut u8, bytes: usize) {
    unsafe extern "C" {
        fn madvise(addr: *mut u8, length: usize, advice: i32) -> i32;
    }
    const MADV_HUGEPAGE: i32 = 14;
    if bytes >= HUGE_PAGE_BYTES {
        // SAFETY: the range was just allocated at this alignment and the advice changes no data;
        // a refusal leaves ordinary pages.
        let _ = unsafe { madvise(start, bytes, MADV_HUGEPAGE) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn advise_huge_pages(_start: *mut u8, _bytes: usize) {}

impl<T: Plain> Drop for AlignedVec<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
        }
    }
}

impl<T: Plain> Deref for AlignedVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` initialised elements start there, or the slice is empty.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Plain> DerefMut for AlignedVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_only_when_it_is_too_short() {
        let mut v = AlignedVec::<u32>::zeroed(3);
        v[1] = 7;
        for len in [0, 2, 3] {
            v.reserve_zeroed(len);
            assert_eq!(*v, [0, 7, 0]);
        }
        v.reserve_zeroed(4);
        assert_eq!(*v, [0; 4]);
    }

    #[test]
    fn a_plan_takes_no_memory_and_knows_how_much_it_would() {
        let (planned, nested) = plan(|| {
            plan(|| ());
            (AlignedVec::<f32>::zeroed(1 << 60), is_planning())
        });
        assert_eq!(
            (planned.size(), planned.len(), nested, is_planning()),
            (1 << 60, 0, true, false)
        );
        let real = AlignedVec::<f32>::zeroed(3);
        assert_eq!((real.size(), real.len()), (3, 3));
        // It ends with a panic too.
        assert!(std::panic::catch_unwind(|| plan(|| panic!("planted"))).is_err());
        assert!(!is_planning());
    }

    #[test]
    fn is_zeroed_aligned_and_writable_at_every_size() {
        for len in [0, 1, 15, 16, 17, 1000, HUGE_PAGE_BYTES / 4 + 1] {
            let mut v = AlignedVec::<f32>::zeroed(len);
            assert_eq!(v.as_ptr().addr() % if len == 0 { 1 } else { ALIGN_BYTES }, 0);
            assert!(v.iter().all(|x| *x == 0.0));
            v.iter_mut().for_each(|x| *x = 1.0);
            assert_eq!(v.len(), len);
        }
    }
}
