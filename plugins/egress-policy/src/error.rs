//! What can be wrong with a host name, a rule or a configuration text.

use std::net::IpAddr;

use crate::path::PathError;

/// Why a text is not a host name the policy will look at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no text at all.
    #[error("the host name is empty")]
    Empty,
    /// The name, or one label of it, is longer than DNS allows.
    #[error("the host name or one of its labels is too long")]
    TooLong,
    /// A byte that has no place in a host name: control characters, NUL, space, percent, brackets, `@` and so on.
    #[error("the host name contains the character {character:?}")]
    ForbiddenCharacter {
        /// The first such character.
        character: char,
    },
    /// The name is not ASCII; its `xn--` form has to be written instead.
    #[error("the host name is not ASCII; write its `xn--` form")]
    NotAscii,
    /// Two dots in a row, or a dot at the start.
    #[error("the host name has an empty label")]
    EmptyLabel,
    /// A dot at the end: a second spelling of the same name.
    #[error("the host name ends in a dot; write it without")]
    TrailingDot,
    /// A label that begins or ends with a hyphen.
    #[error("a label of the host name begins or ends with a hyphen")]
    EdgeHyphen,
    /// Octal, hexadecimal, integer or shortened notation of an IPv4 address.
    #[error("the host name is an IP address in an unusual notation; write four plain decimal numbers")]
    OddIpNotation,
    /// Brackets that hold no plain IPv6 address, such as one with a zone.
    #[error("the brackets hold no plain IPv6 address")]
    BadIpv6,
    /// User information in front of the host.
    #[error("user information before the host name is not accepted")]
    UserInfo,
    /// A port that is not a plain number from 1 to 65535.
    #[error("the port is not a plain number from 1 to 65535")]
    BadPort,
    /// A port is needed and there is none.
    #[error("the port is missing")]
    MissingPort,
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A blank rule.
    #[error("the rule is blank")]
    Blank,
    /// The host part is wrong.
    #[error("rule `{rule}`")]
    Host {
        /// The rule as written, with unprintable characters escaped.
        rule: String,
        /// What is wrong with it.
        #[source]
        source: HostError,
    },
    /// `*` where only `*.domain` has a meaning.
    #[error("rule `{rule}`: a wildcard is written `*.domain` and stands for every name below the domain")]
    BadWildcard {
        /// The rule as written.
        rule: String,
    },
    /// `*.com`: a wildcard right below the root.
    #[error("rule `{rule}`: a wildcard over a whole top-level domain allows too much; name the domain")]
    WildcardTooWide {
        /// The rule as written.
        rule: String,
    },
    /// A URL where a host name belongs.
    #[error(
        "rule `{rule}`: a rule has no scheme: it is `host` or `*.domain`, with `:port` and `/path` if need be"
    )]
    LooksLikeUrl {
        /// The rule as written.
        rule: String,
    },
    /// A word in place of a method that is not one.
    #[error(
        "rule `{rule}`: `{word}` is not a method of HTTP; write methods in capitals, with commas between them"
    )]
    Method {
        /// The rule as written.
        rule: String,
        /// The word.
        word: String,
    },
    /// The word for WebSockets.
    #[error("rule `{rule}`: `WS` is kept for WebSockets, which no rule can name yet")]
    WebSocket {
        /// The rule as written.
        rule: String,
    },
    /// The path is wrong.
    #[error("rule `{rule}`")]
    Path {
        /// The rule as written.
        rule: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
}

/// Why a secret cannot be put in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeldError {
    /// A name that could not stand in a line of the log.
    #[error("not a valid name: use 1 to 128 visible characters of ASCII")]
    Name,
    /// A placeholder that could be taken for something else, or would be escaped.
    #[error(
        "the placeholder is not 16 to 256 letters, digits, `-`, `_`, `.` and `~`, which no URL and no JSON escapes"
    )]
    Placeholder,
    /// Two secrets of one placeholder, or one of two.
    #[error("the placeholder is, or is part of, the placeholder of another secret, or the secret has two")]
    SamePlaceholder,
    /// It goes nowhere.
    #[error("no host is named that it goes to")]
    NoHosts,
    /// It is put in nowhere.
    #[error("no place is named that it stands in")]
    NoPlaces,
    /// A place that needs more than the secret.
    #[error("`always` needs `bearer` or a header as the first place")]
    Always,
    /// Nothing would see the requests.
    #[error("it is put in within opened tunnels, and tunnels to `{host}` are not opened")]
    Unseen {
        /// The host.
        host: String,
    },
}

/// Why a configuration or secrets document is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not the document the guard reads.
    #[error("cannot read the guard's configuration")]
    Parse {
        /// Where and what.
        #[source]
        source: serde_yaml::Error,
    },
    /// The text could not be made.
    #[error("cannot write the guard's configuration")]
    Write {
        /// What failed.
        #[source]
        source: serde_yaml::Error,
    },
    /// The text for programs could not be made.
    #[error("cannot write the guard's configuration as JSON")]
    WriteJson {
        /// What failed.
        #[source]
        source: serde_json::Error,
    },
    /// Another version than this code knows.
    #[error("configuration version `{found}` is not the version this guard reads, `{expected}`")]
    Version {
        /// The version in the text.
        found: u32,
        /// The one known here.
        expected: u32,
    },
    /// A limit that would switch off the guard or its protection.
    #[error("limit `{name}` must be at least {minimum}")]
    LimitTooSmall {
        /// The key.
        name: &'static str,
        /// The smallest accepted value.
        minimum: u64,
    },
    /// A static address list that is empty.
    #[error("static host `{host}` has no address")]
    EmptyStaticHost {
        /// The name.
        host: String,
    },
    /// A private grant that covers everything.
    #[error("private grant for `{host}`: the range `{range}` covers every address")]
    GrantTooWide {
        /// The host of the grant.
        host: String,
        /// Its range.
        range: String,
    },
    /// Tunnels are to be opened, and no host outside could be trusted.
    #[error("`policy.intercept` asks to open tunnels, and `roots` names no authority to trust hosts by")]
    NoRoots,
    /// A rule about requests that nothing sees.
    #[error(
        "rule `{rule}`{} is about requests inside HTTPS, and tunnels to its hosts are not opened",
        from(origin)
    )]
    Unseen {
        /// The rule, in its canonical text.
        rule: String,
        /// Where it was written, if it says so.
        origin: String,
    },
    /// A secret that the guard is to put in is not one that it could.
    #[error("secret `{name}`")]
    Held {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: HeldError,
    },
    /// Two places for one secret list.
    #[error("`dlp.secrets_file` and `dlp.secrets_env` are both given; give one")]
    TwoSecretSources,
    /// The secrets text is not a JSON list of secrets. Carries no detail, since the text is secret.
    #[error(
        "the secrets document is not a JSON list of {{name, value, hosts}} at line {line}, column {column}"
    )]
    Secrets {
        /// Line of the fault.
        line: usize,
        /// Column of the fault.
        column: usize,
    },
    /// A literal address that a static host or grant cannot use.
    #[error("address `{address}` can never be dialled")]
    UnusableAddress {
        /// The address.
        address: IpAddr,
    },
}

/// Returns where a rule was written, behind its text.
fn from(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!(" ({origin})") }
}
