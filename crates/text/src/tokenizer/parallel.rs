//! Parallel processing of large texts in chunks, with results in order.
//!
//! No split rule looks past a position where a blank follows a non-blank (tested in `pretokenize`),
//! and special tokens have no blanks. The concatenated ids of the chunks are therefore the ids of
//! the whole text. Chunk `i` is processed by thread `i mod n` and returned through that thread's
//! bounded channel, so results arrive in order and only a few chunks are in memory at a time.

use super::error::TextError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Smallest chunk, in bytes: about 20 ms of work.
pub(super) const CHUNK_LEN: usize = 1 << 20;

/// Number of chunks that a thread may be ahead of the consumer.
const N_AHEAD: usize = 2;

/// Threads, cancellation and progress of long work.
#[derive(Default)]
pub struct Control<'a> {
    /// Number of threads; 0 counts as 1. Results never depend on it.
    pub threads: usize,
    /// Checked before every chunk; once true, the work ends with [`TextError::Cancelled`].
    pub cancel: Option<&'a AtomicBool>,
    /// Called after every chunk with the number of bytes done and the total.
    pub progress: Option<&'a mut dyn FnMut(u64, u64)>,
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Control<'_> {
    /// The given number of threads, without cancellation or progress.
    pub fn threads(threads: usize) -> Control<'static> {
        Control { threads, ..Control::default() }
    }

    /// # Errors
    /// [`TextError::Cancelled`] if the flag is set.
    pub(super) fn check(&self) -> Result<(), TextError> {
        if is_set(self.cancel) { Err(TextError::Cancelled) } else { Ok(()) }
    }
}

fn is_set(cancel: Option<&AtomicBool>) -> bool {
    cancel.is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Time between looks at the cancellation flag while another thread works.
const LOOK: Duration = Duration::from_millis(20);

/// Runs work that cannot be interrupted on a thread of its own, which is left behind if the control
/// is cancelled meanwhile.
///
/// # Errors
/// [`TextError::Cancelled`], or [`TextError::NoThread`] if the system has no thread for it.
pub(super) fn apart<R: Send + 'static>(
    control: &Control,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, TextError> {
    let (sender, receiver) = sync_channel(1);
    let work = move || drop(sender.send(work()));
    let thread = std::thread::Builder::new().name("apart".to_owned()).spawn(work);
    let thread = thread.map_err(|source| TextError::NoThread { source })?;
    loop {
        control.check()?;
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {}
            // It sends unless it panics.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(TextError::Cancelled),
            },
        }
    }
}

/// Cuts each text into chunks of at least `len_min` bytes before blanks that follow non-blanks.
pub(super) fn chunks_of<'t>(texts: &[&'t str], len_min: usize) -> Vec<&'t str> {
    let mut chunks = Vec::new();
    for &text in texts {
        let mut rest = text;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(safe_cut(rest, len_min.max(1)));
            chunks.push(chunk);
            rest = after;
        }
    }
    chunks
}

/// The first safe position to cut at `from` or later; the end of the text if there is none.
fn safe_cut(text: &str, from: usize) -> usize {
    if from >= text.len() {
        return text.len();
    }
    let from = (from..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let mut after_blank = text[..from].chars().next_back().is_none_or(char::is_whitespace);
    for (at, c) in text[from..].char_indices() {
        if c.is_whitespace() && !after_blank {
            return from + at;
        }
        after_blank = c.is_whitespace();
    }
    text.len()
}

/// Groups consecutive parts of texts, given with the text of each, so that a group has about a
/// mebibyte: long texts are cut, short ones are joined.
pub(super) fn groups_of<'t, P>(
    parts: impl Iterator<Item = P>,
    text: impl Fn(&P) -> &'t str,
) -> Vec<Vec<P>> {
    let (mut groups, mut n_bytes) = (vec![Vec::new()], 0);
    for part in parts {
        if n_bytes >= CHUNK_LEN {
            groups.push(Vec::new());
            n_bytes = 0;
        }
        n_bytes += text(&part).len();
        groups.last_mut().expect("there is always a group").push(part);
    }
    groups
}

