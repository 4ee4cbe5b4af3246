//! What the engine calls a bottle's containers. Names are for people; ownership is a label.

use serde::{Deserialize, Serialize};

/// All names begin with it.
pub(crate) const PREFIX: &str = "claude-bottle-";
/// How many names are tried.
pub(crate) const MAX_CANDIDATES: u32 = 100;

/// The names of one bottle's containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) agent: String,
    pub(crate) sidecar: String,
}

/// Where names come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameSource {
    /// What distinguishes this bottle's names: the agent's name.
    pub(crate) slug: String,
    /// The sidecar's kind: `guard`, `pipelock`.
    pub(crate) sidecar: String,
    /// The agent container's name, when the user pinned it.
    pub(crate) pinned: Option<String>,
}

impl NameSource {
    /// Returns the `n`th pair of names to try, from 1; both have the same suffix.
    pub(crate) fn candidate(&self, n: u32) -> Names {
        let base = match &self.pinned {
            Some(name) => name.strip_prefix(PREFIX).unwrap_or(name),
            None => &self.slug,
        };
        let slug = if n > 1 { format!("{base}-{n}") } else { base.to_owned() };
        Names {
            agent: self.pinned.clone().unwrap_or_else(|| format!("{PREFIX}{slug}")),
            sidecar: format!("{PREFIX}{}-{slug}", self.sidecar),
        }
    }
}

/// Returns `true` if an engine takes the name for a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
///
/// <https://github.com/moby/moby/blob/v20.10.24/daemon/names/names.go>
pub(crate) fn is_container_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    first && name.len() > 1 && name.len() <= 128 && bytes.all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_share_the_suffix() {
        let mut source = NameSource { slug: "dev".to_owned(), sidecar: "guard".to_owned(), pinned: None };
        let parts = |names: Names| [names.agent, names.sidecar].join(" ");
        assert_eq!(parts(source.candidate(1)), "claude-bottle-dev claude-bottle-guard-dev");
        assert_eq!(parts(source.candidate(2)), "claude-bottle-dev-2 claude-bottle-guard-dev-2");
        source.pinned = Some("mine".to_owned());
        assert_eq!(parts(source.candidate(2)), "mine claude-bottle-guard-mine-2");
    }
}
