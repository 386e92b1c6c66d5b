//! Thread pool for tasks of microseconds: a fixed set of threads, caller included, that spin-wait.
//!
//! The caller is thread 0. Threads claim task numbers from a counter, so a slow core takes fewer
//! tasks, and a worker that the system has descheduled takes none and is not waited for. The result
//! of a task depends on its number alone, never on the thread, so results do not depend on timing.
//! Workers spin between calls, because waking a parked thread costs tens of microseconds. They park
//! after `SPIN_LIMIT` tries, because an idle program must not keep a core busy.
//!
//! Threads share one word, which opens a call and hands out its tasks, and one count of finished
//! tasks. On nearby cores a call costs a fifth of a microsecond in addition to its tasks.
//! One call at a time: `Pool` takes `&mut self`, so calls cannot nest or overlap.

use crate::aligned::is_planning;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Tries of a waiting worker before it parks: about 200 microseconds.
const SPIN_LIMIT: usize = 20_000;

/// A function of (task, thread) with its lifetime erased; valid only while its call runs.
type Task = *const (dyn Fn(usize, usize) + Sync);

/// A value in its own cache lines, so that cores do not contend for neighbouring values. 128 bytes,
/// because processors fetch lines in pairs.
#[repr(align(128))]
struct CachePadded<T>(T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A call in one cache line: claiming a task also fetches the function.
struct Call {
    /// Number of tasks and the next one to claim. Claiming adds one. After the last claim further
    /// increments have no effect, so late claims are harmless.
    tickets: AtomicU64,
    /// The function to run; the caller writes it while no task is claimed.
    task: UnsafeCell<Option<Task>>,
}

struct Shared {
    call: CachePadded<Call>,
    /// Tasks of the call that workers have finished.
    n_done: CachePadded<AtomicUsize>,
    /// Workers that have started.
    n_ready: AtomicUsize,
    stop: AtomicBool,
    parked: Mutex<()>,
    wake: Condvar,
    n_parked: AtomicUsize,
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

// SAFETY: all but `task` may be shared anyway. `task` is written only while no task is claimed, and
// read only by a thread that has claimed one; claiming synchronises with the store that opened the
// call, and the caller waits for all that was claimed before it writes again. The pointee is
// `Sync`, and the caller keeps it alive for as long.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer belongs to no thread.
unsafe impl Send for Shared {}

/// Number of tasks of a call, and the next unclaimed one.
#[derive(Clone, Copy)]
struct Tickets {
    n_tasks: u32,
    next: u32,
}

impl Tickets {
    fn unpack(word: u64) -> Tickets {
        Tickets { n_tasks: (word >> 32) as u32, next: word as u32 }
    }

    fn pack(self) -> u64 {
        u64::from(self.n_tasks) << 32 | u64::from(self.next)
    }

    /// Whether an unclaimed task is left.
    fn is_open(self) -> bool {
        self.next < self.n_tasks
    }
}

/// A fixed set of threads; see the module documentation.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Pool {
    /// A pool of `threads` threads including the caller; 0 counts as 1. It has fewer if the
    /// operating system refuses to start more: results do not depend on their number.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            call: CachePadded(Call { tickets: AtomicU64::new(0), task: UnsafeCell::new(None) }),
            n_done: CachePadded(AtomicUsize::new(0)),
            n_ready: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            parked: Mutex::new(()),
            wake: Condvar::new(),
            n_parked: AtomicUsize::new(0),
            panic: Mutex::new(None),
        });
        let threads = if is_planning() { 1 } else { threads };
        let workers = (1..threads.max(1))
            .map_while(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernels-{i}"))
                    .spawn(move || shared.work(i))
                    .ok()
            })
            .collect::<Vec<_>>();
        // Thread start-up allocates, so wait for it here, outside any training step.
        let mut tries = 0;
        while shared.n_ready.load(Ordering::Acquire) < workers.len() {
            wait_a_little(&mut tries);
        }
        Pool { shared, workers }
    }

    /// Number of threads, including the caller.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)`, ..., `task(n_tasks - 1)`, each once, on any thread and in any order.
    ///
    /// # Panics
    /// With the payload of a task that panicked, after all tasks have ended.
    pub fn run(&mut self, n_tasks: usize, task: impl Fn(usize) + Sync) {
        self.run_on(n_tasks, |i, _| task(i));
    }

    /// As [`Pool::run`], but also passes the thread number. Two tasks that run at the same time
    /// have different thread numbers, all below [`Pool::threads`].
    fn run_on(&mut self, n_tasks: usize, task: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || n_tasks <= 1 {
            (0..n_tasks).for_each(|i| task(i, 0));
            return;
        }
        let task: &(dyn Fn(usize, usize) + Sync) = &task;
        // SAFETY: only the lifetime changes. This function returns after every claimed task was done,
        // so nobody holds the pointer when `task` goes out of scope.
        let erased: Task =
            unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Task>(task) };
        let shared = &*self.shared;
        // SAFETY: no task is claimed: those of the call before were waited for.
        unsafe { *shared.call.task.get() = Some(erased) };
        shared.n_done.store(0, Ordering::Relaxed);
        let n = u32::try_from(n_tasks).expect("Pool: more tasks than fit in u32");
        // The caller has claimed the first task. Sequentially consistent with the parking worker's
        // count and re-check: at least one of the two sees the other's store.
        shared.call.tickets.store(Tickets { n_tasks: n, next: 1 }.pack(), Ordering::SeqCst);
        if shared.n_parked.load(Ordering::SeqCst) > 0 {
            drop(lock(&shared.parked));
            shared.wake.notify_all();
        }
        shared.run_task(task, 0, 0);
        let n_own = 1 + shared.take_tasks(|| task, 0);
        let mut tries = 0;
        while shared.n_done.load(Ordering::Acquire) < n_tasks - n_own {
            wait_a_little(&mut tries);
        }
        if let Some(payload) = lock(&shared.panic).take() {
            resume_unwind(payload);
        }
    }

    /// Runs `f(i, &mut items[i])` for every item.
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub fn for_each<T: Send>(&mut self, items: &mut [T], f: impl Fn(usize, &mut T) + Sync) {
        let start = SendPtr(items.as_mut_ptr());
        self.run(items.len(), |i| {
            let start = &start;
            // SAFETY: `i` is below the length and no two tasks have the same number, so this is
            // the only reference to the item; `items` is borrowed until `run` returns.
            f(i, unsafe { &mut *start.0.add(i) });
        });
    }

    /// Runs `f(i, &mut a[i], &mut b[i])` for every pair.
    ///
    /// # Panics
    /// If the lengths differ; else as [`Pool::run`].
    pub fn for_each_pair<A: Send, B: Send>(
        &mut self,
        a: &mut [A],
        b: &mut [B],
        f: impl Fn(usize, &mut A, &mut B) + Sync,
    ) {
        assert_eq!(a.len(), b.len(), "for_each_pair: items of both kinds");
        let start = SendPtr(b.as_mut_ptr());
        self.for_each(a, |i, a| {
            let start = &start;
            // SAFETY: as in `for_each`, and both slices have as many items.
            f(i, a, unsafe { &mut *start.0.add(i) });
        });
    }

    /// Runs `f(i, parts)` for every range; `parts` holds that range of each slice.
    ///
    /// # Panics
    /// If the ranges are not ascending and disjoint or exceed a slice; else as [`Pool::run`].
    pub fn for_each_range<T: Send, const N: usize>(
        &mut self,
        slices: [&mut [T]; N],
        ranges: &[Range<usize>],
        f: impl Fn(usize, [&mut [T]; N]) + Sync,
    ) {
        let cut = Cut::new(slices, ranges);
        // SAFETY: no two tasks have the same number, and the slices are borrowed until `run` ends.
        self.run(ranges.len(), |i| f(i, unsafe { cut.parts(i) }));
    }

    /// As [`Pool::for_each_range`], and also passes `&mut items[i]` with the parts of range `i`.
    ///
    /// # Panics
    /// If `items` and ranges differ in number; else as [`Pool::for_each_range`].
    pub fn for_each_range_with<U: Send, T: Send, const N: usize>(
        &mut self,
        items: &mut [U],
        slices: [&mut [T]; N],
        ranges: &[Range<usize>],
        f: impl Fn(usize, &mut U, [&mut [T]; N]) + Sync,
    ) {
        assert_eq!(items.len(), ranges.len(), "for_each_range_with: items and ranges");
        let cut = Cut::new(slices, ranges);
        // SAFETY: as in `for_each_range`.
        self.for_each(items, |i, item| f(i, item, unsafe { cut.parts(i) }));
    }

    /// Runs `f(i, scratch, parts)` for every task. `parts` holds the task's range of each slice,
    /// which has its own ranges; `scratch` is the thread's item of `scratches`.
    ///
    /// The contents of `scratch` depend on the tasks that the thread ran before.
    ///
    /// # Panics
    /// If there are fewer scratches than threads, or the slices have different numbers of ranges;
    /// else as [`Pool::for_each_range`].
    pub fn for_each_cut<W: Send, T: Send, const N: usize>(
        &mut self,
        scratches: &mut [W],
        slices: [(&mut [T], &[Range<usize>]); N],
        f: impl Fn(usize, &mut W, [&mut [T]; N]) + Sync,
    ) {
        assert!(scratches.len() >= self.threads(), "for_each_cut: fewer scratches than threads");
        let n_tasks = slices.first().map_or(0, |(_, ranges)| ranges.len());
        let cuts = slices.map(|(slice, ranges)| {
            assert_eq!(ranges.len(), n_tasks, "for_each_cut: slices differ in ranges");
            Cut::new([slice], ranges)
        });
        let scratches = SendPtr(scratches.as_mut_ptr());
        self.run_on(n_tasks, |i, thread| {
            let scratches = &scratches;
            // SAFETY: a thread runs one task at a time and its number is below the number of
            // scratches, so this is the only reference to its scratch.
            let scratch = unsafe { &mut *scratches.0.add(thread) };
            // SAFETY: as in `for_each_range`.
            let parts = std::array::from_fn(|s| unsafe {
                let [part] = cuts[s].parts(i);
                part
            });
            f(i, scratch, parts);
        });
    }
}

