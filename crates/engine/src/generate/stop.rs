//! Stop strings in a stream: text that may begin one is held back until it is decided.

/// Passes text through until a stop string appears.
#[derive(Clone, Debug)]
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
}

impl StopScanner {
    /// A scanner for these strings; empty ones are ignored.
    pub fn new(stops: &[String]) -> StopScanner {
        let stops = stops.iter().filter(|s| !s.is_empty()).cloned().collect();
        StopScanner { stops, held: String::new() }
    }

    /// Adds text; returns the text that certainly comes before any stop string, and whether a stop
    /// string was reached.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let tail = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, tail), false)
    }

    /// The text that was held back at the end of the stream.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length in bytes of the longest proper prefix of `stop` at the end of `text`.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).rev();
    starts.into_iter().find(|at| text.ends_with(&stop[..*at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let stops: Vec<_> = stops.iter().map(|s| s.to_string()).collect();
        let mut scanner = StopScanner::new(&stops);
        let mut out = String::new();
        for piece in pieces {
            let (text, stopped) = scanner.push(piece);
            out += &text;
            if stopped {
                return (out, true);
            }
        }
        (out + &scanner.finish(), false)
    }

    #[test]
    fn stops_across_pieces_and_loses_nothing() {
        assert_eq!(run(&["END"], &["a E", "N", "D b"]), ("a ".to_string(), true));
        assert_eq!(run(&["END"], &["a E", "N", "x"]), ("a ENx".to_string(), false));
        assert_eq!(run(&["END"], &["a EN"]), ("a EN".to_string(), false));
        assert_eq!(run(&["END", "N"], &["a E", "N", "D"]), ("a E".to_string(), true));
        assert_eq!(run(&["éé"], &["é", "x"]), ("éx".to_string(), false));
        assert_eq!(run(&[""], &["abc"]), ("abc".to_string(), false));
    }
}
