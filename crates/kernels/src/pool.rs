//! A fixed pool of threads for work of microseconds: the caller is worker 0, the others spin.
//!
//! A call hands out task numbers from a counter, so a slow core takes fewer tasks; what a task
//! computes depends on its number alone, never on who runs it, so results do not depend on timing.
//! Workers spin between calls, because waking a parked thread costs tens of microseconds, and park
//! after `SPIN_LIMIT` tries, because an idle program must not burn a core.
//!
//! One call at a time: `Pool` is used through `&mut self`, so calls cannot nest or overlap.

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Tries of a waiting worker before it parks; about 200 microseconds.
const SPIN_LIMIT: usize = 20_000;

/// A function of (task, thread) whose lifetime was erased; valid only while its call runs.
type Task = *const (dyn Fn(usize, usize) + Sync);

struct Job {
    task: Task,
    n_tasks: usize,
}

// SAFETY: the pointee is `Sync`, and workers use it only between the start and the end of a call,
// during which the caller keeps it alive.
unsafe impl Send for Job {}

struct Shared {
    /// Grows by one per call; a worker that sees a new value takes part in it.
    epoch: AtomicUsize,
    next_task: AtomicUsize,
    n_running: AtomicUsize,
    stop: AtomicBool,
    job: Mutex<Option<Job>>,
    parked: Mutex<()>,
    wake: Condvar,
    n_parked: AtomicUsize,
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

/// A fixed set of threads; see the module.
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
    /// A pool of `threads` threads, the caller among them; 0 counts as 1.
    ///
    /// # Panics
    /// If the operating system refuses a thread.
    pub fn new(threads: usize) -> Pool {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            next_task: AtomicUsize::new(0),
            n_running: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            job: Mutex::new(None),
            parked: Mutex::new(()),
            wake: Condvar::new(),
            n_parked: AtomicUsize::new(0),
            panic: Mutex::new(None),
        });
        let workers = (1..threads.max(1))
            .map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("kernels-{i}"))
                    .spawn(move || work(&shared, i))
                    .expect("Pool::new: the operating system refused a thread")
            })
            .collect();
        Pool { shared, workers }
    }

    /// Number of threads, the caller among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0)`, ..., `task(n_tasks - 1)`, each once, on any thread in any order.
    ///
    /// # Panics
    /// With the payload of a task that panicked, after all tasks ended.
    pub fn run(&mut self, n_tasks: usize, task: impl Fn(usize) + Sync) {
        self.run_on(n_tasks, |i, _| task(i));
    }

    /// As [`Pool::run`], with the number of the thread beside the task's: two tasks that run at the
    /// same time have different ones, all below [`Pool::threads`].
    fn run_on(&mut self, n_tasks: usize, task: impl Fn(usize, usize) + Sync) {
        if self.workers.is_empty() || n_tasks <= 1 {
            (0..n_tasks).for_each(|i| task(i, 0));
            return;
        }
        let task: &(dyn Fn(usize, usize) + Sync) = &task;
        // SAFETY: only the lifetime changes. This function returns after every worker left the
        // job (`n_running` is 0), so nobody holds the pointer when `task` goes out of scope.
        let erased: Task =
            unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Task>(task) };
        let shared = &*self.shared;
        *lock(&shared.job) = Some(Job { task: erased, n_tasks });
        shared.next_task.store(0, Ordering::Relaxed);
        shared.n_running.store(self.workers.len(), Ordering::Relaxed);
        // Sequentially consistent with the parking worker's count and re-check: one sees the other.
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        if shared.n_parked.load(Ordering::SeqCst) > 0 {
            drop(lock(&shared.parked));
            shared.wake.notify_all();
        }
        take_tasks(shared, task, n_tasks, 0);
        let mut tries = 0;
        while shared.n_running.load(Ordering::Acquire) > 0 {
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

    /// Runs `f(i, parts)` for every range, `parts` being that range of each of the slices.
    ///
    /// # Panics
    /// If the ranges are not ascending and disjoint or leave a slice; else as [`Pool::run`].
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

    /// As [`Pool::for_each_range`], with `&mut items[i]` beside the parts of range `i`.
    ///
    /// # Panics
    /// If there are not as many items as ranges; else as [`Pool::for_each_range`].
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

    /// Runs `f(i, room, parts)` for every task, `parts` being the task's range of each slice, which
    /// has ranges of its own, and `room` what is kept for the thread that runs it.
    ///
    /// What `room` holds depends on what ran before on the thread: it is for scratch.
    ///
    /// # Panics
    /// If there are fewer rooms than threads, or the slices have different numbers of ranges; else
    /// as [`Pool::for_each_range`].
    pub fn for_each_cut<W: Send, T: Send, const N: usize>(
        &mut self,
        rooms: &mut [W],
        slices: [(&mut [T], &[Range<usize>]); N],
        f: impl Fn(usize, &mut W, [&mut [T]; N]) + Sync,
    ) {
        assert!(rooms.len() >= self.threads(), "for_each_cut: fewer rooms than threads");
        let n_tasks = slices.first().map_or(0, |(_, ranges)| ranges.len());
        let cuts = slices.map(|(slice, ranges)| {
            assert_eq!(ranges.len(), n_tasks, "for_each_cut: slices differ in ranges");
            Cut::new([slice], ranges)
        });
        let rooms = SendPtr(rooms.as_mut_ptr());
        self.run_on(n_tasks, |i, thread| {
            let rooms = &rooms;
            // SAFETY: a thread runs one task at a time and its number is below the number of
            // rooms, so this is the only reference to its room.
            let room = unsafe { &mut *rooms.0.add(thread) };
            // SAFETY: as in `for_each_range`.
            let parts = std::array::from_fn(|s| unsafe {
                let [part] = cuts[s].parts(i);
                part
            });
            f(i, room, parts);
        });
    }
}

