//! Story corpus: endless short stories from a grammar, and a parser for their sentences.
//!
//! A story is one derivation of a grammar whose alternatives have conditions on, and changes of,
//! the state of the story: who is where, who has what, who feels how and why. People thus find what
//! they lost and are glad, and "she" refers to somebody in the previous sentence. The parser reads
//! the same grammar without the conditions.
//!
//! The same seed gives the same bytes on every machine: nothing here uses floating point.

mod grammar;
pub(crate) mod inflect;
pub(crate) mod lexicon;
mod parser;
mod reader;
mod surface;
mod template;
mod world;
mod writer;

pub use parser::NotASentence;
pub use surface::split_sentences;

use grammar::Grammar;
use parser::Parser;
use std::io::Write;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::ScopedJoinHandle;
use writer::Writer;

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let rules = [
        include_str!("phrases.txt"),
        include_str!("scenes.txt"),
        include_str!("events.txt"),
        include_str!("endings.txt"),
        include_str!("plots.txt"),
    ];
    reader::read(include_str!("words.txt"), &rules)
});

static PARSER: LazyLock<Parser> = LazyLock::new(|| Parser::new(&GRAMMAR));

/// The stories of `seed`, one after another, without end. Each is some paragraphs, one to a line.
pub fn generate(seed: u64) -> impl Iterator<Item = String> {
    (0..).map(move |number| story(seed, number))
}

/// The story numbered `number` among those of `seed`.
pub fn story(seed: u64, number: u64) -> String {
    let (text, dead_ends) = Writer::story(&GRAMMAR, seed, number);
    debug_assert!(dead_ends.is_empty(), "story {number} of seed {seed} got stuck: {dead_ends:?}");
    text
}

/// Number of stories that a thread writes per batch.
const BATCH_LEN: usize = 64;

/// Writes whole stories of `seed`, with a blank line between two, until there are at least
/// `n_bytes`; returns how many bytes it wrote. The bytes do not depend on `threads`.
///
/// `progress` receives the number of bytes written so far and returns whether to continue.
///
/// # Errors
/// Errors of `out`.
pub fn write_corpus(
    n_bytes: u64,
    seed: u64,
    threads: usize,
    writer: &mut dyn Write,
    progress: &mut dyn FnMut(u64) -> bool,
) -> std::io::Result<u64> {
    let threads = threads.max(1) as u64;
    let mut n_written = 0;
    for round in 0.. {
        let first = round * threads * BATCH_LEN as u64;
        for story in story_batches(seed, first, threads).into_iter().flatten() {
            if n_written >= n_bytes {
                return Ok(n_written);
            }
            let separator = if n_written == 0 { "" } else { "\n" };
            let text = format!("{separator}{story}\n");
            writer.write_all(text.as_bytes())?;
            n_written += text.len() as u64;
        }
        if !progress(n_written) {
            break;
        }
    }
    Ok(n_written)
}

/// The stories from number `first` on, a batch from each thread, in order.
fn story_batches(seed: u64, first: u64, threads: u64) -> Vec<Vec<String>> {
    let batch = |t: u64| {
        let numbers = first + t * BATCH_LEN as u64..first + (t + 1) * BATCH_LEN as u64;
        numbers.map(|number| story(seed, number)).collect()
    };
    std::thread::scope(|scope| {
        let batch = &batch;
        let start = |t| std::thread::Builder::new().spawn_scoped(scope, move || batch(t)).ok();
        let writing: Vec<_> = (0..threads).map(start).collect();
        // A batch for which the system has no thread is written on this one.
        let result = |(t, thread): (usize, Option<ScopedJoinHandle<_>>)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            None => batch(t as u64),
        };
        writing.into_iter().enumerate().map(result).collect()
    })
}

/// Checks that `sentence` can be derived from the grammar of the stories.
///
/// # Errors
/// The reason if it cannot: an unknown word, the first word with which no sentence continues, or
/// the spelling.
pub fn parse_sentence(sentence: &str) -> Result<(), NotASentence> {
    PARSER.parse(sentence)
}

#[cfg(test)]
mod tests;
