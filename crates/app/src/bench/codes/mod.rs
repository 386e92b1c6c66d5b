//! Code comparison benchmark: prime codes against dot products, pair by pair and as a search.
//!
//! One thread. Every round measures each line once, in turn, so a temporary slow-down of the
//! machine affects all of them; figures are medians over the rounds. Dot products are the engine's
//! own, in their fastest forms: a packed table times one query, and times many at once.

mod pairs;
mod random;
mod search;

use kernels::Isa;
use pairs::PairReport;
use search::SearchReport;
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// All results.
#[derive(Debug, Serialize)]
pub struct Report {
    isa: &'static str,
    rounds: usize,
    /// Whether the program was compiled for processors with a population count instruction.
    has_popcnt: bool,
    pairs: PairReport,
    searches: Vec<SearchReport>,
}

/// One line of a table.
#[derive(Debug, Serialize)]
pub struct Line {
    what: String,
    /// Median time per operation.
    ns: f64,
}

/// A timed line: its name, the operations per run, and the run.
struct Timed<'a> {
    what: String,
    n: usize,
    run: Box<dyn FnMut() + 'a>,
}

impl<'a> Timed<'a> {
    fn new(what: impl Into<String>, n: usize, run: impl FnMut() + 'a) -> Timed<'a> {
        Timed { what: what.into(), n, run: Box::new(run) }
    }
}

/// Times all lines in turn, once per round; a first round, which fills the caches, is not counted.
fn measure_lines(mut timed: Vec<Timed>, rounds: usize) -> Vec<Line> {
    let mut times = vec![Vec::with_capacity(rounds); timed.len()];
    for round in 0..=rounds {
        for (line, times) in timed.iter_mut().zip(&mut times) {
            let start = Instant::now();
            (line.run)();
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e9 / line.n as f64);
            }
        }
    }
    let lines = timed.into_iter().zip(&mut times);
    lines.map(|(line, times)| Line { what: line.what, ns: super::median(times) }).collect()
}

/// Measures pairs and searches in `rounds` rounds.
pub fn measure(rounds: usize) -> Report {
    let rounds = rounds.max(1);
    Report {
        isa: Isa::active().name(),
        rounds,
        has_popcnt: cfg!(target_feature = "popcnt"),
        pairs: pairs::measure(rounds),
        searches: search::measure(rounds),
    }
}

/// Claim about prime codes, printed next to the measurements.
const CLAIM: &str = "claimed 10 to 100 x";

/// Width of the name column.
const NAME_WIDTH: usize = 46;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "codes beside dot products on {}, one thread, {} rounds",
            self.isa, self.rounds
        )?;
        if !self.has_popcnt {
            writeln!(
                f,
                "bits counted without the processor's instruction for it: compile with RUSTFLAGS=\"-C target-cpu=native\" to use it"
            )?;
        }
        write!(f, "\n{}", self.pairs)?;
        self.searches.iter().try_for_each(|search| write!(f, "\n\n{search}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_alternate_and_the_first_round_does_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let order_of = &order;
        let line = |c: char| Timed::new(c, 1, move || order_of.borrow_mut().push(c));
        let lines = measure_lines(vec![line('a'), line('b')], 2);
        assert_eq!(lines.iter().map(|line| &*line.what).collect::<String>(), "ab");
        assert!(lines.iter().all(|line| line.ns >= 0.0));
        drop(lines);
        assert_eq!(order.into_inner(), "ababab");
    }
}
