//! The programs that were packed last: which files they were, and the tag of their image.
//!
//! With it a start need not read and hash them again, and `cleanup` knows which image is in use. It is a record of
//! convenience: without one, or with one that cannot be read, the programs are read.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The record's name in the backend's own directory.
const NAME: &str = "guard-image.json";

/// Identifies a version of a file: it differs after a change, and after a replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Known {
    files: [Stamp; 2],
    tag: String,
}

/// Returns the tag of the image that was packed last.
pub(crate) fn tag(data_dir: &Path) -> Option<String> {
    read(data_dir).map(|known| known.tag)
}

/// Returns the tag of the image of these files, if they were packed last.
pub(super) fn tag_of(data_dir: &Path, files: &[Stamp; 2]) -> Option<String> {
    read(data_dir).filter(|known| known.files == *files).map(|known| known.tag)
}

/// Notes the image of two files.
pub(super) fn note(data_dir: &Path, files: [Stamp; 2], tag: &str) {
    if data_dir.as_os_str().is_empty() {
        return;
    }
    let write = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        // Several starts may write at once, and each record is true.
        let new = data_dir.join(format!("{NAME}.{}.new", std::process::id()));
        fs::write(&new, serde_json::to_vec(&Known { files, tag: tag.to_owned() })?)?;
        fs::rename(&new, data_dir.join(NAME))
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "the programs will be read again");
    }
}

fn read(data_dir: &Path) -> Option<Known> {
    // Of a host that names no directory.
    if data_dir.as_os_str().is_empty() {
        return None;
    }
    serde_json::from_slice(&fs::read(data_dir.join(NAME)).ok()?).ok()
}
