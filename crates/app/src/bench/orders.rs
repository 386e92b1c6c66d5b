//! Token order benchmark: table rows gathered, scattered into and updated, under each order of ids.

use anyhow::Result;
use kernels::adamw::{AdamwStep, adamw_update};
use kernels::embedding::{embedding_backward, embedding_forward};
use kernels::reduce::sum_squares;
use kernels::{AlignedVec, Isa, Pool};
use serde::Serialize;
use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;
use text::corpus::permutation::inverse;
use text::corpus::{Batches, Input, TextRules};
use text::tokenizer::{Control, Tokenizer, TokenizerKind, TrainOptions};
use text::vocab::classes::{self, ClassMethod, ClassOptions, count_tokens};
use text::vocab::order::{Marks, TokenOrder};

/// Vocabularies: BPE, all words between blanks if the text has that many, and BPE.
const VOCABULARIES: [(TokenizerKind, usize); 3] =
    [(TokenizerKind::Bpe, 4_096), (TokenizerKind::Split, 33_278), (TokenizerKind::Bpe, 50_257)];

/// Widths of rows.
const WIDTHS: [usize; 3] = [64, 128, 768];

/// A batch as in the standard shapes: 32 sequences of 128 tokens of the text.
const SEQ_LEN: usize = 128;
const BATCH_SEQS: usize = 32;

/// Rows at the front of a table whose share of the text is reported.
const N_HOT: usize = 1_000;

/// Numbers read to flush the caches: twice a third-level cache of 32 MiB.
const SWEEP_LEN: usize = 16 << 20;

const PAGE_BYTES: usize = 4096;

/// Seed of the random orders, the word vectors and the batches.
const SEED: u64 = 1;

/// Results, on one thread.
#[derive(Debug, Serialize)]
pub struct Report {
    isa: &'static str,
    rounds: usize,
    n_classes: Option<usize>,
    tokens_per_batch: usize,
    vocabularies: Vec<Vocabulary>,
}

/// One vocabulary.
#[derive(Debug, Serialize)]
struct Vocabulary {
    tokenizer: TokenizerKind,
    vocab_size: usize,
    /// Distinct rows per batch, on average.
    unique_rows: f64,
    orders: Vec<Front>,
    widths: Vec<Width>,
}

/// Effect of an order on the text, independent of the row width: means over the batches.
#[derive(Debug, Serialize)]
struct Front {
    order: TokenOrder,
    /// Share of the text in the first 1,000 rows.
    share_of_first_1000: f64,
    /// Runs of consecutive rows that a batch uses.
    runs: f64,
}

/// One width of rows.
#[derive(Debug, Serialize)]
struct Width {
    model_dim: usize,
    /// AdamW of the whole table: the same work in any order.
    dense_update_ms: f64,
    orders: Vec<Cost>,
}

/// Costs under one order.
#[derive(Debug, Serialize)]
struct Cost {
    order: TokenOrder,
    /// Pages of 4 KiB that a batch uses, on average.
    pages: f64,
    /// Embedding forward.
    gather: Times,
    /// Embedding backward.
    scatter_add: Times,
    /// AdamW of the rows that a batch uses.
    update: Times,
}

/// Nanoseconds per token of the batch: medians over the rounds.
#[derive(Debug, Serialize)]
struct Times {
    /// With cold caches, as after the rest of a training step.
    cold: f64,
    /// Right after another batch.
    warm: f64,
}

/// Options of the benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Only this order instead of all.
    pub only: Option<TokenOrder>,
    /// Keeps the tokens of each of this many classes together, as in a factored output layer.
    pub n_classes: Option<usize>,
    /// Threads that build the vocabularies; the measurement itself uses one.
    pub threads: usize,
    /// Rounds, each of which measures every order.
    pub rounds: usize,
}

/// Measures orders on the vocabularies of a text.
pub fn measure(path: &Path, options: Options) -> Result<Report> {
    let text = Input::open(path)?.text(TextRules::default())?.text;
    let vocabulary = |(kind, size)| vocabulary(&text, kind, size, options);
    Ok(Report {
        isa: Isa::active().name(),
        rounds: options.rounds,
        n_classes: options.n_classes,
        tokens_per_batch: BATCH_SEQS * SEQ_LEN,
        vocabularies: VOCABULARIES.into_iter().map(vocabulary).collect::<Result<_>>()?,
    })
}

