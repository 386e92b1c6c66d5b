//! Progress of a run on stderr: a bar on a terminal, plain lines elsewhere.

use super::columns::{USUAL_WIDTH, cut, stderr_width};
use super::notices;
use super::quantity::perplexity;
use super::say::{for_stderr, say};
use super::signals::Signals;
use engine::train::events::{Event, Metrics, Observer, Started};
use engine::train::settings::RunConfig;
use indicatif::{ProgressBar, ProgressStyle};
use kernels::Stop;
use std::time::{Duration, Instant};
use text::{counted, thousands};
use unicode_width::UnicodeWidthStr;

/// Seconds between plain lines.
const LINE_SECONDS: u64 = 10;

/// Prints the events of a run.
pub struct Progress {
    signals: Signals,
    /// On a terminal only.
    bar: Option<ProgressBar>,
    n_steps: u64,
    first_step: u64,
    step: u64,
    /// The step after which to stop.
    pub stop_at: Option<u64>,
    began: Instant,
    last_line: Option<Instant>,
    /// Losses since the last line; the mean is printed.
    losses: Vec<f64>,
    /// Leaves out the plan and the saves, as in the demo.
    pub is_brief: bool,
}

impl Progress {
    /// A progress display without a bar; the bar appears when training starts.
    pub fn new(signals: Signals) -> Progress {
        Progress {
            signals,
            bar: None,
            n_steps: 0,
            first_step: 0,
            step: 0,
            stop_at: None,
            began: Instant::now(),
            last_line: None,
            losses: Vec::new(),
            is_brief: false,
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(for_stderr(text)),
            None => say!("{text}"),
        }
    }

