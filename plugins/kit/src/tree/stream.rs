//! Writes entries of a tar stream: owner, mode and type are said here, never taken from the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Stat, Timespec};
use rustix::process::{getgid, getuid};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::{Record, TreeError, Visitor, changed};
use crate::restore::Cover;

/// The name of an entry that holds the target of the next one, as GNU tar has it.
const LONG_LINK: &[u8] = b"././@LongLink";

/// Adds a symbolic link whose target is written byte for byte. [`Builder::append_link`] leaves `.` and empty parts of it out, such as those of
/// `a/./b` and `a//b`, and so makes another link of it.
///
/// # Errors
/// Fails when the archive cannot be written, and for a path that no archive has.
pub fn append_link(
    builder: &mut Builder<impl Write>,
    header: &mut Header,
    path: &Path,
    target: &[u8],
) -> io::Result<()> {
    if header.set_link_name_literal(target).is_err() {
        // It is longer than its field.
        let mut long = Header::new_gnu();
        long.as_old_mut().name[..LONG_LINK.len()].copy_from_slice(LONG_LINK);
        long.set_entry_type(EntryType::GNULongLink);
        long.set_mode(0o644);
        long.set_size(target.len() as u64 + 1);
        long.set_cksum();
        builder.append(&long, target.chain(&b"\0"[..]))?;
    }
    builder.append_data(header, path, io::empty())
}

/// What an entry has in addition to its path.
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
    /// When the next entry was changed, to the nanosecond.
    time: Option<String>,
    /// What is laid over the entries later, and so decides which of them are written.
    cover: Option<Cover>,
}

impl<'a> TarWriter<'a> {
    /// Writes to `sink`.
    pub fn new(sink: &'a mut dyn Write) -> Self {
        Self { builder: Builder::new(sink), time: None, cover: None }
    }

    /// Leaves out entries that are replaced or removed by what is laid over them later. Their contents are read all the same.
    pub(crate) fn cover(&mut self, cover: Cover) {
        self.cover = Some(cover);
    }

    /// Writes every entry from now on, and returns what has covered them.
    pub(crate) fn uncover(&mut self) -> Option<Cover> {
        self.cover.take()
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
        if !self.begin(path, &header)? {
            return Ok(());
        }
        append_link(&mut self.builder, &mut header, path, target.as_os_str().as_bytes())
            .map_err(|source| TreeError::Write { path: path.to_owned(), source })
    }

    /// Adds a file with content of this size, which is read as it is written.
    ///
    /// # Errors
    /// Fails when the content cannot be read or ends early, and when the stream cannot be written.
    pub(crate) fn content(
        &mut self,
        path: &Path,
        entry: Entry,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), TreeError> {
        let mut counted = Counted { content, left: size };
        self.append(path, entry.header(EntryType::Regular, size), &mut counted)?;
        let short = || TreeError::Changed { path: path.to_owned() };
        if counted.left > 0 { Err(short()) } else { Ok(()) }
    }

    /// Adds another name of a file that was added before.
    ///
    /// # Errors
    /// Fails when the stream cannot be written.
    pub(crate) fn hard_link(&mut self, path: &Path, entry: Entry, target: &Path) -> Result<(), TreeError> {
        let mut header = entry.header(EntryType::Link, 0);
        let path = relative(path);
        if !self.begin(path, &header)? {
            return Ok(());
        }
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

    /// Sets for the next entry when it was changed, to the nanosecond, for which its own header has no place.
    ///
    /// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03>
    fn changed(&mut self, changed: Timespec) {
        let is_whole = changed.tv_nsec == 0 && changed.tv_sec >= 0;
        self.time = (!is_whole).then(|| format!("{}.{:09}", changed.tv_sec, changed.tv_nsec));
    }

    /// Writes what goes before an entry; returns `false` if the entry itself is left out.
    fn begin(&mut self, path: &Path, header: &Header) -> Result<bool, TreeError> {
        let time = self.time.take();
        if let Some(cover) = &mut self.cover {
            let Some(waiting) = cover.admit(path, header) else { return Ok(false) };
            for (path, mut header) in waiting {
                self.builder
                    .append_data(&mut header, &path, io::empty())
                    .map_err(|source| TreeError::Write { path, source })?;
            }
        }
        let Some(time) = time else { return Ok(true) };
        self.builder
            .append_pax_extensions([("mtime", time.as_bytes())])
            .map(|()| true)
            .map_err(|source| TreeError::Write { path: path.to_owned(), source })
    }

    fn append(&mut self, path: &Path, mut header: Header, mut content: impl Read) -> Result<(), TreeError> {
        let path = relative(path);
        if !self.begin(path, &header)? {
            // The index needs all of it.
            let read = io::copy(&mut content, &mut io::sink());
            return read.map(drop).map_err(|source| TreeError::Read { path: path.to_owned(), source });
        }
        self.builder
            .append_data(&mut header, path, content)
            .map_err(|source| TreeError::Write { path: path.to_owned(), source })
    }
}

/// Tar paths are relative to where the archive is unpacked. A slash at the end goes too, which comes from joining nothing.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path).components().as_path()
}

