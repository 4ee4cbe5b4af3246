//! Secrets that the guard holds: the agent has a placeholder, and the guard puts the value in where the secret is meant to go.
//!
//! Values are not here. They come with the other secrets of the bottle, and are found by their names.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::decision::Scheme;
use crate::error::{HeldError, RuleError};
use crate::host::{HostOrIp, parse_port, split_port};
use crate::method::Methods;
use crate::path::{PathPattern, Reading, RequestPath};
use crate::place::{Place, is_unreserved};
use crate::policy::Policy;
use crate::request::Asked;
use crate::rule::{HTTP_PORT, HTTPS_PORT, HostPattern};

/// A placeholder has to be unmistakable in any text.
const SHORTEST_PLACEHOLDER: usize = 16;
/// The longest placeholder.
const LONGEST_PLACEHOLDER: usize = 256;
/// The longest name of a secret.
const LONGEST_NAME: usize = 128;

/// One secret that the guard holds, for some hosts. One that has other places at other hosts is several of these, of one name and
/// one placeholder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldSecret {
    /// The name, by which its value is among the bottle's secrets.
    pub name: String,
    /// What the agent has in its place.
    pub placeholder: String,
    /// Where it goes. No rule is made of it: the host has to be allowed as well.
    pub hosts: Vec<SecretHost>,
    /// Where in a request it stands.
    pub places: Vec<Place>,
    /// Put it in at the first place, too, when a request has no credential at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// Let no other credential through to its hosts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only: bool,
    /// The requests that it is put in for; none named is all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestPattern>,
    /// Put it in without TLS as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
}

impl HeldSecret {
    /// Returns `true` if the secret is meant for this place.
    pub fn is_for(&self, host: &HostOrIp, port: u16, scheme: Scheme) -> bool {
        self.hosts.iter().any(|own| own.matches(host, port, scheme))
    }

    /// Returns `true` if the secret is put into this request.
    pub fn is_put_into(&self, asked: Asked<'_>) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|pattern| pattern.matches(asked))
    }

    fn check(&self) -> Result<(), HeldError> {
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.name.len() > LONGEST_NAME || !is_name(&self.name) {
            return Err(HeldError::Name);
        }
        let length = self.placeholder.len();
        let fits = (SHORTEST_PLACEHOLDER..=LONGEST_PLACEHOLDER).contains(&length);
        if !fits || !self.placeholder.bytes().all(is_unreserved) {
            return Err(HeldError::Placeholder);
        }
        if self.hosts.is_empty() {
            return Err(HeldError::NoHosts);
        }
        match self.places.first() {
            None => Err(HeldError::NoPlaces),
            Some(Place::Bearer | Place::Header(_)) => Ok(()),
            Some(_) if self.always => Err(HeldError::Always),
            Some(_) => Ok(()),
        }
    }

    /// Returns a host that no request with the secret could reach: tunnels to it are not opened.
    fn unseen(&self, policy: &Policy, is_tls: impl Fn(u16) -> bool) -> Option<&SecretHost> {
        let is_open = |own: &&SecretHost| {
            let stays_closed = policy.passthrough.iter().any(|pattern| pattern.overlaps(&own.pattern));
            !policy.intercept.is_none() && !stays_closed && own.port.is_none_or(&is_tls)
        };
        self.hosts.iter().find(|own| !self.plain_http && !is_open(own))
    }
}

impl Policy {
    /// Returns the secrets that are meant for this place.
    pub fn held_for(&self, host: &HostOrIp, port: u16, scheme: Scheme) -> impl Iterator<Item = &HeldSecret> {
        self.secrets.iter().filter(move |secret| secret.is_for(host, port, scheme))
    }

    /// Returns `true` if a secret goes to this host within TLS.
    pub(crate) fn holds_for(&self, host: &HostOrIp) -> bool {
        let is_own = |own: &SecretHost| own.port != Some(HTTP_PORT) && own.pattern.matches(host);
        self.secrets.iter().any(|secret| secret.hosts.iter().any(is_own))
    }

    /// Returns `true` if a secret goes within TLS to some host that this names.
    pub(crate) fn holds_for_some(&self, pattern: &HostPattern) -> bool {
        let is_own = |own: &SecretHost| own.port != Some(HTTP_PORT) && own.pattern.overlaps(pattern);
        self.secrets.iter().any(|secret| secret.hosts.iter().any(is_own))
    }

