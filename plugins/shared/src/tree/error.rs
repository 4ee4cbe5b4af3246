//! Why a tree could not be copied.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use thiserror::Error;

/// Why a tree could not be copied. Paths are escaped: a file's name is nobody's terminal command.
#[derive(Debug, Error)]
pub enum TreeError {
    /// Something could not be read.
    #[error("read `{}`", show(.path))]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is neither file, directory nor link.
    #[error("`{}` is a {kind}, which cannot be copied into a bottle", show(.path))]
    Special {
        /// What.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A symbolic link leaves the tree or points to nothing.
    #[error("the symbolic link `{}` points out of its directory or to nothing, to `{}`", show(.path), show(.target))]
    Leaves {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// There is more content than is allowed.
    #[error("`{}` ({size} bytes) exceeds what may be copied, {limit} bytes together", show(.path))]
    TooLarge {
        /// The file that was too much.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Directories are nested too deep.
    #[error("`{}` is nested more than {limit} directories deep", show(.path))]
    TooDeep {
        /// Where.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A file became shorter while it was read.
    #[error("`{}` was changed while it was copied", show(.path))]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// A line of the rules about what stays out is none.
    #[error("`{}`, line {line}: {reason}", show(.path))]
    BadRule {
        /// The file of rules.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Whoever watches the copy ended it.
    #[error("the copy was ended")]
    Stopped,
    /// The receiving side failed.
    #[error("write `{}` to the bottle", show(.path))]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TreeError {
    pub(super) fn read(path: &Path, error: rustix::io::Errno) -> Self {
        Self::Read { path: path.to_owned(), source: error.into() }
    }

    pub(super) fn special(path: &Path, kind: FileType) -> Self {
        let kind = match kind {
            FileType::Fifo => "FIFO",
            FileType::Socket => "socket",
            FileType::CharacterDevice => "character device",
            FileType::BlockDevice => "block device",
            _ => "special file",
        };
        Self::Special { path: path.to_owned(), kind }
    }
}

fn show(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}