/// Applies `work` to the texts on the threads of `control`, each with its own state from `start`,
/// and passes the results to `sink` in order on the calling thread. Long texts are cut.
///
/// # Errors
/// [`TextError::Cancelled`], or the error of `sink`; all threads have ended by then.
pub(super) fn map_texts<'t, S, R: Send, E: From<TextError>>(
    texts: &[&'t str],
    control: &mut Control,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &[&'t str]) -> R + Sync,
    sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let groups = groups_of(chunks_of(texts, CHUNK_LEN).into_iter(), |chunk| chunk);
    let n_bytes = |group: &Vec<&str>| group.iter().map(|chunk| chunk.len()).sum();
    map_in_order(&groups, n_bytes, control, start, |state, group| work(state, group), sink)
}

/// Applies `work` to `chunks` on the threads of `control`, each with its own state from `start`,
/// and passes the results to `sink` in order on the calling thread. `n_bytes` is what a chunk counts
/// in progress.
///
/// # Errors
/// [`TextError::Cancelled`], or the error of `sink`; all threads have ended by then.
pub(super) fn map_in_order<C: Sync, S, R: Send, E: From<TextError>>(
    chunks: &[C],
    n_bytes: impl Fn(&C) -> usize,
    control: &mut Control,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &C) -> R + Sync,
    mut sink: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let n_all: u64 = chunks.iter().map(|chunk| n_bytes(chunk) as u64).sum();
    let mut n_done = 0;
    let mut finish = |control: &mut Control, chunk: &C, result: R| {
        sink(result)?;
        n_done += n_bytes(chunk) as u64;
        if let Some(progress) = &mut control.progress {
            progress(n_done, n_all);
        }
        Ok::<(), E>(())
    };

    let n_threads = control.threads.clamp(1, chunks.len().max(1));
    if n_threads == 1 {
        let mut state = start();
        for chunk in chunks {
            control.check()?;
            finish(control, chunk, work(&mut state, chunk))?;
        }
        return Ok(());
    }

    let cancel = control.cancel;
    std::thread::scope(|scope| {
        let start_thread = |thread| {
            let (sender, receiver) = sync_channel(N_AHEAD);
            let (start, work) = (&start, &work);
            let mine = chunks.iter().skip(thread).step_by(n_threads);
            std::thread::Builder::new()
                .spawn_scoped(scope, move || work_on(mine, cancel, &sender, start(), work))
                .map_err(|source| TextError::NoThread { source })?;
            Ok::<_, TextError>(receiver)
        };
        let receivers: Vec<_> = (0..n_threads).map(start_thread).collect::<Result<_, _>>()?;
        for (i, chunk) in chunks.iter().enumerate() {
            control.check()?;
            // A thread stops early only if cancelled, or on a panic, which the scope propagates.
            let result = receivers[i % n_threads].recv().map_err(|_| TextError::Cancelled)?;
            finish(control, chunk, result)?;
        }
        Ok(())
        // The receivers are dropped here, which stops the threads that are still sending.
    })
}

