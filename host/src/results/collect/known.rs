//! What is known before an export is read, and what a reading of it finds out.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use claude_bottle_plugin_api::EntryKind;

use crate::results::baseline::Baseline;
use crate::results::hash::{Hash, hex};
use crate::results::ignored::Ignored;
use crate::results::model::Side;

/// What is known before an export is read.
#[derive(Debug, Default)]
pub struct Known {
    /// What was copied in.
    pub baseline: Baseline,
    /// What the host's git ignored then; `None` if that comes too.
    pub ignored: Option<Ignored>,
    /// What the host's git tracked then, which is never ignored.
    pub tracked: HashSet<PathBuf>,
}

/// What an earlier reading of the same export found out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Learnt {
    /// Files whose contents are needed although they did not change themselves.
    pub wanted: HashSet<PathBuf>,
    /// Work trees of the agent's own.
    pub worktrees: BTreeSet<PathBuf>,
}

/// There is more than a result may have. The bottle is kept then, and the user says how much it may be.
#[derive(Debug, thiserror::Error)]
pub enum OverBound {
    /// More changes.
    #[error("more than {most} files changed")]
    Changes {
        /// The most.
        most: usize,
    },
    /// More contents.
    #[error("what changed has {bytes} bytes; the most is {most}")]
    Bytes {
        /// How many there are.
        bytes: u64,
        /// The most.
        most: u64,
    },
}

/// A file that a hard link may name, if it is not as it was copied in.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFile {
    pub(super) sha256: Option<Hash>,
    pub(super) size: u64,
    pub(super) executable: bool,
}

impl KnownFile {
    pub(super) fn side(&self) -> Side {
        let sha256 = self.sha256.as_ref().map(hex);
        Side { executable: self.executable, size: self.size, sha256, ..side(EntryKind::File) }
    }
}

/// Returns a side of a kind, without anything else.
pub(super) fn side(kind: EntryKind) -> Side {
    Side { kind, executable: false, size: 0, sha256: None, target: None }
}