fn vocabulary(
    text: &str,
    kind: TokenizerKind,
    vocab_size: usize,
    options: Options,
) -> Result<Vocabulary> {
    let Options { threads, rounds, .. } = options;
    let trained = TrainOptions { vocab_size, ..TrainOptions::new(kind) };
    let tokenizer = Tokenizer::train(&trained, &[text], &mut Control::threads(threads))?;
    let ids = tokenizer.encode_parallel(text, &mut Control::threads(threads))?;
    let vocab_size = tokenizer.vocab_size();
    let batches = Batches::new(ids.len(), SEQ_LEN, BATCH_SEQS, SEED)?;
    // The first batch of a pair is timed cold, the second warm.
    let batches: Vec<_> = (0..2 * rounds as u64).map(|step| batch(&batches, &ids, step)).collect();
    let counts = count_tokens(&ids[..], vocab_size)?;
    let mut layouts = Vec::new();
    for (order, old_ids) in orders(&ids, vocab_size, options)? {
        let hot: u64 = old_ids.iter().take(N_HOT).map(|id| counts[*id as usize]).sum();
        let new_ids = inverse(&old_ids);
        let batches = batches.iter().map(|batch| Batch::new(batch, &new_ids)).collect();
        layouts.push(Layout { order, share: hot as f64 / ids.len() as f64, batches });
    }
    Ok(Vocabulary {
        tokenizer: kind,
        vocab_size,
        unique_rows: layouts[0].mean(|batch| batch.runs.iter().map(Range::len).sum()),
        orders: layouts.iter().map(Layout::front).collect(),
        widths: WIDTHS.map(|width| time_width(&layouts, vocab_size, width, rounds)).into(),
    })
}

/// Each order, with the old id of every new id.
fn orders(ids: &[u32], vocab_size: usize, options: Options) -> Result<Vec<(TokenOrder, Vec<u32>)>> {
    let mut pool = Pool::new(options.threads);
    let goes_on = &mut |_, _| true;
    let classes = match options.n_classes {
        None => None,
        n_classes => {
            let options = ClassOptions::new(ClassMethod::default(), n_classes, SEED);
            Some(classes::build(ids, vocab_size, &options, &mut pool, goes_on)?)
        }
    };
    let is_wanted = |order: &TokenOrder| options.only.is_none_or(|only| only == *order);
    let orders = TokenOrder::ALL.into_iter().filter(is_wanted).map(|order| {
        let marks = Marks::of_text(order, ids, vocab_size, SEED, &mut pool, goes_on)?;
        let old_ids = match &classes {
            None => marks.order(order),
            Some(classes) => marks.order_classes(order, classes).order,
        };
        Ok((order, old_ids))
    });
    orders.collect()
}

/// The tokens of a step, sequence by sequence.
fn batch(batches: &Batches, ids: &[u32], step: u64) -> Vec<u32> {
    let (mut tokens, mut targets) = (vec![0; BATCH_SEQS * SEQ_LEN], [0; SEQ_LEN]);
    for (i, tokens) in tokens.chunks_exact_mut(SEQ_LEN).enumerate() {
        batches.fill(ids, step, i, tokens, &mut targets);
    }
    tokens
}

/// The batches of the text under the ids of one order.
struct Layout {
    order: TokenOrder,
    /// Share of the text in the first rows.
    share: f64,
    batches: Vec<Batch>,
}

impl Layout {
    fn front(&self) -> Front {
        let runs = self.mean(|batch| batch.runs.len());
        Front { order: self.order, share_of_first_1000: self.share, runs }
    }

    fn mean(&self, count: impl Fn(&Batch) -> usize) -> f64 {
        self.batches.iter().map(count).sum::<usize>() as f64 / self.batches.len() as f64
    }
}

/// A batch: its rows in order of the text, and the runs of consecutive rows that it uses.
struct Batch {
    tokens: Vec<u32>,
    runs: Vec<Range<usize>>,
}

impl Batch {
    fn new(old_tokens: &[u32], new_ids: &[u32]) -> Batch {
        let tokens: Vec<u32> = old_tokens.iter().map(|id| new_ids[*id as usize]).collect();
        let mut touched = tokens.clone();
        touched.sort_unstable();
        touched.dedup();
        let runs = touched.chunk_by(|a, b| a + 1 == *b);
        let runs = runs.map(|run| run[0] as usize..run[run.len() - 1] as usize + 1).collect();
        Batch { tokens, runs }
    }

    /// Memory pages that hold the rows in use, if the table starts at a page boundary.
    fn n_pages(&self, model_dim: usize) -> usize {
        let row_bytes = model_dim * size_of::<f32>();
        let (mut n_pages, mut next) = (0, 0);
        for run in &self.runs {
            let end = (run.end * row_bytes).div_ceil(PAGE_BYTES);
            n_pages += end - next.max(run.start * row_bytes / PAGE_BYTES);
            next = end;
        }
        n_pages
    }
}

/// A table with its optimiser state.
struct Table {
    model_dim: usize,
    p: AlignedVec<f32>,
    m: AlignedVec<f32>,
    v: AlignedVec<f32>,
    g: AlignedVec<f32>,
    /// (batch, C) activations and their gradient.
    x: AlignedVec<f32>,
}

/// Operation on the rows of a batch.
#[derive(Clone, Copy)]
enum Work {
    Gather,
    ScatterAdd,
    Update,
}

impl Table {
    fn new(vocab_size: usize, model_dim: usize) -> Table {
        let filled = |len, value| {
            let mut numbers = AlignedVec::zeroed(len);
            numbers.fill(value);
            numbers
        };
        let table = |value| filled(vocab_size * model_dim, value);
        let x = filled(BATCH_SEQS * SEQ_LEN * model_dim, 1e-3);
        Table { model_dim, p: table(1.0), m: table(0.1), v: table(0.1), g: table(0.01), x }
    }

