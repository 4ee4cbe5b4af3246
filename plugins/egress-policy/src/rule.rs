//! One rule of the policy: what it names, whether it allows or denies, and where it came from.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::decision::Scheme;
use crate::error::RuleError;
use crate::host::{Host, HostOrIp, parse_port, split_port};
use crate::method::Methods;
use crate::path::{PathPattern, Reading, RequestPath};

/// Port of a tunnel when a rule names none.
pub(crate) const HTTPS_PORT: u16 = 443;
/// Port of plain HTTP when a rule names none.
const HTTP_PORT: u16 = 80;
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
    origin: String,
}

/// The form of a rule in the configuration document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    rule: String,
    #[serde(default)]
    origin: String,
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
        Ok(Self { effect, pattern, port, methods, path, origin: origin.into() })
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
        Self::parse(&text.rule, text.origin).map_err(|error| error.with_cause())
    }
}

impl From<Rule> for RuleText {
    fn from(rule: Rule) -> Self {
        Self { rule: rule.to_string(), origin: rule.origin }
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
mod tests {
    use super::*;
    use crate::error::HostError;

    fn check(text: &str, expected: &str) {
        let got = match Rule::parse(text, "test") {
            Ok(rule) => rule.to_string(),
            Err(error) => error.with_cause(),
        };
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn reads_every_form() {
        check("example.org", "example.org");
        check("  Example.ORG ", "example.org");
        check("*.Example.org:8443", "*.example.org:8443");
        check("deny  *.com", "deny *.com");
        check("DENY example.org:22", "deny example.org:22");
        check("10.1.2.3:22", "10.1.2.3:22");
        check("[::1]:80", "[::1]:80");
        check("GET,HEAD a.example:80/releases/**", "GET,HEAD a.example:80/releases/**");
        check("POST,GET\t a.example", "GET,POST a.example");
        check("deny POST GitHub.com/**/git-receive-pack", "deny POST github.com/**/git-receive-pack");
        check("*.a.example/%7Eu/*/x", "*.a.example/~u/*/x");
        check("[::1]/a%20b/", "[::1]/a%20b/");
        check("a.example/", "a.example/");
    }

    #[test]
    fn says_what_is_wrong() {
        check("", "the rule is blank");
        check(" \t ", "the rule is blank");
        check("deny", "the rule is blank");
        check("deny ", "the rule is blank");
        check("*", "rule `*`: a wildcard is written `*.domain` and stands for every name below the domain");
        check(
            "a.*.b",
            "rule `a.*.b`: a wildcard is written `*.domain` and stands for every name below the domain",
        );
        check(
            "*.com",
            "rule `*.com`: a wildcard over a whole top-level domain allows too much; name the domain",
        );
        check(
            "https://a.example/x",
            "rule `https://a.example/x`: a rule has no scheme: it is `host` or `*.domain`, with `:port` and `/path` if need be",
        );
        check("a.example:0", "rule `a.example:0`: the port is not a plain number from 1 to 65535");
        check("a b", "rule `a b`: the host name contains the character ' '");
        check("a\u{1b}[2J", "rule `a\\u{1b}[2J`: the host name contains the character '\\u{1b}'");
        check(
            "127.1",
            "rule `127.1`: the host name is an IP address in an unusual notation; write four plain decimal numbers",
        );
        check("*.", "rule `*.`: the host name is empty");
        check("/x", "rule `/x`: the host name is empty");
        check("GET /x", "rule `GET /x`: the host name is empty");
        check("a.example/a?b", "rule `a.example/a?b`: the path has a query or a fragment");
        check("a.example/..", "rule `a.example/..`: the path has a `.` or `..` segment");
        check(
            "deny PSOT a.example/x",
            "rule `deny PSOT a.example/x`: `PSOT` is not a method of HTTP; write methods in capitals, with commas between them",
        );
        check("WS a.example", "rule `WS a.example`: `WS` is kept for WebSockets, which no rule can name yet");
        check("get a.example", "rule `get a.example`: the host name contains the character ' '");
    }

    #[test]
    fn ports_follow_the_scheme() {
        let cases = [
            ("a.example", 443, Scheme::Connect, true),
            ("a.example", 80, Scheme::Connect, false),
            ("a.example", 22, Scheme::Connect, false),
            ("a.example", 80, Scheme::Http, true),
            ("a.example", 443, Scheme::Http, false),
            ("a.example:443", 443, Scheme::Connect, true),
            ("a.example:443", 443, Scheme::Http, false),
            ("a.example:443", 80, Scheme::Http, false),
            ("a.example:80", 80, Scheme::Http, true),
            ("a.example:80", 80, Scheme::Connect, false),
            ("a.example:8080", 8080, Scheme::Connect, true),
            ("a.example:8080", 8080, Scheme::Http, true),
            ("a.example:8080", 443, Scheme::Connect, false),
            ("deny a.example", 22, Scheme::Connect, true),
            ("deny a.example:22", 22, Scheme::Connect, true),
            ("deny a.example:22", 443, Scheme::Connect, false),
        ];
        for (text, port, scheme, expected) in cases {
            let rule = Rule::parse(text, "test").unwrap();
            assert_eq!(rule.matches_port(port, scheme), expected, "{text} {port} {scheme:?}");
        }
    }

    #[test]
    fn patterns_match_names_not_apexes() {
        let pattern = HostPattern::parse("*.example.org").unwrap();
        let matches = |text| pattern.matches(&HostOrIp::parse(text).unwrap());
        assert!(matches("a.example.org"));
        assert!(matches("a.b.example.org"));
        assert!(!matches("example.org"));
        assert!(!matches("evil-example.org"));
        assert!(!matches("10.0.0.1"));
    }

    #[test]
    fn a_host_error_is_kept_as_source() {
        let error = Rule::parse("a%00.example", "test").unwrap_err();
        let RuleError::Host { source, .. } = error else { panic!("{error}") };
        assert_eq!(source, HostError::ForbiddenCharacter { character: '%' });
    }

    #[test]
    fn a_rule_about_some_requests_is_narrow() {
        let tls = |port| port == 443;
        for (text, narrow, about_tls) in [
            ("a.example", false, false),
            ("GET a.example", true, true),
            ("a.example/", true, true),
            ("deny POST a.example:443/x", true, true),
            ("GET a.example:80", true, false),
            ("a.example:8080/x", true, false),
        ] {
            let rule = Rule::parse(text, "test").unwrap();
            assert_eq!((rule.is_narrow(), rule.is_about_tls(tls)), (narrow, about_tls), "{text}");
        }
    }

    proptest::proptest! {
        /// The text of a rule reads as an equal rule, and nothing makes the parser panic.
        #[test]
        fn a_rule_goes_there_and_back(text in "(deny )?((GET|POST|PUT)(,GET)? )?(\\*\\.)?[a-c.]{1,9}(:[0-9]{1,5})?(/[a-c*%2.;/]{0,9})?") {
            if let Ok(rule) = Rule::parse(&text, "test") {
                proptest::prop_assert_eq!(Rule::parse(&rule.to_string(), "test"), Ok(rule));
            }
        }

        #[test]
        fn any_text_is_a_rule_or_an_error(text in "\\PC{0,40}") {
            if let Ok(rule) = Rule::parse(&text, "") {
                proptest::prop_assert_eq!(Rule::parse(&rule.to_string(), ""), Ok(rule));
            }
        }
    }
}
