//! The stories are what they promise to be.

use super::*;

#[test]
fn show() {
    for s in generate(1).take(6) {
        println!("{s}\n");
    }
}

#[test]
fn stats() {
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let mut bad = std::collections::BTreeMap::<String, (usize, String)>::new();
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let mut words = std::collections::HashMap::<String, usize>::new();
    let (mut total, mut dead) = (0, 0);
    let mut tokens = 0; let mut bad2 = std::collections::BTreeMap::new();
    for i in 0..n as u64 {
        let (story, d) = Writer::story(&GRAMMAR, 3, i);
        for x in d { dead += 1; *bad2.entry(x).or_insert(0) += 1; }
        for s in split_sentences(&story) {
            total += 1;
            *seen.entry(s.to_owned()).or_default() += 1;
            for (t, _) in surface::tokens(s) {
                tokens += 1;
                *words.entry(t.to_lowercase()).or_default() += 1;
            }
            if let Err(e) = parse_sentence(s) {
                bad.entry(e.to_string()).or_insert((0, s.to_owned())).0 += 1;
            }
        }
    }
    let mut top: Vec<_> = seen.iter().collect();
    top.sort_by_key(|(_, c)| std::cmp::Reverse(**c));
    for (s, c) in top.iter().take(40) { println!("{c} {s}"); }
    for (e, (c, s)) in bad.iter().take(40) { println!("BAD {c} {e}: {s}"); }
    println!("{bad2:?}");
    println!("total {total} distinct {} = {:.4}, words {} rare(<5) {}, dead {dead}, bad {} tokens/sentence {:.1} sentences/story {:.1}",
        seen.len(), seen.len() as f64 / total as f64, words.len(), words.values().filter(|c| **c < 5).count(), bad.values().map(|b| b.0).sum::<usize>(), tokens as f64 / total as f64, total as f64 / n as f64);
}
