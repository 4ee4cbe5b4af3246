//! A secret of a bottle after it was checked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use claude_bottle_egress_policy::{Place, RequestPattern, SecretHost};

use super::names::{EnvName, VariableName};
use super::source::Origin;
use crate::egress::credentials::{self, Credential};

/// A secret that the guard holds.
#[derive(Debug, Clone)]
pub struct SecretEntry {
    /// Its name, and that of the variable that holds its placeholder.
    pub name: EnvName,
    /// Where its value comes from.
    pub source: SecretSource,
    /// Where it goes; one at least, each with a host and a place at least.
    pub uses: Vec<SecretUse>,
    /// What it is, if that is known.
    pub kind: Option<&'static Credential>,
    /// Put it in, too, when a request has no credential at all.
    pub always: bool,
    /// Let no other credential through to its hosts.
    pub only: bool,
    /// Requests that it is put in for; none is all.
    pub requests: Vec<RequestPattern>,
    /// Whether a variable holds the placeholder.
    pub has_variable: bool,
    /// Text in front of the placeholder.
    pub prefix: String,
    /// Put it in without TLS as well.
    pub plain_http: bool,
    /// Where it is written.
    pub origin: Origin,
}

/// Hosts, and where in requests to them a secret stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUse {
    /// The hosts.
    pub hosts: Vec<SecretHost>,
    /// The places.
    pub places: Vec<Place>,
}

/// Where the value of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The user is asked at launch.
    Ask {
        /// What the question says, beside the name.
        message: Option<String>,
    },
    /// The host's environment has it.
    Host {
        /// The variable there.
        variable: VariableName,
    },
    /// A file, absolute; it was there at load.
    File(PathBuf),
    /// A program that is run at each start.
    Command {
        /// It and its arguments.
        words: Vec<String>,
        /// How often it is run again while the agent runs, if it is.
        refresh: Option<Duration>,
    },
}

/// Where the user keeps the token for agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource {
    /// Where its value comes from.
    pub source: SecretSource,
    /// Where that is said.
    pub origin: Origin,
}

impl TokenSource {
    /// Returns that of a variable of the host.
    pub fn of_variable(variable: VariableName) -> Self {
        Self { origin: Origin::of_variable(variable.as_str()), source: SecretSource::Host { variable } }
    }
}

impl SecretEntry {
    /// Makes one that goes nowhere yet.
    pub(crate) fn new(name: EnvName, source: SecretSource, origin: Origin) -> Self {
        Self {
            name,
            source,
            uses: Vec::new(),
            kind: None,
            always: false,
            only: false,
            requests: Vec::new(),
            has_variable: true,
            prefix: String::new(),
            plain_http: false,
            origin,
        }
    }

    /// Makes one as its kind has it; `None` when its name says no kind.
    pub(crate) fn of_kind(name: EnvName, source: SecretSource, origin: Origin) -> Option<Self> {
        let kind = credentials::of_variable(name.as_str())?;
        let uses = SecretUse::of_kind(kind, None);
        Some(Self { uses, kind: Some(kind), only: kind.only, ..Self::new(name, source, origin) })
    }

    /// Returns all hosts that it goes to.
    pub fn hosts(&self) -> impl Iterator<Item = &SecretHost> {
        self.uses.iter().flat_map(|part| &part.hosts)
    }
}

impl SecretUse {
    /// Returns where secrets of a kind go, at these places if they are given.
    pub(crate) fn of_kind(kind: &Credential, places: Option<&[Place]>) -> Vec<Self> {
        let of_kind = kind.uses.iter().map(|(hosts, usual)| Self {
            hosts: hosts.iter().filter_map(|host| SecretHost::parse(host).ok()).collect(),
            places: places.map_or_else(|| Self::places(usual), <[Place]>::to_vec),
        });
        of_kind.collect()
    }

    /// Returns places of a kind, each of which is tested to be one.
    pub(crate) fn places(places: &[&str]) -> Vec<Place> {
        places.iter().filter_map(|place| place.parse().ok()).collect()
    }
}

impl SecretSource {
    /// Returns the word for it in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "ask",
            Self::Host { .. } => "host",
            Self::File(_) => "file",
            Self::Command { .. } => "command",
        }
    }
}

/// Says it for people. A command's words are shown, since it runs outside of any bottle.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask { .. } => f.write_str("asked for"),
            Self::Host { variable } => write!(f, "this machine's {variable}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Command { words, refresh: None } => write!(f, "the command {words:?}, run on this machine"),
            Self::Command { words, refresh: Some(every) } => {
                write!(f, "the command {words:?}, run on this machine, and again every {} s", every.as_secs())
            }
        }
    }
}

/// Says where it goes: `api.github.com (bearer), github.com (basic)`.
impl fmt::Display for SecretUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.places.iter().map(ToString::to_string).collect();
        for (index, host) in self.hosts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{host} ({})", places.join(" or "))?;
        }
        Ok(())
    }
}

impl SecretEntry {
    /// Says where it goes, in one line.
    pub fn goes_to(&self) -> String {
        self.uses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}