    fn work(&mut self, work: Work, batch: &Batch) {
        match work {
            Work::Gather => embedding_forward(&mut self.x, &self.p, &batch.tokens),
            Work::ScatterAdd => embedding_backward(&mut self.g, &self.x, &batch.tokens),
            Work::Update => batch.runs.iter().for_each(|rows| self.update(rows.clone())),
        }
    }

    fn update(&mut self, rows: Range<usize>) {
        let span = rows.start * self.model_dim..rows.end * self.model_dim;
        let Table { p, m, v, g, .. } = self;
        let (p, m, v) = (&mut p[span.clone()], &mut m[span.clone()], &mut v[span.clone()]);
        adamw_update(p, m, v, &g[span], &STEP);
    }
}

const STEP: AdamwStep = AdamwStep {
    lr: 1e-3,
    beta1: 0.9,
    beta2: 0.99,
    eps: 1e-8,
    weight_decay: 0.1,
    bias1: 0.5,
    bias2: 0.1,
    grad_scale: 1e-3,
    idle1: 1.0,
    idle2: 1.0,
};

/// Times all layouts at one width, alternating; every second round is in reverse order.
fn time_width(layouts: &[Layout], vocab_size: usize, model_dim: usize, rounds: usize) -> Width {
    let mut table = Table::new(vocab_size, model_dim);
    let sweep = AlignedVec::<f32>::zeroed(SWEEP_LEN);
    let works = [Work::Gather, Work::ScatterAdd, Work::Update];
    let mut seconds = vec![[const { (Vec::new(), Vec::new()) }; 3]; layouts.len()];
    let mut dense = Vec::new();
    for round in 0..rounds {
        for position in 0..layouts.len() {
            let i = if round % 2 == 0 { position } else { layouts.len() - 1 - position };
            for (work, (cold, warm)) in works.into_iter().zip(&mut seconds[i]) {
                black_box(sum_squares(&sweep));
                let [first, second] = [0, 1].map(|b| &layouts[i].batches[2 * round + b]);
                cold.push(seconds_of(|| table.work(work, first)));
                warm.push(seconds_of(|| table.work(work, second)));
            }
        }
        dense.push(seconds_of(|| table.update(0..vocab_size)));
    }
    let cost = |(layout, [gather, scatter_add, update]): (&Layout, &mut [_; 3])| Cost {
        order: layout.order,
        pages: layout.mean(|batch| batch.n_pages(model_dim)),
        gather: times(gather),
        scatter_add: times(scatter_add),
        update: times(update),
    };
    let orders = layouts.iter().zip(&mut seconds).map(cost).collect();
    Width { model_dim, dense_update_ms: super::median(&mut dense) * 1e3, orders }
}

fn seconds_of(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn times((cold, warm): &mut (Vec<f64>, Vec<f64>)) -> Times {
    let [cold, warm] = [cold, warm].map(|seconds| {
        let ns = super::median(seconds) * 1e9;
        ns / (BATCH_SEQS * SEQ_LEN) as f64
    });
    Times { cold, warm }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Orders of token ids on {}, one thread, batches of {} tokens, medians of {} rounds; \
             nanoseconds per token, cold/warm",
            self.isa, self.tokens_per_batch, self.rounds
        )?;
        if let Some(n_classes) = self.n_classes {
            write!(f, "; {n_classes} classes, each together")?;
        }
        for vocabulary in &self.vocabularies {
            write!(f, "\n\n{vocabulary}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "V={} ({}), {:.0} rows a batch",
            self.vocab_size, self.tokenizer, self.unique_rows
        )?;
        for Front { order, share_of_first_1000, runs } in &self.orders {
            let share = 100.0 * share_of_first_1000;
            write!(f, "\n  {order:<10} {share:5.1} % in the first {N_HOT} rows, {runs:.0} runs")?;
        }
        for Width { model_dim, dense_update_ms, orders } in &self.widths {
            write!(f, "\n  C={model_dim}, AdamW of the whole table {dense_update_ms:.2} ms")?;
            for Cost { order, pages, gather, scatter_add, update } in orders {
                write!(
                    f,
                    "\n    {order:<10} {pages:>5.0} pages, gather {gather}, \
                     scatter-add {scatter_add}, AdamW of its rows {update}"
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.1}/{:<6.1}", self.cold, self.warm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_count_runs_of_rows_and_their_pages() {
        let new_ids: Vec<u32> = (0..100).rev().collect();
        let batch = Batch::new(&[97, 98, 97, 90, 0], &new_ids);
        assert_eq!(batch.tokens, [2, 1, 2, 9, 99]);
        assert_eq!(batch.runs, [1..3, 9..10, 99..100]);
        // 16, 8 and 1 1/3 rows a page: rows 1 and 2, 9 and 99.
        assert_eq!(batch.n_pages(64), 2);
        assert_eq!(batch.n_pages(128), 3);
        assert_eq!(batch.n_pages(768), 3 + 2 + 1);
    }
}
