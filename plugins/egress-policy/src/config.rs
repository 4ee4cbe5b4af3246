//! The guard's configuration document: YAML, strict, without secrets.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::decision::Scheme;
use crate::error::ConfigError;
use crate::host::HostOrIp;
use crate::inspection::DlpConfig;
use crate::intercept::Intercept;
use crate::policy::Policy;
use crate::upload::UploadLimit;
use crate::upstream::UpstreamProxy;

/// The version written and read here.
pub const CONFIG_VERSION: u32 = 1;

/// Everything one guard is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardConfig {
    /// Always [`CONFIG_VERSION`].
    pub version: u32,
    /// Id of the bottle, for the log.
    pub bottle: String,
    /// Where the guard listens.
    pub listen: Listen,
    /// Who may connect to a Unix socket.
    #[serde(default, skip_serializing_if = "SocketAccess::is_default")]
    pub socket_access: SocketAccess,
    /// Ranges of the clients that are served over TCP; loopback is always served. Empty means every client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<IpNet>,
    /// What the bottle may reach. Missing means nothing.
    #[serde(default)]
    pub policy: Policy,
    /// Authorities that hosts are trusted by when tunnels to them are opened: certificates in PEM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub roots: String,
    /// Proxy above this one, for a network that lets nothing else out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_proxy: Option<UpstreamProxy>,
    /// Name server to ask instead of those in `/etc/resolv.conf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<SocketAddr>,
    /// Ports besides 443 on which a tunnel may carry nothing but TLS for its own host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls_ports: Vec<u16>,
    /// Accept a ClientHello that carries Encrypted Client Hello, whose inner server name nobody can check.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_ech: bool,
    /// Seconds for which a request that no rule allows waits for another policy; 0 refuses it at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ask_seconds: u64,
    /// Limits on everything a client can make grow.
    #[serde(default)]
    pub limits: Limits,
    /// How much may go up in one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upload_limits: Vec<UploadLimit>,
    /// Inspection of what is sent.
    #[serde(default)]
    pub dlp: DlpConfig,
    /// Where decisions are written.
    #[serde(default)]
    pub log: LogConfig,
}

/// A TCP address, or a Unix socket written `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Who may connect to the guard's Unix socket, by its mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketAccess {
    /// The guard's own user: mode 600.
    #[default]
    Owner,
    /// Whoever reaches the directory it is in: mode 666.
    Everyone,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl SocketAccess {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a client can make grow, and how far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Client connections at once, tunnels included.
    pub max_connections: usize,
    /// Bytes of a request head, and of an upstream's response head.
    pub max_header_bytes: usize,
    /// Header lines of a request or response.
    pub max_headers: usize,
    /// Bytes of a plain HTTP request body; 0 is no limit.
    pub max_body_bytes: u64,
    /// Seconds for a request head to arrive, also the time an idle kept-alive connection stays open.
    pub header_timeout_seconds: u64,
    /// Seconds without a byte in either direction after which a tunnel or transfer is closed.
    pub idle_timeout_seconds: u64,
    /// Seconds for a name lookup.
    pub resolve_timeout_seconds: u64,
    /// Seconds for a connection to an upstream.
    pub connect_timeout_seconds: u64,
    /// Seconds for a ClientHello to arrive in a tunnel to 443.
    pub hello_timeout_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_header_bytes: 64 * 1024,
            max_headers: 128,
            max_body_bytes: 0,
            header_timeout_seconds: 30,
            // A model may think for ten minutes before the first byte of an answer that is not streamed.
            idle_timeout_seconds: 900,
            resolve_timeout_seconds: 10,
            connect_timeout_seconds: 10,
            hello_timeout_seconds: 10,
        }
    }
}

/// Where decisions are written, one JSON line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Write to standard output.
    pub stdout: bool,
    /// Write to this file too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Size at which the file is renamed to `<file>.1`, replacing an older one, and begun anew; 0 is no limit.
    pub max_file_bytes: u64,
    /// Show of each request that is seen its path, the names of its headers and of its answer's, and a few of their values.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exchanges: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { stdout: true, file: None, max_file_bytes: 64 * 1024 * 1024, exchanges: false }
    }
}

