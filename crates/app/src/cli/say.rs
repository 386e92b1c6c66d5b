//! Remarks on stderr, which nobody has to read: a closed or full one stops nothing.

/// Writes a line to stderr, if it takes one.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

pub(crate) use say;
