//! What becomes of what the agent changes.

use claude_bottle_plugin_api::Capability;
use serde::Serialize;

use crate::run::backend::Backend;

/// What becomes of what the agent changes in the copy of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changes {
    /// They are saved when the bottle ends.
    Saved,
    /// They are saved then, and the bottle's files stay.
    Kept,
    /// They are lost then, since the backend cannot bring them out.
    Lost,
    /// They are lost then, since the user says so.
    NotSaved,
}

impl Changes {
    /// Decides for a run; `None` without a directory.
    pub fn of(backend: &Backend, has_workspace: bool, (is_wanted, keeps): (bool, bool)) -> Option<Self> {
        has_workspace.then(|| match (is_wanted, backend.offers(&Capability::EXPORT)) {
            (false, _) => Self::NotSaved,
            (true, true) if keeps => Self::Kept,
            (true, true) => Self::Saved,
            (true, false) => Self::Lost,
        })
    }

    /// Returns `true` if they are in a result afterwards.
    pub fn are_saved(self) -> bool {
        matches!(self, Self::Saved | Self::Kept)
    }

    pub(super) fn row(self) -> Option<String> {
        match self {
            Self::Saved => Some("saved when it ends".to_owned()),
            Self::Kept => Some("saved when it ends, and the bottle's files are kept".to_owned()),
            Self::NotSaved => Some("lost when it ends, as --no-save says".to_owned()),
            // A limitation says it.
            Self::Lost => None,
        }
    }
}
