//! Progress and cancellation of a long computation.

use super::error::ClassError;

/// Counter of steps towards a known total, with a check for cancellation after each.
pub struct Watch<'a> {
    done: usize,
    of: usize,
    goes_on: &'a mut dyn FnMut(usize, usize) -> bool,
}

impl<'a> Watch<'a> {
    /// Before the first of `of` steps; `goes_on(done, of)` returns whether to continue.
    pub fn new(of: usize, goes_on: &'a mut dyn FnMut(usize, usize) -> bool) -> Watch<'a> {
        Watch { done: 0, of, goes_on }
    }

    /// Counts one step as done.
    ///
    /// # Errors
    /// [`ClassError::Cancelled`] if `goes_on` returned false.
    pub fn step(&mut self) -> Result<(), ClassError> {
        self.done = self.of.min(self.done + 1);
        self.ask()
    }

    /// Counts all steps as done, possibly earlier than expected.
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
