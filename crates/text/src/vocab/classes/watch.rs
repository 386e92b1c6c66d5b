//! Progress of a long computation, and whether to go on with it.

use super::error::ClassError;

/// Counts steps towards a known number and asks after each whether to go on.
pub struct Watch<'a> {
    done: usize,
    of: usize,
    goes_on: &'a mut dyn FnMut(usize, usize) -> bool,
}

impl<'a> Watch<'a> {
    /// Before the first of `of` steps; `goes_on(done, of)` is asked.
    pub fn new(of: usize, goes_on: &'a mut dyn FnMut(usize, usize) -> bool) -> Watch<'a> {
        Watch { done: 0, of, goes_on }
    }

    /// One step is done.
    ///
    /// # Errors
    /// [`ClassError::Cancelled`] if the caller wants no more.
    pub fn step(&mut self) -> Result<(), ClassError> {
        self.done = self.of.min(self.done + 1);
        self.ask()
    }

    /// All is done, if earlier than thought.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn finish(&mut self) -> Result<(), ClassError> {
        self.done = self.of;
        self.ask()
    }

    fn ask(&mut self) -> Result<(), ClassError> {
        if (self.goes_on)(self.done, self.of) { Ok(()) } else { Err(ClassError::Cancelled) }
    }
}
