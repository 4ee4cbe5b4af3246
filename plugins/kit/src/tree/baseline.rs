//! Says, in the pass that copies a working directory, what was copied: the lines of [`Workspace::index`].
//!
//! Invariant: a line tells of the bytes that arrived. A file that changes meanwhile is recorded as it was copied.
//!
//! [`Workspace::index`]: claude_bottle_plugin_api::Workspace::index

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{EntryKind, EntryPath, IndexEntry};
use sha2::{Digest, Sha256};

use super::TreeError;

/// An index that is being written, under another name until it is whole.
#[derive(Debug)]
pub struct Baseline {
    path: PathBuf,
    new: PathBuf,
    lines: BufWriter<File>,
    /// Whether a path may have several lines, of which the last counts.
    is_overlaid: bool,
}

impl Baseline {
    /// Begins an index that will be at `path`.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn create(path: &Path) -> Result<Self, TreeError> {
        let new = path.with_added_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&new).map_err(|source| failed(&new, source))?;
        Ok(Self { path: path.to_owned(), new, lines: BufWriter::new(file), is_overlaid: false })
    }

    /// Goes on with an index that is whole, for what is laid over the copy.
    ///
    /// # Errors
    /// Fails when it cannot be read or written.
    pub fn extend(path: &Path) -> Result<Self, TreeError> {
        let mut baseline = Self::create(path)?;
        let mut old = File::open(path).map_err(|source| failed(path, source))?;
        io::copy(&mut old, &mut baseline.lines).map_err(|source| failed(path, source))?;
        Ok(baseline)
    }

    /// Ends the index: from now on it is at its path.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn finish(mut self) -> Result<(), TreeError> {
        let end = |baseline: &mut Self| -> io::Result<()> {
            baseline.lines.flush()?;
            if baseline.is_overlaid {
                baseline.keep_last()?;
            }
            fs::rename(&baseline.new, &baseline.path)
        };
        end(&mut self).map_err(|source| failed(&self.path, source))
    }

    /// Records that a file with this content was written to a path, in place of what the index has of it.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<(), TreeError> {
        self.is_overlaid = true;
        let mut hasher = Sha256::new();
        hasher.update(content);
        self.hashed(path, mode, content.len() as u64, hasher)
    }

    /// Returns the record of a copy to a place below the top directory; empty for that directory itself.
    pub fn below(&mut self, place: &Path) -> Record<'_> {
        self.is_overlaid |= !place.as_os_str().is_empty();
        Record { baseline: self, place: place.to_owned() }
    }

    fn hashed(&mut self, path: &Path, mode: u32, size: u64, hasher: Sha256) -> Result<(), TreeError> {
        let mut entry = IndexEntry::new(path, EntryKind::File, mode);
        entry.size = size;
        entry.sha256 = Some(hex(&hasher.finalize()));
        self.write(&entry)
    }

    fn write(&mut self, entry: &IndexEntry) -> Result<(), TreeError> {
        let written = serde_json::to_writer(&mut self.lines, entry).map_err(io::Error::from);
        written.and_then(|()| self.lines.write_all(b"\n")).map_err(|source| failed(&self.new, source))
    }

    /// Keeps of each path the last line alone.
    fn keep_last(&mut self) -> io::Result<()> {
        let mut last: BTreeMap<EntryPath, String> = BTreeMap::new();
        for line in BufReader::new(File::open(&self.new)?).lines() {
            let line = line?;
            let entry: IndexEntry = serde_json::from_str(&line)?;
            last.insert(entry.path, line);
        }
        let mut out = BufWriter::new(File::create(&self.new)?);
        last.values().try_for_each(|line| writeln!(out, "{line}"))?;
        out.flush()
    }
}

impl Drop for Baseline {
    /// What was not ended is not kept.
    fn drop(&mut self) {
        fs::remove_file(&self.new).ok();
    }
}

/// The record of one copy.
#[derive(Debug)]
pub struct Record<'a> {
    baseline: &'a mut Baseline,
    place: PathBuf,
}

impl Record<'_> {
    pub(super) fn directory(&mut self, path: &Path, mode: u32) -> Result<(), TreeError> {
        let path = self.place.join(path);
        // The top directory has no line. Joining nothing leaves a slash at the end.
        match path.components().as_path() {
            top if top.as_os_str().is_empty() => Ok(()),
            path => self.baseline.write(&IndexEntry::new(path, EntryKind::Directory, mode & 0o777)),
        }
    }

    pub(super) fn link(&mut self, path: &Path, target: &Path) -> Result<(), TreeError> {
        let mut entry = IndexEntry::new(self.place.join(path), EntryKind::Link, 0o777);
        entry.target = Some(EntryPath::new(target));
        self.baseline.write(&entry)
    }

    pub(super) fn file(
        &mut self,
        path: &Path,
        mode: u32,
        size: u64,
        hasher: Sha256,
    ) -> Result<(), TreeError> {
        self.baseline.hashed(&self.place.join(path), mode & 0o777, size, hasher)
    }
}

fn failed(path: &Path, source: io::Error) -> TreeError {
    TreeError::Index { path: path.to_owned(), source }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
