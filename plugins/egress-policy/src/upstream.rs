//! A proxy above the guard, where a company's network lets nothing else out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host::{HostOrIp, parse_authority};
use crate::policy::Policy;
use crate::rule::HostPattern;

/// The proxy that the guard asks for what its own policy allows. It looks the names up, so their addresses are not vetted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamProxy {
    /// Where it listens; it is spoken to in plain HTTP.
    pub address: Authority,
    /// The secret that holds `user:password` for it, by the name it has among the bottle's secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// Hosts that are reached without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub direct: Vec<HostPattern>,
}

impl UpstreamProxy {
    /// Returns `true` if a host is reached without the proxy: it is named, or the policy knows its addresses itself.
    pub fn goes_direct(&self, policy: &Policy, host: &HostOrIp) -> bool {
        self.direct.iter().any(|pattern| pattern.matches(host))
            || host.name().is_some_and(|name| policy.hosts.contains_key(name))
            || policy.private.iter().any(|grant| grant.host == *host)
    }
}

/// A host with its port, written `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Authority {
    /// The host.
    pub host: HostOrIp,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Authority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = parse_authority(text, None).map(|(host, port)| Self { host, port });
        parsed.map_err(|error| format!("`{}` is not `host:port`: {error}", text.escape_default()))
    }
}

impl TryFrom<String> for Authority {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Authority> for String {
    fn from(authority: Authority) -> Self {
        authority.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_needs_its_port() {
        let check = |text: &str, expected: Option<&str>| {
            let parsed = text.parse::<Authority>().ok().map(|authority| authority.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        };
        check("Proxy.Corp.test:3128", Some("proxy.corp.test:3128"));
        check("[::1]:3128", Some("[::1]:3128"));
        for wrong in ["proxy", "proxy:0", "u:p@proxy:3128", "http://proxy:3128", "proxy:3128/", ""] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_the_policy_knows_by_itself_goes_direct() {
        let text = "address: proxy.test:3128\ndirect: ['*.corp.test']";
        let proxy: UpstreamProxy = serde_yaml::from_str(text).unwrap();
        let policy = "hosts: {db.test: [10.0.0.1]}\nprivate: [{host: 10.0.0.2, range: 10.0.0.2/32}]";
        let policy: Policy = serde_yaml::from_str(policy).unwrap();
        let direct = |host: &str| proxy.goes_direct(&policy, &HostOrIp::parse(host).unwrap());
        assert!(direct("a.corp.test") && direct("db.test") && direct("10.0.0.2"));
        assert!(!direct("corp.test") && !direct("example.org") && !direct("10.0.0.3"));
    }
}
