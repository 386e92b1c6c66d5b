//! Input: the one door through which a file that a user names is opened.
//!
//! What a path leads to is looked at before it is opened: opening a named pipe waits for a writer,
//! and reading a device need not end. Text, wherever it comes from, is read by one reader.

use super::Error;
use super::text_reader::{TextChanges, TextReader, TextRules};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The path that stands for standard input.
pub const STANDARD_INPUT: &str = "-";

/// Largest text that is taken from a pipe: it goes to memory, and its length is not known before.
const STREAM_BYTES_MAX: u64 = 4 << 30;

/// Opens a regular file for reading.
///
/// # Errors
/// What the system says; [`io::ErrorKind::IsADirectory`] for a folder, and
/// [`io::ErrorKind::InvalidInput`] for a device, a pipe or a socket.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        let what = "it is a device, a pipe or a socket, not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    File::open(path)
}

/// The error of a path that [`open_regular`] refused.
pub(super) fn refused(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path },
        io::ErrorKind::IsADirectory => Error::Folder { path },
        io::ErrorKind::InvalidInput => Error::NotRegular { path },
        _ => Error::Unreadable { path, source },
    }
}

/// Something to be read once, from its beginning to its end.
pub struct Input {
    name: PathBuf,
    source: Box<dyn Read>,
    is_stream: bool,
}

/// A text that was read once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputText {
    /// The text.
    pub text: String,
    /// What reading changed.
    pub changes: TextChanges,
}

impl Input {
    /// A regular file, or a pipe that is open already, as a shell passes by `<(command)`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Folder`], [`Error::NotRegular`], [`Error::Unreadable`].
    pub fn open(path: &Path) -> Result<Input, Error> {
        let opened = if is_open_pipe(path) {
            File::open(path).map(|file| (file, true))
        } else {
            open_regular(path).map(|file| (file, false))
        };
        let (file, is_stream) = opened.map_err(|source| refused(path, source))?;
        Ok(Input { name: path.to_owned(), source: Box::new(file), is_stream })
    }

    /// A stream under the name that errors give it.
    pub fn stream(name: &str, source: impl Read + 'static) -> Input {
        Input { name: name.into(), source: Box::new(source), is_stream: true }
    }

    /// The path, or the name of the stream.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// All bytes, if there are at most `limit`.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Unreadable`].
    pub fn bytes(self, limit: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self.source.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        match read {
            Err(source) => Err(Error::Unreadable { path: self.name, source }),
            Ok(n) if n as u64 > limit => Err(Error::TooLong { path: self.name, limit }),
            Ok(_) => Ok(bytes),
        }
    }

    /// All of it as text, read as the files of a corpus are.
    ///
    /// # Errors
    /// As [`Corpus::open`](super::Corpus::open), but an empty text is none; [`Error::TooLong`] for a
    /// stream of more than 4 GiB.
    pub fn text(self, rules: TextRules) -> Result<InputText, Error> {
        let limit = if self.is_stream { STREAM_BYTES_MAX } else { u64::MAX };
        let mut reader = TextReader::of(&self.name, self.source, rules);
        let mut text = String::new();
        while let Some(piece) = reader.next_piece(&mut |_| ())? {
            text.push_str(piece);
            if text.len() as u64 > limit {
                return Err(Error::TooLong { path: self.name.clone(), limit });
            }
        }
        reader.check_share()?;
        Ok(InputText { text, changes: reader.changes })
    }
}

/// Whether the path leads to a pipe without a name of its own. Opening it does not wait, unlike
/// opening a named one.
fn is_open_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        // Links to such pipes, below /dev/fd, have targets that are no paths.
        is_pipe && path.canonicalize().is_err()
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{InvalidBytes, LineEnds, NormalForm};
    use std::io::Cursor;

    const NEW: TextRules = TextRules {
        invalid_bytes: InvalidBytes::Refuse,
        line_ends: LineEnds::Unify,
        normal_form: NormalForm::Nfc,
    };

    fn stream(bytes: &[u8]) -> Input {
        Input::stream("standard input", Cursor::new(bytes.to_owned()))
    }

    #[test]
    fn a_stream_is_read_as_a_file_is() {
        let found = stream(b"\xEF\xBB\xBFone\r\ntwo\rcafe\xCC\x81").text(NEW).unwrap();
        assert_eq!(found.text, "one\ntwo\ncafé");
        assert_eq!((found.changes.n_line_ends, found.changes.n_composed), (2, 1));
        for (bytes, code) in [
            (&b"caf\xe9"[..], "text-not-utf8"),
            (b"a\0b", "text-binary"),
            (b"\xff\xfeh\0", "text-utf16"),
            (b"\xff\xfe\0\0h\0\0\0", "text-utf16"),
        ] {
            let error = stream(bytes).text(NEW).unwrap_err();
            assert_eq!(error.code(), code);
            assert!(error.to_string().starts_with("standard input: "), "{error}");
        }
        assert_eq!(stream(b"").text(NEW).unwrap(), InputText::default());
    }

    #[test]
    fn a_limit_holds_for_what_has_no_end() {
        let endless = Input::stream("zeros", io::repeat(0));
        let error = endless.bytes(1000).unwrap_err();
        assert!(matches!(error, Error::TooLong { limit: 1000, .. }), "{error}");
        assert_eq!(stream(b"abc").bytes(3).unwrap(), b"abc");
        assert!(stream(b"abc").bytes(2).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_before_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        let code = |path: &Path| Input::open(path).map(|_| ()).unwrap_err().code();
        assert_eq!(code(Path::new("/dev/zero")), "text-not-regular");
        assert_eq!(code(folder.path()), "text-is-folder");
        assert_eq!(code(&folder.path().join("none")), "text-missing");
        if made.is_ok_and(|status| status.success()) {
            assert_eq!(code(&pipe), "text-not-regular");
        }
    }
}
