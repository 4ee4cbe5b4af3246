//! An archive of what is put back into a later bottle and never opened on the host: the agent's repository, its history.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use claude_bottle_kit::tree::append_link;
use tar::{Builder, EntryType, Header};

/// How large such an archive may be, in bytes.
pub const MAX_BYTES: u64 = 512 << 20;

/// An archive that is being written.
pub struct Archive {
    builder: Builder<BufWriter<File>>,
    entries: u64,
    bytes: u64,
    is_over_bound: bool,
    most: u64,
}

impl Archive {
    /// Writes to a file.
    pub(super) fn new(file: File) -> Self {
        Self {
            builder: Builder::new(BufWriter::new(file)),
            entries: 0,
            bytes: 0,
            is_over_bound: false,
            most: MAX_BYTES,
        }
    }

    /// Writes to a file what has a bound already.
    pub(super) fn unbounded(file: File) -> Self {
        Self { most: u64::MAX, ..Self::new(file) }
    }

    /// Returns `true` if entries were left out since there was too much.
    pub fn is_over_bound(&self) -> bool {
        self.is_over_bound
    }

    /// Adds a file, unless it is too much.
    pub fn file(&mut self, path: &Path, executable: bool, size: u64, contents: impl Read) -> io::Result<()> {
        let mode = if executable { 0o755 } else { 0o644 };
        self.append(path, header(EntryType::Regular, mode, size), contents)
    }

    /// Adds a directory.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        self.append(path, header(EntryType::Directory, 0o755, 0), io::empty())
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        self.entries += 1;
        append_link(&mut self.builder, &mut header(EntryType::Symlink, 0o777, 0), path, target)
    }

    /// Ends the archive; returns how many entries it has.
    pub(super) fn finish(self) -> io::Result<u64> {
        self.builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(self.entries)
    }

    fn append(&mut self, path: &Path, mut header: Header, contents: impl Read) -> io::Result<()> {
        let size = header.entry_size()?;
        if self.bytes.saturating_add(size) > self.most {
            self.is_over_bound = true;
            return Ok(());
        }
        (self.entries, self.bytes) = (self.entries + 1, self.bytes + size);
        self.builder.append_data(&mut header, path, contents.take(size))
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}
