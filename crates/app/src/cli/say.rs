//! Messages on stderr; a closed or full stderr is ignored.

/// Writes a line to stderr, ignoring errors.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

pub(crate) use say;