/// Slices to be cut at the same checked ranges, one range per task.
struct Cut<'a, T, const N: usize> {
    starts: [SendPtr<T>; N],
    ranges: &'a [Range<usize>],
    borrow: PhantomData<&'a mut ()>,
}

impl<'a, T, const N: usize> Cut<'a, T, N> {
    fn new(slices: [&'a mut [T]; N], ranges: &'a [Range<usize>]) -> Self {
        let mut end = 0;
        for range in ranges {
            assert!(end <= range.start && range.start <= range.end, "for_each_range: overlap");
            end = range.end;
        }
        for slice in &slices {
            assert!(end <= slice.len(), "for_each_range: a range ends beyond a slice");
        }
        let starts = slices.map(|slice| SendPtr(slice.as_mut_ptr()));
        Cut { starts, ranges, borrow: PhantomData }
    }

    /// Range `i` of every slice.
    ///
    /// # Safety
    /// Call at most once for each `i` while its parts live.
    unsafe fn parts(&self, i: usize) -> [&'a mut [T]; N] {
        let range = &self.ranges[i];
        std::array::from_fn(|s| {
            // SAFETY: `new` checked that the range lies inside the slice and overlaps no other.
            unsafe {
                std::slice::from_raw_parts_mut(self.starts[s].0.add(range.start), range.len())
            }
        })
    }
}

struct SendPtr<T>(*mut T);
// SAFETY: it stands for a `&mut [T]` of `Send` items that tasks take apart without overlap.
unsafe impl<T: Send> Sync for SendPtr<T> {}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code panics while it holds one of these locks, so the value is valid even if poisoned.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Claims and runs tasks until none is left; returns how many. `task` is called after a claim.
    fn take_tasks<'a>(
        &self,
        task: impl Fn() -> &'a (dyn Fn(usize, usize) + Sync),
        thread: usize,
    ) -> usize {
        let mut n_taken = 0;
        // A load is cheaper than a failed claim.
        while Tickets::unpack(self.call.tickets.load(Ordering::Relaxed)).is_open() {
            let claimed = Tickets::unpack(self.call.tickets.fetch_add(1, Ordering::Acquire));
            if !claimed.is_open() {
                break;
            }
            self.run_task(task(), claimed.next as usize, thread);
            n_taken += 1;
        }
        n_taken
    }

    /// Runs a claimed task; stores a panic for the caller.
    fn run_task(&self, task: &(dyn Fn(usize, usize) + Sync), i: usize, thread: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(i, thread))) {
            lock(&self.panic).get_or_insert(payload);
        }
    }

    /// Main loop of a worker: wait for a call, run tasks until none is left, report, wait again.
    fn work(&self, thread: usize) {
        let task = || {
            // SAFETY: the worker has claimed a task, so the caller waits for it: it neither writes
            // nor lets go of the function. Claiming synchronised with the store after the write.
            unsafe {
                let task = (*self.call.task.get()).expect("a call has a task");
                &*task
            }
        };
        self.n_ready.fetch_add(1, Ordering::Release);
        while self.wait_for_call() {
            let n_taken = self.take_tasks(task, thread);
            if n_taken > 0 {
                self.n_done.fetch_add(n_taken, Ordering::Release);
            }
        }
    }

    /// Waits until there is a task to claim; returns false if the pool is being dropped.
    fn wait_for_call(&self) -> bool {
        let is_open = |order| Tickets::unpack(self.call.tickets.load(order)).is_open();
        let mut tries = 0;
        while tries < SPIN_LIMIT {
            if is_open(Ordering::Relaxed) {
                return true;
            }
            wait_a_little(&mut tries);
        }
        let mut guard = lock(&self.parked);
        self.n_parked.fetch_add(1, Ordering::SeqCst);
        let goes_on = loop {
            if self.stop.load(Ordering::Acquire) {
                break false;
            }
            if is_open(Ordering::SeqCst) {
                break true;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.n_parked.fetch_sub(1, Ordering::SeqCst);
        goes_on
    }
}

/// Spins, and yields the core every thousandth time: with more threads than cores, the awaited
/// thread may need it.
fn wait_a_little(tries: &mut usize) {
    *tries += 1;
    if (*tries).is_multiple_of(1000) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        drop(lock(&self.shared.parked));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // Workers catch every panic of a task, so joining has no failure to report.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_on_any_number_of_threads() {
        for threads in [1, 2, 3, 5] {
            let mut pool = Pool::new(threads);
            for n in [0, 1, 2, 7, 100] {
                let mut hits = vec![0u32; n];
                pool.for_each(&mut hits, |i, hit| *hit += 1 + i as u32);
                assert!(hits.iter().enumerate().all(|(i, hit)| *hit == 1 + i as u32));
            }
        }
    }

    #[test]
    fn each_task_gets_its_own_ranges() {
        let mut pool = Pool::new(2);
        let (mut a, mut b) = (vec![1; 10], vec![2; 10]);
        pool.for_each_range([&mut a, &mut b], &[0..3, 3..4, 6..10], |i, [a, b]| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += *b * i as i32);
        });
        assert_eq!(a, [1, 1, 1, 3, 1, 1, 5, 5, 5, 5]);
    }

    #[test]
    fn each_slice_has_its_own_ranges_and_each_thread_its_own_scratch() {
        for threads in [1, 2, 4] {
            let mut pool = Pool::new(threads);
            let (mut a, mut b) = (vec![0; 100], vec![0; 300]);
            let thin: Vec<_> = (0..100).map(|i| i..i + 1).collect();
            let wide: Vec<_> = (0..100).map(|i| 3 * i..3 * i + 2).collect();
            let mut n_run = vec![0; threads];
            pool.for_each_cut(&mut n_run, [(&mut a, &thin), (&mut b, &wide)], |i, n, [a, b]| {
                *n += 1;
                a.fill(i);
                b.fill(i);
            });
            assert_eq!(n_run.iter().sum::<usize>(), 100);
            assert!(a.iter().enumerate().all(|(i, x)| *x == i));
            assert!(b.iter().enumerate().all(|(i, x)| *x == if i % 3 == 2 { 0 } else { i / 3 }));
        }
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_ranges_are_refused() {
        let mut a = vec![0; 10];
        Pool::new(2).for_each_range([&mut a], &[0..3, 2..4], |_, _| {});
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        let mut pool = Pool::new(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(8, |i| assert!(i != 3, "task three"));
        }));
        assert!(caught.is_err());
        let mut items = vec![0; 4];
        pool.for_each(&mut items, |i, item| *item = i);
        assert_eq!(items, [0, 1, 2, 3]);
    }

    #[test]
    fn parked_workers_wake() {
        let mut pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(if cfg!(miri) { 1 } else { 20 }));
            let mut items = vec![0; 2];
            pool.for_each(&mut items, |i, item| *item = i + 1);
            assert_eq!(items, [1, 2]);
        }
    }
}