    fn start(&mut self, started: &Started) {
        let Started { dir, config, n_params, n_tokens, step, memory, .. } = started;
        let (m, t) = (&config.model, &config.train);
        self.n_steps = t.n_steps;
        self.first_step = *step;
        self.step = *step;
        self.began = Instant::now();
        if !self.is_brief {
            self.line(&format!(
                "model     {}: width {}, {}, {}, vocabulary {}",
                counted(*n_params, "parameter"),
                m.model_dim,
                counted(m.n_layers, "layer"),
                counted(m.n_heads, "head"),
                thousands(m.vocab_size)
            ));
            self.line(&output_layer(started));
            if let Some(line) = input_vectors(config) {
                self.line(&line);
            }
            self.line(&format!(
                "text      {} to train on, {} held out ({} tokeniser)",
                counted(n_tokens.0, "token"),
                thousands(n_tokens.1),
                config.tokenizer.kind
            ));
            self.line(&format!(
                "training  {} of {}, {:.1} epochs, {} on {}, {}",
                counted(t.n_steps as usize, "step"),
                counted(t.batch_seqs * m.seq_len, "token"),
                t.n_steps as f64 * (t.batch_seqs * m.seq_len) as f64 / n_tokens.0.max(1) as f64,
                t.precision.kernels().name(),
                kernels::Isa::active().name(),
                counted(t.n_lanes, "lane")
            ));
            let mib = memory.iter().map(|(_, bytes)| bytes).sum::<usize>() as f64 / 1048576.0;
            self.line(&format!("memory    {mib:.0} MiB"));
            self.line(&format!("folder    {}", dir.display()));
        }
        if kernels::Isa::active().name() != t.isa {
            self.line(&format!(
                "note      the run began on {}, but this processor uses {}: precision stays {}, and \
                 results will differ in the last bits",
                t.isa,
                kernels::Isa::active().name(),
                t.precision.kernels().name()
            ));
        }
        if *step > 0 {
            self.line(&format!("resumed   at step {step}"));
        }
        if let Some(bar) = bar(t.n_steps, "{wide_msg}") {
            bar.set_position(*step);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, row: &Metrics) {
        self.step = row.step;
        self.losses.push(row.train_loss);
        // Steps of earlier sessions took none of this session's time.
        let taken = row.step.saturating_sub(self.first_step);
        let left = time_left(self.began.elapsed(), taken, self.n_steps.saturating_sub(row.step));
        let left = left.map_or("a very long time".to_string(), duration);
        if let Some(bar) = &self.bar {
            let recent = &self.losses[self.losses.len().saturating_sub(20)..];
            bar.set_position(row.step);
            let parts = [
                format!("loss {:.3}", recent.iter().sum::<f64>() / recent.len() as f64),
                format!("{left} left"),
                format!("{}/s", thousands(row.tok_s as usize)),
                duration(bar.elapsed()),
            ];
            let width = stderr_width().unwrap_or(USUAL_WIDTH);
            bar.set_message(bar_line(row.step, self.n_steps, &parts, width));
            return;
        }
        let is_due = self.last_line.is_none_or(|t| t.elapsed().as_secs() >= LINE_SECONDS);
        if is_due || row.step == self.n_steps {
            let mean = self.losses.iter().sum::<f64>() / self.losses.len() as f64;
            self.line(&format!(
                "step {}/{}  loss {mean:.3}  {} tokens/s  {left} left",
                row.step,
                self.n_steps,
                thousands(row.tok_s as usize)
            ));
            self.losses.clear();
            self.last_line = Some(Instant::now());
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        // Notices come before there is a folder.
        if !matches!(event, Event::Noticed(_)) {
            self.signals.ask_first();
        }
        match event {
            Event::Preparing { what, done, of } if done == of => {
                self.line(&format!("{what}: done"))
            }
            Event::Preparing { .. } => {}
            Event::Noticed(notice) => self.line(&format!("note: {}", notices::words(notice))),
            Event::Started(started) => self.start(started),
            Event::Step(row) => self.step(row),
            Event::Skipped(error) => {
                self.step += 1;
                self.line(&format!("skipped   {error}"));
            }
            Event::Evaluated(e) => {
                let best = if e.is_best { "" } else { " (not the best)" };
                let bits = e.bits_per_byte.map_or(String::new(), |b| format!(", {b:.3} bits/byte"));
                let unknown = match e.unknown_share {
                    0.0 => String::new(),
                    share => format!(", {:.1} % of it unknown words", 100.0 * share),
                };
                self.line(&format!(
                    "step {}  held-out loss {:.4}, perplexity {}{bits}{unknown}{best}",
                    e.step,
                    e.val_loss,
                    perplexity(e.val_loss)
                ));
            }
            Event::Sampled { step, prompt, text } => {
                self.line(&format!("step {step}  sample:\n  {}", indent(prompt, text)));
            }
            Event::Saved(saved) if !self.is_brief => {
                self.line(&format!("saved     {}", saved.path.display()));
            }
            Event::Saved(_) => {}
            Event::SaveFailed(error) => {
                self.line(&format!(
                    "NOT saved: {error}; training continues, and the next save tries again"
                ));
            }
            Event::Rejected(rejected) => {
                for one in *rejected {
                    self.line(&format!("skipped checkpoint {}: {}", one.path.display(), one.why));
                }
            }
        }
    }

    fn stop(&self) -> Stop {
        self.signals.stop().clone()
    }

    fn should_stop(&self) -> bool {
        self.signals.came() || self.stop_at.is_some_and(|step| self.step >= step)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar of `len` on stderr, if a person watches there and the terminal can redraw a line. It has no
/// colours.
pub fn bar(len: u64, template: &str) -> Option<ProgressBar> {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if stderr_width().is_none() || is_dumb || std::env::var_os("CI").is_some() {
        return None;
    }
    let style = ProgressStyle::with_template(template).ok()?;
    Some(ProgressBar::new(len).with_style(style))
}

/// Columns of the bar itself.
const BAR_WIDTH: usize = 30;

/// The line of the bar on one row of the terminal: a bar if there is room for it, the step, and as
/// many of `parts`, the most useful first, as fit.
fn bar_line(step: u64, n_steps: u64, parts: &[String], width: usize) -> String {
    // Some terminals begin a new row when the last column is written.
    let width = width - 1;
    let mut line = format!("{step}/{n_steps}");
    for part in parts {
        let longer = format!("{line} · {part}");
        if longer.width() > width {
            break;
        }
        line = longer;
    }
    if line.width() + 1 + BAR_WIDTH > width {
        return cut(&line, width);
    }
    let n_done = (BAR_WIDTH as u64 * step.min(n_steps) / n_steps.max(1)) as usize;
    format!("{}{} {line}", "█".repeat(n_done), "░".repeat(BAR_WIDTH - n_done))
}

/// The line of the plan about the rows that input vectors add to those of tokens, if any.
fn input_vectors(config: &RunConfig) -> Option<String> {
    let m = &config.model;
    let parts = (m.n_parts > 0).then(|| format!("of {} parts of words", thousands(m.n_parts)));
    let ngrams = config.vocab.ngram_min_count.map(|min_count| {
        let (n_tables, n_rows) = (m.ngrams.len(), thousands(m.n_ngram_rows()));
        let often = if min_count > 1 {
            format!(" seen {}", counted(min_count, "time"))
        } else {
            String::new()
        };
        format!("of n-grams{often}, {n_rows} in {n_tables} tables")
    });
    let added: Vec<String> = parts.into_iter().chain(ngrams).collect();
    let only_here = "only this program reads such a model";
    (!added.is_empty())
        .then(|| format!("input     tokens, with rows {}; {only_here}", added.join(" and ")))
}

/// The line of the plan about the output layer.
fn output_layer(started: &Started) -> String {
    let only_here = if started.config.model.head.is_plain() {
        ""
    } else {
        "\n          only this program reads such a model; --head full makes one that others can read"
    };
    format!("output    {}{only_here}", started.output_layer)
}

fn indent(prompt: &str, text: &str) -> String {
    format!("{prompt}{text}").trim().replace('\n', "\n  ")
}

/// Time for `n_left` steps if they take as long as the `n_taken` of this session, which took `elapsed`;
/// `None` if that is beyond counting.
fn time_left(elapsed: Duration, n_taken: u64, n_left: u64) -> Option<Duration> {
    let of_one = elapsed.as_secs_f64() / n_taken.max(1) as f64;
    Duration::try_from_secs_f64(of_one * n_left as f64).ok()
}

/// "1 h 05 min", "3 min 20 s", "12 s".
pub fn duration(time: Duration) -> String {
    let s = time.as_secs();
    match (s / 3600, s / 60 % 60, s % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s:02} s"),
        (h, min, _) => format!("{h} h {min:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that resumes at step 1,000 of 1,100 has taken 10 steps here, not 1,010.
    #[test]
    fn the_time_left_comes_from_the_steps_of_this_session() {
        let left = |elapsed, taken, left| time_left(Duration::from_secs(elapsed), taken, left);
        assert_eq!(left(20, 10, 90), Some(Duration::from_secs(180)));
        assert_eq!(left(20, 0, 90), Some(Duration::from_secs(1800)));
        assert_eq!(left(20, 10, 0), Some(Duration::ZERO));
        assert_eq!(left(1 << 40, 1, u64::MAX), None);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(duration(Duration::from_secs(12)), "12 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(3900)), "1 h 05 min");
    }

    #[test]
    fn the_bar_fits_one_row_of_every_terminal() {
        let parts = ["loss 2.345", "3 min 20 s left", "12,345/s", "1 min 02 s"].map(String::from);
        for width in 16..300 {
            let line = bar_line(120, 4000, &parts, width);
            assert!(line.width() < width, "{width}: {line}");
            assert!(line.contains("120/4000"), "{width}: {line}");
        }
        assert_eq!(bar_line(120, 4000, &parts, 22), "120/4000 · loss 2.345");
        assert_eq!(bar_line(120, 4000, &parts, 21), "120/4000");
        let line = bar_line(2000, 4000, &parts, 100);
        assert_eq!(line.matches('█').count(), 15);
        assert!(line.ends_with("1 min 02 s"), "{line}");
    }
}
