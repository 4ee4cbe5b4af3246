//! Files of a halted bottle, streamed out to the host, and the index of what was copied in.

use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::types::Fact;

/// Which files of a bottle are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExportWhat {
    /// The copy of the working directory.
    Workspace,
    /// Paths below the home, in [`ExportRequest::paths`]: what the agent remembers of its sessions.
    History,
    /// A part this side does not know; the export is refused.
    #[serde(other)]
    Unknown,
}

/// What to export, and where to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportRequest {
    /// Which files.
    pub what: ExportWhat,
    /// For [`ExportWhat::History`]: paths below the home, relative to it. Each is in the archive under the same path, below the
    /// top directory; one that does not exist, or is behind a link, is left out.
    #[serde(default)]
    pub paths: Vec<PathBuf>,
    /// The descriptor of this process that the archive is written to.
    ///
    /// The archive is an uncompressed tar (ustar, with GNU long names or PAX headers): every entry below one top
    /// directory, in any order, ended by two blocks of zeros.
    pub stream: RawFd,
}

impl ExportRequest {
    /// Asks for the working directory.
    pub fn workspace(stream: RawFd) -> Self {
        Self { what: ExportWhat::Workspace, paths: Vec::new(), stream }
    }

    /// Asks for paths below the home.
    pub fn history(paths: Vec<PathBuf>, stream: RawFd) -> Self {
        Self { what: ExportWhat::History, paths, stream }
    }

    /// Duplicates the descriptor of the stream, which is borrowed for the call.
    ///
    /// # Errors
    ///
    /// [`crate::FailureKind::Invalid`] if it is not an open descriptor.
    pub fn stream(&self) -> Result<File> {
        crate::types::exec::open(self.stream).map(File::from)
    }
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// How many entries the archive has, the top directory and extension headers not counted. The host counts too, and takes
    /// an archive with another count for cut off.
    pub entries: u64,
    /// How many bytes of file contents.
    #[serde(default)]
    pub bytes: u64,
    /// What was not exported and why, as a user reads it.
    #[serde(default)]
    pub skipped: Vec<Fact>,
    /// Where programs start inside, absolute: [`crate::Restore::start`] of a bottle that goes on from this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
}

/// What an entry of a directory tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
    /// A kind that this side does not know.
    #[serde(other)]
    Unknown,
}

/// One line of [`crate::Workspace::index`]: an entry of the working directory as it was copied in.
///
/// The lines are JSON objects, in any order, each ended by a newline. The top directory itself has no line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexEntry {
    /// The path, relative to the top directory.
    #[serde(flatten)]
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Its permission bits.
    pub mode: u32,
    /// The size of a file in bytes; 0 for other kinds.
    #[serde(default)]
    pub size: u64,
    /// The SHA-256 of a file's contents, in lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<EntryPath>,
}

impl IndexEntry {
    /// Describes an entry without contents: a directory.
    pub fn new(path: impl Into<PathBuf>, kind: EntryKind, mode: u32) -> Self {
        Self { path: EntryPath::new(path), kind, mode, size: 0, sha256: None, target: None }
    }
}

/// A path as JSON: `{"path": TEXT}`, or `{"path_hex": DIGITS}` if it is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "PathFields", into = "PathFields")]
pub struct EntryPath(PathBuf);

impl EntryPath {
    /// Wraps a path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Returns the path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Returns the path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

/// The form of an [`EntryPath`].
#[derive(Serialize, Deserialize)]
struct PathFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl From<EntryPath> for PathFields {
    fn from(path: EntryPath) -> Self {
        match path.0.into_os_string().into_string() {
            Ok(text) => Self { path: Some(text), path_hex: None },
            Err(bytes) => Self { path: None, path_hex: Some(hex(bytes.as_bytes())) },
        }
    }
}

impl TryFrom<PathFields> for EntryPath {
    type Error = &'static str;

    fn try_from(fields: PathFields) -> std::result::Result<Self, Self::Error> {
        let bytes = match (fields.path, fields.path_hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(digits)) => {
                from_hex(&digits).ok_or("`path_hex` is not an even number of hexadecimal digits")?
            }
            _ => return Err("an entry has either `path` or `path_hex`"),
        };
        Ok(Self(PathBuf::from(std::ffi::OsString::from_vec(bytes))))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_text_crosses_as_digits() {
        let mut entry = IndexEntry::new("a/b", EntryKind::Link, 0o777);
        entry.target = Some(EntryPath::new(std::ffi::OsString::from_vec(b"\xff/x".to_vec())));
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(
            text,
            r#"{"path":"a/b","kind":"link","mode":511,"size":0,"target":{"path_hex":"ff2f78"}}"#
        );
        assert_eq!(serde_json::from_str::<IndexEntry>(&text).unwrap(), entry);
        for wrong in [r#"{"kind":"file","mode":0}"#, r#"{"path_hex":"fff","kind":"file","mode":0}"#] {
            assert!(serde_json::from_str::<IndexEntry>(wrong).is_err(), "{wrong}");
        }
    }
}
