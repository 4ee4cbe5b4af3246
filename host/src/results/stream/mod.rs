//! Reads the archive of a halted bottle's files. Whoever wrote it may be hostile, and the names in it are the agent's.
//!
//! Invariants: nothing of it is ever unpacked; an extension header is read only up to [`MAX_EXTENSION`]; memory does not grow
//! with what an entry claims; it is whole only with two blocks of zeros at its end and the count that the backend says.
//! What becomes of the entries, a [`Sink`] knows.

mod error;
mod header;
mod names;

use std::io::{self, Read};
use std::path::PathBuf;

pub use error::StreamError;
use header::{Extended, Fields};
pub use names::Place;
use names::{Kind, Seen};

/// A header, and what contents are padded to.
const BLOCK: usize = 512;
/// The longest extension header.
pub const MAX_EXTENSION: u64 = 64 << 10;
/// How many entries an export may have.
pub const MAX_ENTRIES: u64 = 2_000_000;
/// How many bytes of contents an export may have.
pub const MAX_BYTES: u64 = 16 << 30;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A file; its contents follow.
    File {
        /// Their size.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// The same file as an earlier one of this archive.
    Same {
        /// The earlier one.
        earlier: PathBuf,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: Vec<u8>,
    },
    /// A device, FIFO or socket.
    Special,
}

/// Takes the entries of an export.
pub trait Sink {
    /// Takes one; of a file's contents, what is not read is passed over.
    ///
    /// # Errors
    /// Fails when it cannot be kept, which fails the export.
    fn entry(&mut self, place: Place, content: Content, contents: &mut dyn Read) -> anyhow::Result<()>;
}

/// Reads an archive to its end; returns how many entries it has.
///
/// # Errors
/// Fails on anything that is not whole and plain; what the sink has got until then is worth nothing.
pub fn read(source: impl Read, sink: &mut dyn Sink) -> Result<u64, StreamError> {
    let mut reader =
        Reader { source, entries: 0, bytes: 0, top: None, seen: Seen::default(), most: MAX_ENTRIES };
    reader.run(sink)?;
    Ok(reader.entries)
}

/// Fails unless the backend wrote as many entries as came.
///
/// # Errors
/// If not: an archive that is cut between two entries looks whole otherwise.
pub fn check_count(found: u64, said: u64) -> Result<(), StreamError> {
    if found == said { Ok(()) } else { Err(StreamError::Count { found, said }) }
}

struct Reader<R> {
    source: R,
    entries: u64,
    bytes: u64,
    top: Option<Vec<u8>>,
    seen: Seen,
    most: u64,
}

impl<R: Read> Reader<R> {
    fn run(&mut self, sink: &mut dyn Sink) -> Result<(), StreamError> {
        let mut extended = Extended::default();
        loop {
            let block = self.block()?;
            let Some(fields) = header::read(&block, self.entries + 1)? else {
                return self.end();
            };
            match fields.kind {
                b'x' | b'g' => {
                    let bytes = self.extension(fields.size)?;
                    extended.pax(&bytes, fields.kind == b'g', self.entries + 1)?;
                }
                b'L' => extended.path = Some(Extended::long_name(&self.extension(fields.size)?)),
                b'K' => extended.target = Some(Extended::long_name(&self.extension(fields.size)?)),
                _ => self.entry(fields, std::mem::take(&mut extended), sink)?,
            }
        }
    }

