//! `crystalline similar`: finds the tokens nearest to a word, by prime code and by embedding.

use super::columns::fit;
use super::quantity::count;
use super::quantity::show_time;
use super::say::say;
use super::vocabulary;
use anyhow::{Result, bail};
use engine::vocabulary::{ByCode, ByEmbedding, Query, Vocabulary};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use text::thousands;

/// Find the words most similar to a word, by shared primes and by embedding.
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  crystalline similar runs/book running\n  crystalline similar runs/book unheardof --top 20"
)]
pub struct Args {
    /// A run's folder or a model folder.
    model: PathBuf,
    /// The word; an unknown one is cut into known parts.
    word: String,
    /// Number of words in each list.
    #[arg(long, default_value_t = 10, value_parser = count(1))]
    top: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// The result, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    word: String,
    /// `None` for a word outside the vocabulary.
    id: Option<u32>,
    /// The product of the primes, in decimal; `None` if tokens have no parts.
    code: Option<String>,
    parts: Vec<String>,
    by_code: Vec<ByCode>,
    by_embedding: Vec<ByEmbedding>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if args.word.trim().is_empty() {
        bail!("no word given; name one, as in `crystalline similar runs/book running`");
    }
    let vocabulary = vocabulary::open(&args.model)?;
    let query = vocabulary.query(&args.word);
    let by_code = by_code(&vocabulary, &query, args.top);
    let by_embedding = by_embedding(&vocabulary, &query, args.top)?;
    let Query { word, id, code, parts } = query;
    let code = code.map(|code| code.integer().to_string());
    let report = Report { word, id, code, parts, by_code, by_embedding };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.write(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Searches by code and says how long it took.
fn by_code(vocabulary: &Vocabulary, query: &Query, top: usize) -> Vec<ByCode> {
    let Some(similar) = vocabulary.similar_by_code(query, top) else {
        vocabulary::say_no_parts(vocabulary);
        return Vec::new();
    };
    say!(
        "by code: {} for {} codes (index built in {})",
        show_time(similar.time.search),
        thousands(similar.n_searched),
        show_time(similar.time.index)
    );
    similar.found
}

/// Searches by embedding and says how long it took.
fn by_embedding(vocabulary: &Vocabulary, query: &Query, top: usize) -> Result<Vec<ByEmbedding>> {
    let similar = vocabulary.similar_by_embedding(query, top)?;
    if similar.n_searched == 0 {
        say!("by embedding: none, since {:?} is not in the vocabulary", query.word);
        return Ok(Vec::new());
    }
    let of_pieces = match (query.id, similar.n_pieces) {
        (Some(_), _) | (None, 1) => String::new(),
        (None, n) => format!(", from the mean of the word's {n} pieces"),
    };
    say!(
        "by embedding: {} for {} rows of {} (packed in {}){of_pieces}",
        show_time(similar.time.search),
        thousands(similar.n_searched),
        vocabulary.layout.config.model_dim,
        show_time(similar.time.index)
    );
    Ok(similar.found)
}

/// Columns of a word and of the shared parts.
const WORD_WIDTH: usize = 16;
const SHARED_WIDTH: usize = 24;

impl Report {
    /// Writes the word and both lists side by side; an empty list is left out.
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let position = self.id.map_or("not in the vocabulary".to_owned(), |id| format!("id {id}"));
        match &self.code {
            Some(code) => {
                writeln!(out, "{} = {code}: {} ({position})", self.word, self.parts.join(" "))?;
            }
            None => writeln!(out, "{} ({position})", self.word)?,
        }
        let left: Vec<String> = self.by_code.iter().map(code_line).collect();
        let right: Vec<String> = self.by_embedding.iter().map(embedding_line).collect();
        let left_title = "by code: log gcd / log lcm, shared parts";
        let titles = (left_title.to_owned(), "by embedding: cosine".to_owned());
        let rows = [titles].into_iter().chain((0..left.len().max(right.len())).map(|i| {
            let line = |lines: &[String]| lines.get(i).cloned().unwrap_or_default();
            (line(&left), line(&right))
        }));
        let width = 5 + 2 + WORD_WIDTH + 2 + SHARED_WIDTH;
        for (left_line, right_line) in rows {
            let line = match (left.is_empty(), right.is_empty()) {
                (true, true) => break,
                (true, false) => right_line,
                (false, true) => left_line,
                (false, false) => format!("{}  {right_line}", fit(&left_line, width)),
            };
            writeln!(out, "{}", line.trim_end())?;
        }
        if left.is_empty() && right.is_empty() {
            writeln!(out, "nothing in the vocabulary is similar")?;
        }
        Ok(())
    }
}

fn code_line(row: &ByCode) -> String {
    let (word, shared) = (fit(&row.word, WORD_WIDTH), row.shared.join(" "));
    format!("{:.3}  {word}  {}", row.similarity, fit(&shared, SHARED_WIDTH))
}

fn embedding_line(row: &ByEmbedding) -> String {
    format!("{:6.3}  {}", row.cosine, row.word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(n_codes: usize, n_embeddings: usize) -> String {
        let by_code = |i: usize| ByCode {
            id: i as u32,
            word: ["語語語語語語語語語語", "runs"][i % 2].to_owned(),
            similarity: 0.5,
            shared: vec!["run".to_owned()],
        };
        let by_embedding =
            |i: usize| ByEmbedding { id: 0, word: "walk".to_owned(), cosine: i as f32 };
        let report = Report {
            word: "running".to_owned(),
            id: Some(7),
            code: Some("35".to_owned()),
            parts: vec!["run".to_owned(), "-ing".to_owned()],
            by_code: (0..n_codes).map(by_code).collect(),
            by_embedding: (0..n_embeddings).map(by_embedding).collect(),
        };
        let mut out = Vec::new();
        report.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_lists_are_side_by_side() {
        let text = report(2, 3);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "running = 35: run -ing (id 7)");
        assert_eq!(lines.len(), 5);
        let column = |line: &str, of: &str| {
            unicode_width::UnicodeWidthStr::width(&line[..line.find(of).unwrap()])
        };
        assert_eq!(column(lines[1], "by embedding"), 51);
        assert!(lines[2..].iter().all(|line| column(line, "walk") == 51 + 8));
        assert!(lines[2].contains("語…") && lines[3].contains("runs"));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn an_empty_list_is_left_out() {
        assert!(!report(0, 1).contains("by code") && report(0, 1).contains(" 0.000  walk"));
        assert!(!report(1, 0).contains("by embedding"));
        assert!(report(0, 0).contains("nothing in the vocabulary"));
    }
}
