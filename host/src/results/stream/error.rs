//! Why an export is not taken.

use std::io;
use std::path::PathBuf;

use super::{MAX_BYTES, MAX_ENTRIES, MAX_EXTENSION};

/// Why the archive of a bottle's files is refused. Nothing of it is kept then, and so the bottle is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// It ended in the middle, or without its end blocks.
    #[error("the archive is cut off after {entries} entries")]
    Cut {
        /// How many were read.
        entries: u64,
    },
    /// The backend counted another number of entries.
    #[error("the archive has {found} entries, and the backend says that it wrote {said}")]
    Count {
        /// How many were read.
        found: u64,
        /// How many the backend says there are.
        said: u64,
    },
    /// It cannot be read.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// A header is not one.
    #[error("entry {entry} of the archive: {reason}")]
    Header {
        /// The number of the entry, from 1.
        entry: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// An entry of a kind that an export does not have.
    #[error("entry {entry} of the archive is of kind `{}`, which an export does not have", char::from(*.kind).escape_default())]
    Kind {
        /// The number of the entry.
        entry: u64,
        /// The byte that says its kind.
        kind: u8,
    },
    /// A header before an entry is longer than any name needs.
    #[error(
        "entry {entry} of the archive has an extension header of {size} bytes; the most is {MAX_EXTENSION}"
    )]
    Extension {
        /// The number of the entry.
        entry: u64,
        /// Its size.
        size: u64,
    },
    /// A path that leads out of the archive, or is not one.
    #[error("the archive has the path `{}`: {reason}", show(.path))]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// A hard link to what was not in the archive before it.
    #[error("the archive has a hard link `{}` to `{}`, which is not an earlier file of it", show(.path), show(.target))]
    HardLink {
        /// The link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// More entries than an export may have.
    #[error("the archive has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// More contents than an export may have.
    #[error("the archive has more than {} GiB of contents", MAX_BYTES >> 30)]
    TooLarge,
    /// What was read could not be kept.
    #[error(transparent)]
    Keep(#[from] anyhow::Error),
}

/// Returns a path that drives no terminal.
fn show(path: &std::path::Path) -> String {
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}
