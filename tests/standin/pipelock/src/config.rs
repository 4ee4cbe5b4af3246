//! The configuration file: read as strictly as pipelock does, with the keys that claude-bottle writes and no others.

use std::io::BufRead;
use std::os::unix::fs::PermissionsExt;

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
    pub(crate) fetch_proxy: FetchProxy,
    pub(crate) forward_proxy: ForwardProxy,
    dlp: Dlp,
    request_body_scanning: RequestBodyScanning,
    metrics_listen: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ssrf {
    ip_allowlist: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FetchProxy {
    pub(crate) monitoring: Monitoring,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Monitoring {
    pub(crate) max_url_length: usize,
    pub(crate) max_requests_per_minute: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForwardProxy {
    pub(crate) enabled: bool,
    max_tunnel_seconds: u64,
    idle_timeout_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dlp {
    include_defaults: bool,
    scan_env: bool,
    min_env_secret_length: usize,
    secrets_file: String,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pattern {
    name: String,
    regex: String,
    severity: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestBodyScanning {
    enabled: bool,
    action: String,
    scan_headers: bool,
    header_mode: String,
    ignore_headers: Vec<String>,
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
        if self.forward_proxy.max_tunnel_seconds == 0 || self.forward_proxy.idle_timeout_seconds == 0 {
            return Err("forward_proxy seconds must be positive".to_owned());
        }
        if !self.metrics_listen.contains(':') {
            return Err(format!("invalid metrics_listen {}", self.metrics_listen));
        }
        self.check_inspection()?;
        self.check_secrets_file()?;
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

    /// pipelock takes what is weaker. The stand-in has no wall for it.
    fn check_inspection(&self) -> Result<(), String> {
        let scanning = &self.request_body_scanning;
        let whole = scanning.enabled && scanning.scan_headers && !scanning.ignore_headers.is_empty();
        let blocks = scanning.action == "block" && scanning.header_mode == "all";
        let patterns = self.dlp.patterns.iter();
        let named = patterns.map(|pattern| [&pattern.name, &pattern.regex, &pattern.severity]);
        if !self.dlp.include_defaults || !self.dlp.scan_env || !whole || !blocks {
            return Err("the stand-in expects its inspections to be on".to_owned());
        }
        match named.flatten().all(|text| !text.is_empty()) {
            true => Ok(()),
            false => Err("DLP pattern without a name, a regex or a severity".to_owned()),
        }
    }

    fn check_secrets_file(&self) -> Result<(), String> {
        let path = &self.dlp.secrets_file;
        let found = std::fs::metadata(path).map_err(|error| format!("secrets_file {path}: {error}"))?;
        let mode = found.permissions().mode() & 0o777;
        match mode & 0o037 {
            0 => Ok(()),
            _ => Err(format!("secrets_file {path} has unsafe permissions (mode {mode:04o})")),
        }
    }

    /// Reads the list of secrets to its end: comments and short lines are left out.
    pub(crate) fn secrets(&self) -> Result<Vec<String>, String> {
        let path = &self.dlp.secrets_file;
        let failed = |error| format!("secrets file {path}: {error}");
        let file = std::fs::File::open(path).map_err(failed)?;
        let lines: Result<Vec<String>, _> = std::io::BufReader::new(file).lines().collect();
        let lines = lines.map_err(failed)?.into_iter().map(|line| line.trim().to_owned());
        Ok(lines
            .filter(|line| line.len() >= self.dlp.min_env_secret_length && !line.starts_with('#'))
            .collect())
    }

    /// Returns `true` if a host is on the allowlist; a wildcard has the domain itself too.
    pub(crate) fn allows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.api_allowlist.iter().any(|rule| match rule.strip_prefix("*.") {
            Some(domain) => host == domain || host.ends_with(&format!(".{domain}")),
            None => host == *rule,
        })
    }
}