/// One thread's share of [`map_in_order`].
fn work_on<'c, C: 'c, S, R>(
    chunks: impl Iterator<Item = &'c C>,
    cancel: Option<&AtomicBool>,
    sender: &SyncSender<R>,
    mut state: S,
    work: &impl Fn(&mut S, &C) -> R,
) {
    for chunk in chunks {
        if is_set(cancel) || sender.send(work(&mut state, chunk)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_before_blanks_and_lose_nothing() {
        let text = "one two  three\n\nfour ünf";
        assert_eq!(chunks_of(&[text], 1), ["one", " two", "  three", "\n\nfour", " ünf"]);
        assert_eq!(chunks_of(&[text], 5), ["one two", "  three", "\n\nfour", " ünf"]);
        assert_eq!(chunks_of(&[text], 100), [text]);
        assert_eq!(chunks_of(&["", "日本日本日本", "  "], 2), ["日本日本日本", "  "]);
    }

    #[test]
    fn short_texts_are_joined() {
        let (short, long) = ("word ".repeat(CHUNK_LEN / 10), "word ".repeat(CHUNK_LEN));
        let texts = [&short[..], &short, &short, &long, &short];
        let groups = groups_of(chunks_of(&texts, CHUNK_LEN).into_iter(), |chunk| chunk);
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert!(groups.concat().concat() == texts.concat());
        assert_eq!(sizes, [3, 1, 1, 1, 1, 2]);
        assert!(groups_of([].into_iter(), |chunk: &&str| chunk) == [Vec::<&str>::new()]);
    }

    fn lengths(texts: &[&str], control: &mut Control) -> Result<Vec<usize>, TextError> {
        let mut lengths = Vec::new();
        let sink = |length| {
            lengths.push(length);
            Ok::<_, TextError>(())
        };
        let length = |(): &mut (), chunks: &[&str]| chunks.iter().map(|chunk| chunk.len()).sum();
        map_texts(texts, control, || (), length, sink)?;
        Ok(lengths)
    }

    #[test]
    fn results_come_in_order_for_any_number_of_threads() {
        let text = "word ".repeat(1 << 20);
        let expected: Vec<usize> = chunks_of(&[&text], CHUNK_LEN).iter().map(|c| c.len()).collect();
        assert!(expected.len() > 4);
        for threads in [0, 1, 2, 3, 9] {
            let (mut seen, mut last) = (0, 0);
            let mut progress = |done, all| {
                assert!(done > last && done <= all);
                (seen, last) = (seen + 1, done);
            };
            let mut control = Control { threads, cancel: None, progress: Some(&mut progress) };
            assert_eq!(lengths(&[&text], &mut control).unwrap(), expected);
            assert_eq!((seen, last), (expected.len(), text.len() as u64));
        }
    }

    #[test]
    fn cancelling_stops_after_the_chunk() {
        let text = "word ".repeat(1 << 20);
        for threads in [1, 2] {
            let cancel = AtomicBool::new(false);
            let mut n_seen = 0;
            let mut progress = |_, _| {
                n_seen += 1;
                cancel.store(true, Ordering::Relaxed);
            };
            let mut control =
                Control { threads, cancel: Some(&cancel), progress: Some(&mut progress) };
            assert!(matches!(lengths(&[&text], &mut control), Err(TextError::Cancelled)));
            assert_eq!(n_seen, 1);
        }
    }

    #[test]
    fn work_apart_is_left_behind_when_cancelled() {
        assert_eq!(apart(&Control::threads(1), || 7).unwrap(), 7);
        let cancel = AtomicBool::new(true);
        let control = Control { cancel: Some(&cancel), ..Control::default() };
        let (release, wait) = sync_channel::<()>(1);
        // Without cancellation this would wait for ever.
        let result = apart(&control, move || wait.recv().is_ok());
        assert!(matches!(result, Err(TextError::Cancelled)));
        drop(release);
    }

    #[test]
    #[should_panic(expected = "planted")]
    fn a_panic_of_work_apart_is_passed_on() {
        let _ = apart(&Control::threads(1), || panic!("planted"));
    }

    #[test]
    fn an_error_of_the_sink_stops_the_threads() {
        let text = "word ".repeat(1 << 20);
        let sink = |_| Err(TextError::NoWords { min_count: 7 });
        let mut control = Control::threads(3);
        let result = map_texts(&[&text], &mut control, || (), |(), chunks| chunks.len(), sink);
        assert!(matches!(result, Err(TextError::NoWords { min_count: 7 })));
    }
}
