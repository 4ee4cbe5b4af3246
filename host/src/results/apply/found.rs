//! What is at a path, as far as applying is concerned: kind, executable bit, contents, link target.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use claude_bottle_plugin_api::{EntryKind, EntryPath};
use serde::{Deserialize, Serialize};

use crate::results::model::Side;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Found {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// The SHA-256 of its contents.
        sha256: String,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: EntryPath,
    },
    /// A directory.
    Directory,
    /// A device, a socket, a FIFO.
    Special,
}

impl Found {
    /// Returns what a side of a change says; `None` if the side is not whole.
    pub fn of(side: Option<&Side>) -> Option<Self> {
        let Some(side) = side else { return Some(Self::Absent) };
        match side.kind {
            EntryKind::File => Some(Self::File { executable: side.executable, sha256: side.sha256.clone()? }),
            EntryKind::Link => Some(Self::Link { target: side.target.clone()? }),
            EntryKind::Directory => Some(Self::Directory),
            _ => None,
        }
    }

    pub(in crate::results) fn link(target: Vec<u8>) -> Self {
        Self::Link { target: EntryPath::new(OsString::from_vec(target)) }
    }

    /// Says what it is, for people.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::File { .. } => "a file",
            Self::Link { .. } => "a link",
            Self::Directory => "a directory",
            Self::Special => "a special file",
        }
    }
}
