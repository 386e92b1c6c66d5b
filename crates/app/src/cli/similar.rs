//! `crystalline similar`: finds the tokens nearest to a word, by prime code and by embedding.

use super::columns::{USUAL_WIDTH, cut, fit, stdout_width, wrap};
use super::quantity::count;
use super::quantity::show_time;
use super::say::{out, say, shown_on_line};
use super::{input, vocabulary};
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
    before_help = "Examples:\n  crystalline similar runs/book walked\n  crystalline similar runs/book unheardof --top 20"
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
        bail!("no word given; name one, as in `crystalline similar runs/book walked`");
    }
    let vocabulary = vocabulary::open(&args.model)?;
    let query = vocabulary.query(&input::as_model_reads(vocabulary.folder.path(), &args.word)?);
    let by_code = by_code(&vocabulary, &query, args.top);
    let by_embedding = by_embedding(&vocabulary, &query, args.top)?;
    let Query { word, id, code, parts } = query;
    let code = code.map(|code| code.integer().to_string());
    let report = Report { word, id, code, parts, by_code, by_embedding };
    let mut out = out();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.write(&mut out, stdout_width().unwrap_or(USUAL_WIDTH))?;
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

/// Columns of a word and of the shared parts, if there is room.
const WORD_WIDTH: usize = 16;
const SHARED_WIDTH: usize = 24;
/// Columns of the list by code, and of the fewest in which the other list stands beside it.
const LEFT_WIDTH: usize = 5 + 2 + WORD_WIDTH + 2 + SHARED_WIDTH;
const BOTH_WIDTH: usize = LEFT_WIDTH + 2 + 8 + WORD_WIDTH;

impl Report {
    /// Writes the word and both lists, side by side if `width` columns are enough, else one below
    /// the other; an empty list is left out.
    fn write(&self, out: &mut impl Write, width: usize) -> std::io::Result<()> {
        let position = self.id.map_or("not in the vocabulary".to_owned(), |id| format!("id {id}"));
        let word = shown_on_line(&self.word);
        let first = match &self.code {
            Some(code) => {
                let parts: Vec<_> = self.parts.iter().map(|part| shown_on_line(part)).collect();
                format!("{word} = {code}: {} ({position})", parts.join(" "))
            }
            None => format!("{word} ({position})"),
        };
        writeln!(out, "{}", wrap(&first, width))?;
        let left: Vec<String> = self.by_code.iter().map(code_line).collect();
        let right: Vec<String> = self.by_embedding.iter().map(embedding_line).collect();
        let titled = |title: &str, lines: Vec<String>| {
            let title = (!lines.is_empty()).then(|| title.to_owned());
            title.into_iter().chain(lines).collect::<Vec<_>>()
        };
        let left = titled("by code: log gcd / log lcm, shared parts", left);
        let right = titled("by embedding: cosine", right);
        if left.is_empty() && right.is_empty() {
            return writeln!(out, "nothing in the vocabulary is similar");
        }
        if width < BOTH_WIDTH || left.is_empty() || right.is_empty() {
            return left.iter().chain(&right).try_for_each(|l| writeln!(out, "{}", cut(l, width)));
        }
        for i in 0..left.len().max(right.len()) {
            let line = |lines: &[String]| lines.get(i).cloned().unwrap_or_default();
            let both = format!("{}  {}", fit(&line(&left), LEFT_WIDTH), line(&right));
            writeln!(out, "{}", cut(&both, width))?;
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
        report_in(n_codes, n_embeddings, USUAL_WIDTH)
    }

    fn report_in(n_codes: usize, n_embeddings: usize, width: usize) -> String {
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
        report.write(&mut out, width).unwrap();
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
    #[test]
    fn both_lists_fit_every_terminal() {
        for width in 16..300 {
            let text = report_in(3, 3, width);
            let wide = |line: &&str| unicode_width::UnicodeWidthStr::width(*line) > width;
            assert_eq!(text.lines().skip(1).find(wide), None, "{width}");
            assert!(text.contains("by code") && text.contains("by embedding"), "{width}: {text}");
            assert_eq!(text.lines().any(|l| l.contains("0.500") && l.contains("walk")), width > 74);
        }
    }

    #[test]
    fn words_of_a_model_cannot_command_the_terminal() {
        let row = ByEmbedding { id: 0, word: "\x1b[2J\n".to_owned(), cosine: 0.5 };
        let report = Report {
            word: "\x1b]0;x\x07".to_owned(),
            id: None,
            code: None,
            parts: Vec::new(),
            by_code: Vec::new(),
            by_embedding: vec![row],
        };
        let mut out = Vec::new();
        report.write(&mut out, 80).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\\x1b]0;x\\x07 (not") && text.contains("\\x1b[2J\\n"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