/// Writes what a walk finds.
pub(super) struct IntoStream<'a, 'b> {
    writer: &'a mut TarWriter<'b>,
    source: &'a Path,
    target: &'a Path,
    owner: (u32, u32),
    record: Option<Record<'a>>,
    is_export: bool,
}

impl<'a, 'b> IntoStream<'a, 'b> {
    pub(super) fn new(
        writer: &'a mut TarWriter<'b>,
        source: &'a Path,
        target: &'a Path,
        owner: Option<(u32, u32)>,
    ) -> Self {
        let this = || (getuid().as_raw(), getgid().as_raw());
        let owner = owner.unwrap_or_else(this);
        Self { writer, source, target, owner, record: None, is_export: false }
    }

    /// Records in an index what was written.
    pub(super) fn told_to(self, record: Option<Record<'a>>) -> Self {
        Self { record, ..self }
    }

    /// Writes for a host that looks at contents alone: no parts of seconds, and what a file has lost meanwhile is zeros.
    pub(super) fn for_export(self) -> Self {
        Self { is_export: true, ..self }
    }

    /// Writes what goes before an entry, and returns what it is given.
    fn begin(&mut self, path: &Path, stat: &Stat) -> Result<(PathBuf, Entry), TreeError> {
        let (path, changed) = (self.target.join(path), changed(stat));
        if !self.is_export {
            self.writer.changed(changed);
        }
        let mtime = u64::try_from(changed.tv_sec).unwrap_or(0);
        Ok((path, Entry { owner: self.owner, mode: stat.st_mode, mtime }))
    }
}

impl Visitor for IntoStream<'_, '_> {
    fn enter(&mut self, path: &Path, stat: &Stat) -> Result<(), TreeError> {
        let (target, entry) = self.begin(path, stat)?;
        self.writer.dir(&target, entry)?;
        self.record.as_mut().map_or(Ok(()), |record| record.directory(path, stat.st_mode))
    }

    fn file(&mut self, path: &Path, stat: &Stat, file: OwnedFd) -> Result<(), TreeError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let hasher = self.record.as_ref().map(|_| Sha256::new());
        let mut content =
            Exactly { file: File::from(file), left: size, failed: None, hasher, is_filled: self.is_export };
        let (target, entry) = self.begin(path, stat)?;
        let written = self.writer.append(&target, entry.header(EntryType::Regular, size), &mut content);
        match content.failed {
            Some(source) => return Err(TreeError::Read { path: self.source.join(path), source }),
            None if content.left > 0 && written.is_ok() => {
                return Err(TreeError::Changed { path: self.source.join(path) });
            }
            None => written?,
        }
        let told = self.record.as_mut().zip(content.hasher);
        told.map_or(Ok(()), |(record, hasher)| record.file(path, stat.st_mode, size, hasher))
    }

    fn link(&mut self, path: &Path, stat: &Stat, target: &Path) -> Result<(), TreeError> {
        let (written, entry) = self.begin(path, stat)?;
        self.writer.link(&written, entry, target)?;
        self.record.as_mut().map_or(Ok(()), |record| record.link(path, target))
    }

    fn leave(&mut self, _: &Path, _: &Stat) -> Result<(), TreeError> {
        Ok(())
    }
}

/// Counts what is read.
struct Counted<'a> {
    content: &'a mut dyn Read,
    left: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// Reads as many bytes as the header says, although the file may grow or shrink meanwhile.
struct Exactly {
    file: File,
    left: u64,
    failed: Option<io::Error>,
    hasher: Option<Sha256>,
    /// Whether zeros stand for what is not there any more.
    is_filled: bool,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match self.file.read(&mut buffer[..most]) {
            Ok(mut n) => {
                if n == 0 && self.is_filled {
                    buffer[..most].fill(0);
                    n = most;
                }
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&buffer[..n]);
                }
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