    fn entry(&mut self, fields: Fields, extended: Extended, sink: &mut dyn Sink) -> Result<(), StreamError> {
        let number = self.entries + 1;
        let size = extended.size.unwrap_or(fields.size);
        let path = names::below_top(&extended.path.unwrap_or(fields.path), &mut self.top)?;
        let target = extended.target.unwrap_or(fields.target);
        let (content, kind) = match fields.kind {
            b'0' => (Content::File { size, executable: fields.mode & 0o100 != 0 }, Kind::File),
            b'5' => (Content::Directory, Kind::Directory),
            b'2' => (Content::Link { target }, Kind::Other),
            b'1' => match (names::below_top(&target, &mut self.top)?, &path) {
                (Some(earlier), Some(_)) if self.seen.has_file(&earlier) => {
                    (Content::Same { earlier }, Kind::File)
                }
                (target, path) => {
                    let (path, target) = (path.clone().unwrap_or_default(), target.unwrap_or_default());
                    return Err(StreamError::HardLink { path, target });
                }
            },
            b'3' | b'4' | b'6' => (Content::Special, Kind::Other),
            kind => return Err(StreamError::Kind { entry: number, kind }),
        };
        let Some(path) = path else {
            let reason = "the top of the archive is not a directory";
            let is_directory = content == Content::Directory;
            return if is_directory {
                self.pass(size)
            } else {
                Err(StreamError::Header { entry: number, reason })
            };
        };
        self.entries = number;
        if number > self.most {
            return Err(StreamError::TooMany);
        }
        self.seen.note(&path, kind)?;
        let place = Place::of(&path, matches!(content, Content::Link { .. }));
        self.hand_over(place, content, size, sink)
    }

    fn hand_over(
        &mut self,
        place: Place,
        content: Content,
        size: u64,
        sink: &mut dyn Sink,
    ) -> Result<(), StreamError> {
        if !matches!(content, Content::File { .. }) {
            sink.entry(place, content, &mut io::empty())?;
            return self.pass(size);
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            return Err(StreamError::TooLarge);
        }
        let mut contents = Contents { source: &mut self.source, left: size, is_cut: false };
        let taken = sink.entry(place, content, &mut contents);
        let (left, is_cut) = (contents.left, contents.is_cut);
        if is_cut {
            return Err(self.cut());
        }
        taken?;
        self.pass_bytes(left)?;
        self.pass_bytes(padding(size))
    }

    /// Reads a header's worth.
    fn block(&mut self) -> Result<[u8; BLOCK], StreamError> {
        let mut block = [0; BLOCK];
        self.source.read_exact(&mut block).map_err(|error| self.failed(error))?;
        Ok(block)
    }

    /// Reads an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, StreamError> {
        if size > MAX_EXTENSION {
            return Err(StreamError::Extension { entry: self.entries + 1, size });
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.source.read_exact(&mut bytes).map_err(|error| self.failed(error))?;
        self.pass_bytes(padding(size))?;
        Ok(bytes)
    }

    /// Passes over contents that nothing is made of.
    fn pass(&mut self, size: u64) -> Result<(), StreamError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > MAX_BYTES {
            return Err(StreamError::TooLarge);
        }
        self.pass_bytes(size.saturating_add(padding(size)))
    }

    fn pass_bytes(&mut self, count: u64) -> Result<(), StreamError> {
        let passed = io::copy(&mut self.source.by_ref().take(count), &mut io::sink());
        match passed {
            Ok(passed) if passed == count => Ok(()),
            Ok(_) => Err(self.cut()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Reads the second end block, and whatever pads the archive.
    fn end(&mut self) -> Result<(), StreamError> {
        if header::read(&self.block()?, self.entries)?.is_some() {
            return Err(StreamError::Header { entry: self.entries + 1, reason: "it comes after the end" });
        }
        let drained = io::copy(&mut self.source.by_ref().take(MAX_EXTENSION), &mut io::sink());
        drained.map(drop).map_err(|error| self.failed(error))
    }

    fn cut(&self) -> StreamError {
        StreamError::Cut { entries: self.entries }
    }

    fn failed(&self, error: io::Error) -> StreamError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(),
            _ => StreamError::Read(error),
        }
    }
}

/// The contents of one file: never more than its header says, and less is noticed.
struct Contents<'a, R> {
    source: &'a mut R,
    left: u64,
    is_cut: bool,
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buffer[..most])?;
        self.left -= read as u64;
        if read == 0 {
            self.is_cut = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

/// Returns how many bytes pad contents of a size.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

#[cfg(test)]
mod tests;