/// Slices to be cut at the same checked ranges, a range a task.
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
    /// Each `i` at most once while parts of it live.
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
    // No code panics while it holds one of these locks, so the value is sound even if poisoned.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_tasks(
    shared: &Shared,
    task: &(dyn Fn(usize, usize) + Sync),
    n_tasks: usize,
    thread: usize,
) {
    loop {
        let i = shared.next_task.fetch_add(1, Ordering::Relaxed);
        if i >= n_tasks {
            return;
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| task(i, thread))) {
            lock(&shared.panic).get_or_insert(payload);
        }
    }
}

/// A worker's life: wait for a call, take tasks until none is left, report, wait again.
fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    loop {
        seen = wait_for_call(shared, seen);
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let job =
            lock(&shared.job).as_ref().map(|job| Job { task: job.task, n_tasks: job.n_tasks });
        if let Some(job) = job {
            // SAFETY: the caller of `run` waits for `n_running` to reach 0 before it lets go of
            // the function, and this worker counts itself out only below.
            take_tasks(shared, unsafe { &*job.task }, job.n_tasks, thread);
        }
        shared.n_running.fetch_sub(1, Ordering::Release);
    }
}

/// Spins, and every thousandth time lets another thread have the core: with more threads than
/// cores, the one waited for may need it.
fn wait_a_little(tries: &mut usize) {
    *tries += 1;
    if (*tries).is_multiple_of(1000) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

fn wait_for_call(shared: &Shared, seen: usize) -> usize {
    let mut tries = 0;
    while tries < SPIN_LIMIT {
        let epoch = shared.epoch.load(Ordering::Acquire);
        if epoch != seen {
            return epoch;
        }
        wait_a_little(&mut tries);
    }
    let mut guard = lock(&shared.parked);
    shared.n_parked.fetch_add(1, Ordering::SeqCst);
    let epoch = loop {
        let epoch = shared.epoch.load(Ordering::SeqCst);
        if epoch != seen {
            break epoch;
        }
        guard = shared.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
    };
    shared.n_parked.fetch_sub(1, Ordering::SeqCst);
    epoch
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        drop(lock(&self.shared.parked));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of a task, so joining cannot fail in a way to report.
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
    fn ranges_give_each_task_its_own_parts() {
        let mut pool = Pool::new(2);
        let (mut a, mut b) = (vec![1; 10], vec![2; 10]);
        pool.for_each_range([&mut a, &mut b], &[0..3, 3..4, 6..10], |i, [a, b]| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += *b * i as i32);
        });
        assert_eq!(a, [1, 1, 1, 3, 1, 1, 5, 5, 5, 5]);
    }

    #[test]
    fn slices_are_cut_each_in_its_own_way_and_rooms_belong_to_threads() {
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
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
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
