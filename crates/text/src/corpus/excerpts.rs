//! Excerpts: spans of a corpus in memory, each within one file.

use super::{Corpus, Error, Piece, TextSpan};
use std::ops::ControlFlow;

/// Text from one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The text; not empty.
    pub text: String,
    /// Whether the file ends with it.
    pub ends: bool,
}

impl Corpus {
    /// The text of `spans`, in order.
    ///
    /// # Errors
    /// As [`Corpus::read`].
    ///
    /// # Panics
    /// As [`Corpus::read`].
    pub fn excerpts(&self, spans: &[TextSpan]) -> Result<Vec<Excerpt>, Error> {
        let (mut excerpts, mut text) = (Vec::new(), String::new());
        for span in spans {
            self.read(*span, |piece| {
                match piece {
                    Piece::Text(piece) => text.push_str(piece),
                    Piece::End { of_file } => {
                        excerpts.push(Excerpt { text: std::mem::take(&mut text), ends: of_file });
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(excerpts)
    }
}
