//! One rule of the policy: what it names, whether it allows or denies, and where it came from.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::decision::Scheme;
use crate::error::RuleError;
use crate::host::{Host, HostOrIp, parse_port, split_port};
use crate::method::Methods;
use crate::path::{PathPattern, Reading, RequestPath};

/// Origin of the rules that an agent's program does not work without.
pub const DEFAULT_ORIGIN: &str = "default";
/// Port of a tunnel when a rule names none.
pub(crate) const HTTPS_PORT: u16 = 443;
/// Port of plain HTTP when a rule names none.
pub(crate) const HTTP_PORT: u16 = 80;
/// The word that will stand for the upgrade to a WebSocket, so no rule may have it until then.
const WEBSOCKET: &str = "WS";

/// What a matching rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Lets the request through, unless a rule denies it.
    Allow,
    /// Refuses the request, whatever else allows it.
    Deny,
}

/// Which hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Exactly this name or address.
    Exact(HostOrIp),
    /// Every name below this one, at any depth, without the name itself.
    Below(Host),
}

impl HostPattern {
    /// Tells whether `host` is one of those meant.
    pub fn matches(&self, host: &HostOrIp) -> bool {
        match (self, host) {
            (Self::Exact(exact), _) => exact == host,
            (Self::Below(domain), HostOrIp::Name(name)) => name.is_below(domain),
            (Self::Below(_), HostOrIp::Ip(_)) => false,
        }
    }
}

/// One line of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RuleText", into = "RuleText")]
pub struct Rule {
    effect: Effect,
    pattern: HostPattern,
    port: Option<u16>,
    methods: Methods,
    path: Option<PathPattern>,
    until: Option<u64>,
    origin: String,
}

/// The form of a rule in the configuration document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    rule: String,
    #[serde(default)]
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Rule {
    /// Reads `[deny ][METHOD,… ]HOST[:PORT][/PATH]`, where the host may be `*.domain`.
    ///
    /// `origin` says where the rule was written, for people: `default`, `bottle dev, claude-bottle.yaml:12`.
    pub fn parse(text: &str, origin: impl Into<String>) -> Result<Self, RuleError> {
        let trimmed = text.trim_matches([' ', '\t']);
        let (effect, rest) = match trimmed.split_once([' ', '\t']) {
            Some((word, rest)) if word.eq_ignore_ascii_case("deny") => {
                (Effect::Deny, rest.trim_start_matches([' ', '\t']))
            }
            _ => (Effect::Allow, trimmed),
        };
        if rest.is_empty() || (effect == Effect::Allow && rest.eq_ignore_ascii_case("deny")) {
            return Err(RuleError::Blank);
        }
        let rule = || text.escape_default().to_string();
        if rest.contains("://") {
            return Err(RuleError::LooksLikeUrl { rule: rule() });
        }
        let (methods, rest) = split_methods(rest, &rule)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => (&rest[..slash], Some(&rest[slash..])),
            None => (rest, None),
        };
        let wrap = |source| RuleError::Host { rule: rule(), source };
        let (host, port) = split_port(authority).map_err(wrap)?;
        let port = port.map(parse_port).transpose().map_err(wrap)?;
        let pattern = parse_pattern(host, effect, &rule)?;
        let path = path.map(PathPattern::parse).transpose();
        let path = path.map_err(|source| RuleError::Path { rule: rule(), source })?;
        Ok(Self { effect, pattern, port, methods, path, until: None, origin: origin.into() })
    }

    /// Returns whether the rule allows or denies.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Returns which hosts the rule is about.
    pub fn pattern(&self) -> &HostPattern {
        &self.pattern
    }

    /// Returns the port, when the rule names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the ports that the rule is about: the usual two when it names none.
    pub fn ports(&self) -> Vec<u16> {
        self.port.map_or_else(|| vec![HTTP_PORT, HTTPS_PORT], |port| vec![port])
    }

    /// Returns `true` if the rule is about some requests to its hosts only: it names methods or a path.
    pub fn is_narrow(&self) -> bool {
        !self.methods.is_any() || self.path.is_some()
    }

    /// Returns `true` if the rule is narrow and about a port where nothing but TLS goes, so that what it is about is seen in opened
    /// tunnels only.
    pub fn is_about_tls(&self, is_tls: impl Fn(u16) -> bool) -> bool {
        self.is_narrow() && self.port.is_none_or(is_tls)
    }

    /// Returns `true` if the rule names a path.
    pub fn has_path(&self) -> bool {
        self.path.is_some()
    }

    /// Returns `true` if the rule is about this method: a denial about what any server could take for it.
    pub(crate) fn matches_method(&self, method: &str) -> bool {
        match self.effect {
            Effect::Allow => self.methods.has(method),
            Effect::Deny => self.methods.may_have(method),
        }
    }

    /// Returns `true` if the rule is about this path: a denial about what any server could take for it.
    pub(crate) fn matches_path(&self, path: &RequestPath) -> bool {
        let reading = match self.effect {
            Effect::Allow => Reading::Exact,
            Effect::Deny => Reading::Wide,
        };
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path, reading))
    }

    /// Returns the rule with an end of its own, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn ending(self, until: u64) -> Self {
        Self { until: Some(until), ..self }
    }

    /// Returns when the rule ends by itself, in seconds since 1970-01-01 UTC; `None` while the policy lasts.
    pub fn until(&self) -> Option<u64> {
        self.until
    }

    /// Returns where the rule was written.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Tells whether the rule is about this host, whatever the port.
    pub fn matches_host(&self, host: &HostOrIp) -> bool {
        self.pattern.matches(host)
    }

    /// Tells whether the rule is about this port under this scheme. A request in an opened tunnel is at the port of the tunnel.
    ///
    /// An allowing rule without a port means 443 for tunnels and 80 for plain HTTP. A port of 443 means tunnels only
    /// and one of 80 plain HTTP only, since a tunnel to 80 would hide what can be inspected; other ports mean both.
    /// A denying rule without a port means every port.
    pub fn matches_port(&self, port: u16, scheme: Scheme) -> bool {
        match (self.effect, self.port) {
            (Effect::Deny, None) => true,
            (Effect::Deny, Some(named)) => named == port,
            (Effect::Allow, Some(HTTPS_PORT)) => port == HTTPS_PORT && scheme != Scheme::Http,
            (Effect::Allow, Some(HTTP_PORT)) => port == HTTP_PORT && scheme == Scheme::Http,
            (Effect::Allow, Some(named)) => named == port,
            (Effect::Allow, None) => {
                port == match scheme {
                    Scheme::Connect | Scheme::Https => HTTPS_PORT,
                    Scheme::Http => HTTP_PORT,
                }
            }
        }
    }
}

