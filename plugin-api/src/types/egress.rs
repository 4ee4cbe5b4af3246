//! The bottle's way out: its proxy, ports that lead through it, and which host may see which secret.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which proxy is the bottle's way out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Proxy {
    /// claude-bottle's own egress guard.
    #[default]
    Guard,
    /// pipelock.
    Pipelock,
    /// A proxy this side does not know; a backend refuses it.
    #[serde(other)]
    Unknown,
}

/// The bottle's way out. An empty one lets nothing out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EgressSpec {
    /// Which proxy.
    #[serde(default)]
    pub proxy: Proxy,
    /// Every host that is allowed, sorted, without duplicates: for show. The proxy obeys `config`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The proxy's configuration file, whole.
    #[serde(default)]
    pub config: String,
    /// The same as JSON, for a backend without a YAML library; null when the host does not say it.
    #[serde(default)]
    pub config_json: Value,
    /// The guard's program on the host, static, for the architecture bottles run on.
    #[serde(default)]
    pub guard: Option<PathBuf>,
    /// The port the proxy listens on inside; 0 means 8888.
    #[serde(default)]
    pub port: u16,
    /// Addresses for names, which need no resolver.
    #[serde(default)]
    pub addresses: Vec<(String, IpAddr)>,
}

impl EgressSpec {
    /// What a backend declares that makes a bottle trust the authority of its guard, which opens tunnels then. Since 1.1.
    pub const INTERCEPT: &str = "egress.intercept";
}

/// A port of the bottle's own loopback: what connects to it is carried through the proxy to one host, if the policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ForwardSpec {
    /// The port inside.
    pub port: u16,
    /// The host: a name, or an address, in brackets when it is one of IPv6.
    pub host: String,
    /// The port there.
    pub host_port: u16,
}

impl ForwardSpec {
    /// What a backend declares that makes such ports.
    pub const FEATURE: &str = "forward";

    /// Names a port inside and where it leads.
    pub fn new(port: u16, host: impl Into<String>, host_port: u16) -> Self {
        Self { port, host: host.into(), host_port }
    }
}

/// A secret of the bottle, such as a variable, and where the agent may show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SecretSpec {
    /// The variable's name; one that is no variable's is for the proxy alone, and [`crate::Call::secret`] gives it too.
    pub name: String,
    /// Hosts that may receive it in a credential header: `host`, or `*.domain` for every name below one.
    #[serde(default)]
    pub hosts: Vec<String>,
}

impl SecretSpec {
    /// Names a secret and the hosts it is meant for.
    pub fn new(name: impl Into<String>, hosts: Vec<String>) -> Self {
        Self { name: name.into(), hosts }
    }
}
