//! The one canonical spelling of a host name, which decides, resolves, dials and is logged.
//!
//! Decisions: upper case becomes lower case; everything else that gives a name a second spelling (a trailing dot,
//! percent signs, Unicode, odd notations of IP addresses) is refused, not repaired. Underscores are accepted because
//! public services have them in their names; they have one spelling only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::HostError;

/// Longest name in its dotted form: <https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4> less the root's two bytes.
const MAX_NAME: usize = 253;
/// Longest label, from the same section.
const MAX_LABEL: usize = 63;

/// A host name in its canonical spelling: lower-case ASCII, no trailing dot, never an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Returns the canonical name, or why there is none.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        check_characters(text)?;
        if text.ends_with('.') {
            return Err(HostError::TrailingDot);
        }
        if text.len() > MAX_NAME {
            return Err(HostError::TooLong);
        }
        for label in text.split('.') {
            check_label(label)?;
        }
        if ends_in_a_number(text) {
            return Err(HostError::OddIpNotation);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether this name lies below `domain`; a name does not lie below itself.
    pub fn is_below(&self, domain: &Self) -> bool {
        self.0.strip_suffix(domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Returns the number of labels.
    pub fn labels(&self) -> usize {
        self.0.split('.').count()
    }
}

/// A host name or an IP address in its usual notation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostOrIp {
    /// A name, which has to be resolved.
    Name(Host),
    /// A literal address, refused unless a rule names it.
    Ip(IpAddr),
}

impl HostOrIp {
    /// Returns the host for `text`, which is a name, an IPv4 address in dotted decimal, or an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::BadIpv6)?;
            return Ipv6Addr::from_str(inner)
                .map(|address| Self::Ip(address.into()))
                .map_err(|_| HostError::BadIpv6);
        }
        // `Ipv4Addr` accepts four decimal numbers without leading zeros and nothing else.
        if let Ok(address) = Ipv4Addr::from_str(text) {
            return Ok(Self::Ip(address.into()));
        }
        Host::parse(text).map(Self::Name)
    }

    /// Returns the name, when this is one.
    pub fn name(&self) -> Option<&Host> {
        match self {
            Self::Name(name) => Some(name),
            Self::Ip(_) => None,
        }
    }
}

/// Returns host and port of an authority such as `example.org:443` or `[2001:db8::1]:80`.
///
/// Without a port, `default_port` is used; when there is none, the port is required. User information is refused.
pub fn parse_authority(text: &str, default_port: Option<u16>) -> Result<(HostOrIp, u16), HostError> {
    if text.contains('@') {
        return Err(HostError::UserInfo);
    }
    let (host, port) = split_port(text)?;
    let port = match port {
        Some(digits) => parse_port(digits)?,
        None => default_port.ok_or(HostError::MissingPort)?,
    };
    Ok((HostOrIp::parse(host)?, port))
}

pub(crate) fn split_port(text: &str) -> Result<(&str, Option<&str>), HostError> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or(HostError::BadIpv6)?;
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(HostError::BadIpv6),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(HostError::ForbiddenCharacter { character: ':' }),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

pub(crate) fn parse_port(digits: &str) -> Result<u16, HostError> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if !plain {
        return Err(HostError::BadPort);
    }
    digits.parse().map_err(|_| HostError::BadPort)
}

fn check_characters(text: &str) -> Result<(), HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    for character in text.chars() {
        if !character.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if character == '@' {
            return Err(HostError::UserInfo);
        }
        if !(character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')) {
            return Err(HostError::ForbiddenCharacter { character });
        }
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), HostError> {
    if label.is_empty() {
        return Err(HostError::EmptyLabel);
    }
    if label.len() > MAX_LABEL {
        return Err(HostError::TooLong);
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(HostError::EdgeHyphen);
    }
    Ok(())
}

/// Tells whether a URL parser would read `text` as an IPv4 address: <https://url.spec.whatwg.org/#ends-in-a-number-checker>.
fn ends_in_a_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or(text);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostOrIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl FromStr for HostOrIp {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        Self::parse(text)
    }
}

impl From<Host> for HostOrIp {
    fn from(name: Host) -> Self {
        Self::Name(name)
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for HostOrIp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for HostOrIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
