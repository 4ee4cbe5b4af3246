//! What a backend is and whether it can be used.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Fact;
use crate::ContractVersion;

/// Something a backend can do. The set is open: a name that is not known is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Capability(Cow<'static, str>);

impl Capability {
    /// Runs a program with a terminal of its own.
    pub const TTY: Self = Self(Cow::Borrowed("tty"));
    /// Copies the working directory in.
    pub const WORKSPACE: Self = Self(Cow::Borrowed("workspace"));
    /// Keeps the files of a bottle after it was halted and streams them out.
    pub const EXPORT: Self = Self(Cow::Borrowed("export"));
    /// Lays what an earlier bottle left over a new one: [`crate::Spec::restore`].
    pub const RESUME: Self = Self(Cow::Borrowed("resume"));
    /// Gives back all that a halted bottle has but its files, which stay until it is closed.
    pub const KEEP: Self = Self(Cow::Borrowed("keep"));
    /// Joins a descriptor of the host to a port of a bottle's loopback.
    pub const CONNECT: Self = Self(Cow::Borrowed("connect"));
    /// Puts skills in.
    pub const SKILLS: Self = Self(Cow::Borrowed("skills"));
    /// Serves SSH keys the agent can use and cannot read.
    pub const SSH: Self = Self(Cow::Borrowed("ssh"));
    /// Enforces the egress policy.
    pub const EGRESS: Self = Self(Cow::Borrowed("egress"));
    /// Takes another egress policy while a bottle runs.
    pub const RELOAD: Self = Self(Cow::Borrowed("reload"));
    /// Enforces limits on processors, memory and processes.
    pub const LIMITS: Self = Self(Cow::Borrowed("limits"));
    /// Runs from container images.
    pub const IMAGE: Self = Self(Cow::Borrowed("image"));
    /// Can run pipelock in the guard's place.
    pub const PIPELOCK: Self = Self(Cow::Borrowed("pipelock"));

    /// Names a capability.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Returns its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a plug-in says of itself, without side effects.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Description {
    /// The backend's name, as in its file's name.
    pub name: String,
    /// The plug-in's own version.
    pub version: String,
    /// The contract it was built with.
    pub contract: ContractVersion,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// The settings it reads, without `CLAUDE_BOTTLE_`; `None` when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<String>>,
}

impl Description {
    #[doc(hidden)]
    pub fn new(name: &str, version: &str, capabilities: &[Capability]) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            contract: crate::CONTRACT,
            capabilities: capabilities.to_vec(),
            settings: None,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn settings(mut self, settings: Option<&[&str]>) -> Self {
        self.settings = settings.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        self
    }
}

/// Whether a backend can be used here and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Health {
    /// Bottles can be made, with every protection.
    Usable,
    /// Bottles can be made; [`Probe::warnings`] says what is lacking.
    Degraded,
    /// No bottle can be made; [`Probe::reason`] says why.
    Unusable,
    /// A state this side does not know; treated as unusable.
    #[serde(other)]
    Unknown,
}

/// The answer to `probe`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Probe {
    /// Whether it can be used.
    pub health: Health,
    /// Why not.
    #[serde(default)]
    pub reason: Option<String>,
    /// A command to paste that mends it.
    #[serde(default)]
    pub remedy: Option<String>,
    /// What it runs on: engine, version, runtimes.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// What the user should know although it works.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Probe {
    /// Says that bottles can be made.
    pub fn usable() -> Self {
        Self { health: Health::Usable, reason: None, remedy: None, facts: Vec::new(), warnings: Vec::new() }
    }

    /// Says that no bottle can be made, why, and which command mends it.
    pub fn unusable(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Unusable,
            reason: Some(reason.into()),
            remedy: Some(remedy.into()),
            ..Self::usable()
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push(Fact::new(label, value));
        self
    }

    /// Adds a warning, which makes a usable backend a degraded one.
    #[must_use]
    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        if self.health == Health::Usable {
            self.health = Health::Degraded;
        }
        self
    }
}
