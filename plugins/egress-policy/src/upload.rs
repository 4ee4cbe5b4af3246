//! How much may go up to hosts in one run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::GuardConfig;
use crate::error::RuleError;
use crate::host::HostOrIp;
use crate::rule::HostPattern;

/// What means every host.
const EVERY: &str = "*";

/// How much may go up to some hosts, all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadLimit {
    /// The hosts.
    pub hosts: UploadHosts,
    /// Bytes of bodies and of frames, or of tunnels that are not opened.
    pub bytes: u64,
}

/// The hosts of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UploadHosts {
    /// Those that no other limit names.
    Every,
    /// Those that a pattern names.
    Named(HostPattern),
}

impl FromStr for UploadHosts {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        match text {
            EVERY => Ok(Self::Every),
            _ => HostPattern::parse(text).map(Self::Named),
        }
    }
}

impl TryFrom<String> for UploadHosts {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<UploadHosts> for String {
    fn from(hosts: UploadHosts) -> Self {
        hosts.to_string()
    }
}

/// Writes the text that is read as these hosts.
impl fmt::Display for UploadHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str(EVERY),
            Self::Named(pattern) => write!(f, "{pattern}"),
        }
    }
}

impl UploadHosts {
    /// Returns how narrow the hosts are, if this is one of them.
    fn narrowness(&self, host: &HostOrIp) -> Option<usize> {
        match self {
            Self::Every => Some(0),
            Self::Named(pattern) if !pattern.matches(host) => None,
            Self::Named(HostPattern::Below(domain)) => Some(domain.labels()),
            Self::Named(HostPattern::Exact(_)) => Some(usize::MAX),
        }
    }
}

impl GuardConfig {
    /// Returns the limit that counts for a host: that of the host alone, else of the narrowest domain.
    pub fn upload_limit(&self, host: &HostOrIp) -> Option<&UploadLimit> {
        let fitting =
            self.upload_limits.iter().filter_map(|limit| Some((limit.hosts.narrowness(host)?, limit)));
        fitting.max_by_key(|(narrowness, _)| *narrowness).map(|(_, limit)| limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_limit_counts() {
        let text = "version: 1\nbottle: b\nlisten: 127.0.0.1:1\nupload_limits:\n\
                    - {hosts: '*', bytes: 1}\n- {hosts: '*.example.org', bytes: 2}\n- {hosts: '*.a.example.org', bytes: 3}\n\
                    - {hosts: x.a.example.org, bytes: 4}\n";
        let config = GuardConfig::from_yaml(text).unwrap();
        for (host, bytes) in
            [("other.test", 1), ("b.example.org", 2), ("y.a.example.org", 3), ("x.a.example.org", 4)]
        {
            let host = HostOrIp::parse(host).unwrap();
            assert_eq!(config.upload_limit(&host).unwrap().bytes, bytes, "{host}");
        }
        assert_eq!(GuardConfig::from_yaml(&config.to_yaml().unwrap()).unwrap(), config);
        assert!(GuardConfig::from_yaml(&text.replace("x.a.example.org", "'*.'")).is_err());
    }
}