impl GuardConfig {
    /// Returns a configuration with defaults for everything that may be left out.
    pub fn new(bottle: impl Into<String>, listen: Listen, policy: Policy) -> Self {
        Self {
            version: CONFIG_VERSION,
            bottle: bottle.into(),
            listen,
            socket_access: SocketAccess::default(),
            clients: Vec::new(),
            policy,
            roots: String::new(),
            upstream_proxy: None,
            resolver: None,
            tls_ports: Vec::new(),
            allow_ech: false,
            ask_seconds: 0,
            limits: Limits::default(),
            upload_limits: Vec::new(),
            dlp: DlpConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// Tells whether a tunnel to this port may carry nothing but TLS for its own host.
    pub fn is_tls_only(&self, port: u16) -> bool {
        port == 443 || self.tls_ports.contains(&port)
    }

    /// Returns how a tunnel to this place is decided: by its place alone, or as requests in an opened one.
    pub fn tunnel(&self, host: &HostOrIp, port: u16) -> Scheme {
        self.policy.tunnel(host, self.is_tls_only(port))
    }

    /// Reads and checks the text: YAML, of which JSON is a part. What programs write for each other is JSON, and is read as that.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = match serde_json::from_str(text) {
            Ok(config) => config,
            // Whatever is wrong with it is said as of YAML.
            Err(_) => serde_yaml::from_str(text).map_err(|source| ConfigError::Parse { source })?,
        };
        config.check()?;
        Ok(config)
    }

    /// Returns the text for people, which reads back as an equal configuration.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        self.check()?;
        serde_yaml::to_string(self).map_err(|source| ConfigError::Write { source })
    }

    /// Returns the text for programs, which reads back as an equal configuration: with a machine's authorities in it, writing and
    /// reading YAML would be most of what a start computes.
    pub fn to_json(&self) -> Result<String, ConfigError> {
        self.check()?;
        serde_json::to_string(self).map_err(|source| ConfigError::WriteJson { source })
    }

    /// Returns the same with another policy.
    ///
    /// # Errors
    /// Fails when the policy is not one that a guard could start with.
    pub fn with_policy(&self, policy: Policy) -> Result<Self, ConfigError> {
        let config = Self { policy, ..self.clone() };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.version != CONFIG_VERSION {
            return Err(ConfigError::Version { found: self.version, expected: CONFIG_VERSION });
        }
        for (host, addresses) in &self.policy.hosts {
            if addresses.is_empty() {
                return Err(ConfigError::EmptyStaticHost { host: host.to_string() });
            }
            if let Some(address) = addresses.iter().find(|a| a.is_unspecified() || a.is_multicast()) {
                return Err(ConfigError::UnusableAddress { address: *address });
            }
        }
        if let Some(grant) = self.policy.private.iter().find(|grant| grant.range.prefix_len() == 0) {
            return Err(ConfigError::GrantTooWide {
                host: grant.host.to_string(),
                range: grant.range.to_string(),
            });
        }
        if self.policy.intercept != Intercept::None && self.roots.trim().is_empty() {
            return Err(ConfigError::NoRoots);
        }
        if let Some(rule) = self.policy.unseen(|port| self.is_tls_only(port)) {
            let (rule, origin) = (rule.to_string(), rule.origin().to_owned());
            return Err(ConfigError::Unseen { rule, origin });
        }
        let checked = self.policy.check_secrets(|port| self.is_tls_only(port));
        checked.map_err(|(name, source)| ConfigError::Held { name, source })?;
        if self.dlp.secrets_file.is_some() && self.dlp.secrets_env.is_some() {
            return Err(ConfigError::TwoSecretSources);
        }
        self.limits.check()
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        let minimums = [
            ("max_connections", self.max_connections as u64, 1),
            ("max_header_bytes", self.max_header_bytes as u64, 1024),
            ("max_headers", self.max_headers as u64, 1),
            ("header_timeout_seconds", self.header_timeout_seconds, 1),
            ("idle_timeout_seconds", self.idle_timeout_seconds, 1),
            ("resolve_timeout_seconds", self.resolve_timeout_seconds, 1),
            ("connect_timeout_seconds", self.connect_timeout_seconds, 1),
            ("hello_timeout_seconds", self.hello_timeout_seconds, 1),
        ];
        match minimums.into_iter().find(|(_, value, minimum)| value < minimum) {
            Some((name, _, minimum)) => Err(ConfigError::LimitTooSmall { name, minimum }),
            None => Ok(()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(format!("`{text}` has no absolute path"))
            };
        }
        text.parse()
            .map(Self::Tcp)
            .map_err(|_| format!("`{}` is neither `address:port` nor `unix:/path`", text.escape_default()))
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.to_string()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
