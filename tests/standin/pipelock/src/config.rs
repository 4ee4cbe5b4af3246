//! The configuration file: read as strictly as pipelock does, with the keys that claude-bottle writes and no others.

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    version: u32,
    mode: String,
    enforce: bool,
    pub(crate) api_allowlist: Vec<String>,
    #[serde(default)]
    trusted_domains: Vec<String>,
    ssrf: Option<Ssrf>,
    pub(crate) forward_proxy: ForwardProxy,
    dlp: Dlp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ssrf {
    ip_allowlist: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardProxy {
    pub(crate) enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dlp {
    include_defaults: bool,
    scan_env: bool,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("reading config {path}: {error}"))?;
        let config: Self =
            serde_yaml::from_str(&text).map_err(|error| format!("parsing config {path}: {error}"))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != 1 {
            return Err(format!("unsupported version {}", self.version));
        }
        if self.mode != "strict" || !self.enforce || self.api_allowlist.is_empty() {
            return Err("strict mode requires at least one domain in api_allowlist".to_owned());
        }
        if !self.dlp.include_defaults || !self.dlp.scan_env {
            return Err("the stand-in expects dlp to be on".to_owned());
        }
        // As pipelock's own validation: a trusted domain is an allowed one, and a range has no host bits.
        if let Some(name) = self.trusted_domains.iter().find(|name| !self.api_allowlist.contains(name)) {
            return Err(format!("trusted domain {name} is not in api_allowlist"));
        }
        let ranges = self.ssrf.iter().flat_map(|ssrf| &ssrf.ip_allowlist);
        match ranges.into_iter().find(|range| !range.ends_with("/32") && !range.ends_with("/128")) {
            Some(range) => Err(format!("invalid ssrf.ip_allowlist CIDR {range}")),
            None => Ok(()),
        }
    }

    /// Says whether a host is on the allowlist; a wildcard has the domain itself too.
    pub(crate) fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.api_allowlist.iter().any(|rule| match rule.strip_prefix("*.") {
            Some(domain) => host == domain || host.ends_with(&format!(".{domain}")),
            None => host == *rule,
        })
    }
}
