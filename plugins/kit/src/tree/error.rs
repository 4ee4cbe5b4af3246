//! Why a tree could not be copied.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use thiserror::Error;

use super::IGNORE_FILE;

/// Why a tree could not be copied. Paths are escaped, so that a file's name cannot control a terminal.
#[derive(Debug, Error)]
pub enum TreeError {
    /// Something could not be read.
    #[error("cannot read `{}`", show(.path))]
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
    /// A symbolic link that is followed leads to a secret.
    #[error("the symbolic link `{}` leads to `{}`, which holds a secret", show(.path), show(.target))]
    LeadsToSecret {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        target: PathBuf,
    },
    /// More symbolic links are followed than there is reason for.
    #[error("`{}` is one of more than {limit} symbolic links that lead out of their directory", show(.path))]
    TooManyLinks {
        /// The first link beyond the limit.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// There is more content than is allowed.
    #[error("`{}` ({size} bytes) exceeds what may be copied, {limit} bytes together", show(.path))]
    TooLarge {
        /// The first file beyond the limit.
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
    /// A line of the rules about what stays out is not valid.
    #[error("`{}`, line {line}: {reason}", show(.path))]
    BadRule {
        /// The file of rules.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// The index of what was copied cannot be written.
    #[error("cannot write the index of the copy, `{}`", show(.path))]
    Index {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An archive of an earlier bottle has an entry that is not laid over a new one.
    #[error("`{}` of what an earlier bottle left {reason}", show(.path))]
    Restore {
        /// Which.
        path: PathBuf,
        /// Why, as the end of a sentence about it.
        reason: &'static str,
    },
    /// The caller ended the copy.
    #[error("the copy was ended")]
    Stopped,
    /// The receiving side failed.
    #[error("cannot write `{}` to the bottle", show(.path))]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl TreeError {
    /// Returns what helps against it in a working directory.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Special { .. } | Self::TooLarge { .. } => {
                Some(format!("name it in {IGNORE_FILE}, or remove it"))
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("name it in {IGNORE_FILE}, or make it readable for you"))
            }
            _ => None,
        }
    }

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
