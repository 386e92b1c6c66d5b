//! Token file writer: writes to a temporary file, and renames it once all of it is on disk.

use super::token_file::{HEADER_BYTES, encode_header};
use super::{Error, TokenFile, TokenOrigin};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Size of the write buffer, in bytes.
const BUFFER_BYTES: usize = 1 << 18;

/// A token file being written. If dropped before [`TokenFileWriter::finish`], it leaves no file.
///
/// The bytes go to `NAME.tmp-PROCESS` in the same folder, are synchronised, and only then renamed
/// to `NAME`. At any moment `NAME` is either the complete old file or the complete new one.
#[derive(Debug)]
pub struct TokenFileWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    n_tokens: u64,
    /// Positions of the tokens that mark a beginning.
    beginnings: Vec<u64>,
    origin: TokenOrigin,
}

impl TokenFileWriter {
    pub(super) fn create(path: &Path, origin: TokenOrigin) -> Result<TokenFileWriter, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".tmp-{}", std::process::id()));
        let temporary = PathBuf::from(name);
        let unwritable = |source| Error::Unwritable { path: path.to_owned(), source };
        let file = File::create(&temporary).map_err(unwritable)?;
        let mut writer = TokenFileWriter {
            path: path.to_owned(),
            temporary,
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + 4),
            hasher: blake3::Hasher::new(),
            n_tokens: 0,
            beginnings: Vec::new(),
            origin,
        };
        // Reserves space for the header, which is written at the end.
        writer.file.write_all(&[0; HEADER_BYTES]).map_err(unwritable)?;
        Ok(writer)
    }

    /// Tokens written so far.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Appends `tokens`.
    ///
    /// # Errors
    /// [`Error::TokenOutside`] if one is not in the vocabulary; [`Error::Unwritable`]. The writer
    /// cannot be used afterwards.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), Error> {
        let vocab_size = self.origin.vocab_size;
        if let Some(found) = tokens.iter().copied().find(|t| u64::from(*t) >= vocab_size) {
            return Err(Error::TokenOutside { found, vocab_size });
        }
        let width = self.origin.width();
        for token in tokens {
            self.buffer.extend_from_slice(&token.to_le_bytes()[..width]);
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        self.n_tokens += tokens.len() as u64;
        Ok(())
    }

    /// Appends `tokens`, of which those at the indices `beginnings`, ascending, only mark where a
    /// text begins: inputs that are never targets.
    ///
    /// # Errors
    /// As [`TokenFileWriter::push`].
    pub fn push_text(&mut self, tokens: &[u32], beginnings: &[usize]) -> Result<(), Error> {
        self.beginnings.extend(beginnings.iter().map(|index| self.n_tokens + *index as u64));
        self.push(tokens)
    }

    /// Moves the file to its final name, durably, then opens and verifies it.
    ///
    /// # Errors
    /// [`Error::Unwritable`], with an older file of this name unchanged, or an error of
    /// [`TokenFile::open`].
    pub fn finish(mut self) -> Result<TokenFile, Error> {
        let beginnings = std::mem::take(&mut self.beginnings);
        for number in [beginnings.len() as u64].iter().chain(&beginnings) {
            self.buffer.extend_from_slice(&number.to_le_bytes());
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        self.flush()?;
        let hash = *self.hasher.finalize().as_bytes();
        let header = encode_header(&self.origin, self.n_tokens, &hash);
        self.commit(&header).map_err(|source| self.unwritable(source))?;
        TokenFile::open(&self.path)
    }

    fn commit(&mut self, header: &[u8]) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(header)?;
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.path)?;
        // The rename is durable only once the folder is on disk.
        #[cfg(unix)]
        {
            let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.hasher.update(&self.buffer);
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written.map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: std::io::Error) -> Error {
        Error::Unwritable { path: self.path.clone(), source }
    }
}

impl Drop for TokenFileWriter {
    fn drop(&mut self) {
        // After a commit there is no temporary file; failing to remove one only wastes space.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