/// Takes the methods off the front of a rule. A word that could be a host stays, for the error that says so.
fn split_methods<'t>(text: &'t str, rule: &dyn Fn() -> String) -> Result<(Methods, &'t str), RuleError> {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) if Methods::is_meant(word) => match Methods::parse(word) {
            Ok(methods) => Ok((methods, rest.trim_start_matches([' ', '\t']))),
            Err(WEBSOCKET) => Err(RuleError::WebSocket { rule: rule() }),
            Err(word) => Err(RuleError::Method { rule: rule(), word: word.to_owned() }),
        },
        _ => Ok((Methods::default(), text)),
    }
}

/// Reads a host pattern: an exact name or address, or `*.domain`.
fn parse_pattern(host: &str, effect: Effect, rule: &dyn Fn() -> String) -> Result<HostPattern, RuleError> {
    let wrap = |source| RuleError::Host { rule: rule(), source };
    if let Some(domain) = host.strip_prefix("*.") {
        let domain = Host::parse(domain).map_err(wrap)?;
        if effect == Effect::Allow && domain.labels() < 2 {
            return Err(RuleError::WildcardTooWide { rule: rule() });
        }
        return Ok(HostPattern::Below(domain));
    }
    if host.contains('*') {
        return Err(RuleError::BadWildcard { rule: rule() });
    }
    HostOrIp::parse(host).map(HostPattern::Exact).map_err(wrap)
}

impl HostPattern {
    /// Reads `host` or `*.domain`, without a port.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        parse_pattern(text, Effect::Allow, &|| text.escape_default().to_string())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

/// Writes the canonical text, which parses to an equal rule.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.effect == Effect::Deny {
            f.write_str("deny ")?;
        }
        if !self.methods.is_any() {
            write!(f, "{} ", self.methods)?;
        }
        self.pattern.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.path.as_ref().map_or(Ok(()), |path| path.fmt(f))
    }
}

impl TryFrom<RuleText> for Rule {
    type Error = String;

    fn try_from(text: RuleText) -> Result<Self, String> {
        let rule = Self::parse(&text.rule, text.origin).map_err(|error| error.with_cause())?;
        Ok(Self { until: text.until, ..rule })
    }
}

impl From<Rule> for RuleText {
    fn from(rule: Rule) -> Self {
        Self { rule: rule.to_string(), until: rule.until, origin: rule.origin }
    }
}

impl RuleError {
    /// Returns message and cause in one line, for callers that can carry one string only.
    pub fn with_cause(&self) -> String {
        match self {
            Self::Host { source, .. } => format!("{self}: {source}"),
            Self::Path { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl From<IpAddr> for HostPattern {
    fn from(address: IpAddr) -> Self {
        Self::Exact(HostOrIp::Ip(address))
    }
}

impl Serialize for HostPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
            .map_err(|error| serde::de::Error::custom(error.with_cause()))
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