    /// Checks every secret by itself, and that no two can be taken for each other.
    ///
    /// # Errors
    /// Returns the name of a secret, and what is wrong with it.
    pub(crate) fn check_secrets(&self, is_tls: impl Fn(u16) -> bool) -> Result<(), (String, HeldError)> {
        for secret in &self.secrets {
            let named = |error| (secret.name.clone(), error);
            secret.check().map_err(named)?;
            if let Some(host) = secret.unseen(self, &is_tls) {
                return Err(named(HeldError::Unseen { host: host.to_string() }));
            }
        }
        let pairs: BTreeSet<_> =
            self.secrets.iter().map(|secret| (secret.name.as_str(), secret.placeholder.as_str())).collect();
        let clash = pairs.iter().find(|(name, placeholder)| {
            let mut others = pairs.iter().filter(|other| **other != (*name, *placeholder));
            others.any(|(other, text)| other == name || text.contains(placeholder))
        });
        clash.map_or(Ok(()), |(name, _)| Err(((*name).to_owned(), HeldError::SamePlaceholder)))
    }
}

/// A host that a secret goes to, perhaps at one port only. Without a port it is that of HTTPS, and of plain HTTP where that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretHost {
    pattern: HostPattern,
    port: Option<u16>,
}

impl SecretHost {
    /// Reads `HOST[:PORT]`, where the host may be `*.domain`.
    ///
    /// # Errors
    /// Fails when it is not one.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrap = |source| RuleError::Host { rule: text.escape_default().to_string(), source };
        let (host, port) = split_port(text).map_err(wrap)?;
        let port = port.map(parse_port).transpose().map_err(wrap)?;
        Ok(Self { pattern: HostPattern::parse(host)?, port })
    }

    /// Returns which hosts are meant.
    pub fn pattern(&self) -> &HostPattern {
        &self.pattern
    }

    /// Returns the port, when one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn matches(&self, host: &HostOrIp, port: u16, scheme: Scheme) -> bool {
        let usual = if scheme == Scheme::Http { HTTP_PORT } else { HTTPS_PORT };
        self.pattern.matches(host) && self.port.unwrap_or(usual) == port
    }
}

/// Some requests to a host: `METHOD,…`, `/PATH`, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPattern {
    methods: Methods,
    path: Option<PathPattern>,
}

impl RequestPattern {
    /// Reads methods, a path, or both, as rules have them.
    ///
    /// # Errors
    /// Fails when a word is not a method, or the path is not one.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let rule = || text.escape_default().to_string();
        let trimmed = text.trim_matches([' ', '\t']);
        let (words, path) = match trimmed.find('/') {
            Some(slash) => (&trimmed[..slash], Some(&trimmed[slash..])),
            None => (trimmed, None),
        };
        let words = words.trim_end_matches([' ', '\t']);
        let methods = match words {
            "" if path.is_some() => Methods::default(),
            "" => return Err(RuleError::Blank),
            words => Methods::parse(words).map_err(|word| RuleError::Method {
                rule: rule(),
                word: word.escape_default().to_string(),
            })?,
        };
        let path = path.map(PathPattern::parse).transpose();
        let path = path.map_err(|source| RuleError::Path { rule: rule(), source })?;
        Ok(Self { methods, path })
    }

    fn matches(&self, asked: Asked<'_>) -> bool {
        let fits = |pattern: &PathPattern| {
            RequestPath::read(asked.target).is_ok_and(|path| pattern.matches(&path, Reading::Exact))
        };
        self.methods.has(asked.method) && self.path.as_ref().is_none_or(fits)
    }
}

impl fmt::Display for SecretHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for RequestPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.methods.fmt(f)?;
        let Some(path) = &self.path else { return Ok(()) };
        f.write_str(if self.methods.is_any() { "" } else { " " })?;
        path.fmt(f)
    }
}

/// Reads and writes as text what can be parsed and displayed.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?)
                    .map_err(|error| de::Error::custom(error.with_cause()))
            }
        }
    )*};
}

as_text!(SecretHost, RequestPattern);

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
