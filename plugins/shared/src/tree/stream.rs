//! Writes entries of a tar stream: owner, mode and type are said here, never taken from the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::Stat;
use rustix::process::{getgid, getuid};
use tar::{Builder, EntryType, Header};

use super::{TreeError, Visitor};

/// What an entry is given besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Owner and group.
    pub owner: (u32, u32),
    /// Permission bits; set-id and sticky bits are dropped.
    pub mode: u32,
    /// When it was changed, in seconds since 1970-01-01 UTC.
    pub mtime: u64,
}

impl Entry {
    /// Returns a header for this entry, complete but for path and type.
    fn header(self, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_uid(u64::from(self.owner.0));
        header.set_gid(u64::from(self.owner.1));
        header.set_mode(self.mode & 0o777);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }
}

/// An uncompressed tar stream that is being written.
///
/// Invariant: never compressed. An engine runs a decompressor for a compressed one, with the rights of root.
pub struct TarWriter<'a> {
    builder: Builder<&'a mut dyn Write>,
}

impl<'a> TarWriter<'a> {
    /// Writes to `sink`.
    pub fn new(sink: &'a mut dyn Write) -> Self {
        Self { builder: Builder::new(sink) }
    }

    /// Adds a directory; one that exists at the other end gets this owner and mode.
    ///
    /// # Errors
    /// Fails when the stream cannot be written.
    pub fn dir(&mut self, path: &Path, entry: Entry) -> Result<(), TreeError> {
        self.append(path, entry.header(EntryType::Directory, 0), io::empty())
    }

    /// Adds a file with the content given.
    ///
    /// # Errors
    /// Fails when the stream cannot be written.
    pub fn file(&mut self, path: &Path, entry: Entry, content: &[u8]) -> Result<(), TreeError> {
        self.append(path, entry.header(EntryType::Regular, content.len() as u64), content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// Fails when the stream cannot be written.
    pub fn link(&mut self, path: &Path, entry: Entry, target: &Path) -> Result<(), TreeError> {
        let mut header = Entry { mode: 0o777, ..entry }.header(EntryType::Symlink, 0);
        let path = relative(path);
        // Also the target: a name longer than the header's field is written before it, as GNU tar does.
        self.builder
            .append_link(&mut header, path, target)
            .map_err(|source| TreeError::Write { path: path.to_owned(), source })
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// Fails when the stream cannot be written.
    pub fn finish(mut self) -> Result<(), TreeError> {
        let end = self.builder.finish().and_then(|()| self.builder.get_mut().flush());
        end.map_err(|source| TreeError::Write { path: PathBuf::from("the end of the archive"), source })
    }

    fn append(&mut self, path: &Path, mut header: Header, content: impl Read) -> Result<(), TreeError> {
        let path = relative(path);
        self.builder
            .append_data(&mut header, path, content)
            .map_err(|source| TreeError::Write { path: path.to_owned(), source })
    }
}

/// Tar paths are relative to where the archive is unpacked.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Writes what a walk finds.
pub(super) struct IntoStream<'a, 'b> {
    writer: &'a mut TarWriter<'b>,
    source: &'a Path,
    target: &'a Path,
    owner: (u32, u32),
}

impl<'a, 'b> IntoStream<'a, 'b> {
    pub(super) fn new(
        writer: &'a mut TarWriter<'b>,
        source: &'a Path,
        target: &'a Path,
        owner: Option<(u32, u32)>,
    ) -> Self {
        let this = || (getuid().as_raw(), getgid().as_raw());
        Self { writer, source, target, owner: owner.unwrap_or_else(this) }
    }

    fn entry(&self, stat: &Stat) -> Entry {
        Entry { owner: self.owner, mode: stat.st_mode, mtime: u64::try_from(stat.st_mtime).unwrap_or(0) }
    }
}

impl Visitor for IntoStream<'_, '_> {
    fn enter(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError> {
        self.writer.dir(&self.target.join(path), self.entry(stat))
    }

    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut content = Exactly { file: File::from(file), left: size, failed: None };
        let header = self.entry(stat).header(EntryType::Regular, size);
        let written = self.writer.append(&self.target.join(path), header, &mut content);
        let path = || self.source.join(path);
        match content.failed {
            Some(source) => Err(TreeError::Read { path: path(), source }),
            None if content.left > 0 && written.is_ok() => Err(TreeError::Changed { path: path() }),
            None => written,
        }
    }

    fn link(&mut self, path: &Path, stat: &Stat, target: &Path) -> Result<(), TreeError> {
        self.writer.link(&self.target.join(path), self.entry(stat), target)
    }

    fn leave(&mut self, _: &Path) -> Result<(), TreeError> {
        Ok(())
    }
}

/// Reads as many bytes as the header says, although the file may grow or shrink meanwhile.
struct Exactly {
    file: File,
    left: u64,
    failed: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match self.file.read(&mut buffer[..most]) {
            Ok(n) => {
                self.left -= n as u64;
                Ok(n)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}
