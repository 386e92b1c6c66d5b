//! Scratch.
use engine::data::stories;
use std::io::{Read, Write};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "gen" {
        let n: u64 = args[2].parse().unwrap();
        let seed: u64 = args[3].parse().unwrap();
        let start = std::time::Instant::now();
        let mut out = Vec::new();
        let w = stories::write_corpus(n, seed, &mut out).unwrap();
        eprintln!("{} MB/s", w as f64 / 1e6 / start.elapsed().as_secs_f64());
        std::io::stdout().write_all(&out).unwrap();
    } else {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).unwrap();
        let corpus = args.get(2).map(|p| std::fs::read_to_string(p).unwrap()).unwrap_or_default();
        let known: std::collections::HashSet<&str> = stories::split_sentences(&corpus).into_iter().collect();
        let start = std::time::Instant::now();
        let (mut n, mut ok, mut old) = (0, 0, 0);
        for s in stories::split_sentences(&text) {
            n += 1;
            if known.contains(s) { old += 1; }
            match stories::parse_sentence(s) {
                Ok(()) => ok += 1,
                Err(e) => if args[1] == "parse" { println!("{e}\n    {s}") },
            }
        }
        println!("{ok} of {n} parse ({:.3}), {old} are in the corpus; {:?}", ok as f64 / n as f64, start.elapsed() / n.max(1));
    }
}
