//! Where the engine is: `DOCKER_HOST`, else the current docker context, else the usual socket.
//!
//! The order is that of the docker command line: `resolveContextName` in
//! <https://github.com/docker/cli/blob/v28.2.2/cli/command/cli.go>. One thing of it is not taken over: TLS without a look at the
//! engine's certificate, which `DOCKER_TLS` alone and a context's `skip-tls-verify` ask for, is refused.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use claude_bottle_engine::{Address, SshHost, TlsAddress};

use super::context::{self, Context};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The ports of an engine in clear and by TLS.
const PORTS: [u16; 2] = [2375, 2376];

/// Why no address could be made out.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    #[error("`{address}` is not an engine's address this backend can use (unix://, ssh:// and tcp:// are)")]
    Scheme { address: String },
    #[error("`{address}` is not a valid address for ssh: {why}")]
    Ssh { address: String, why: &'static str },
    #[error("{asked} asks for TLS without a look at the engine's certificate, which is refused")]
    Unverified { asked: String },
    #[error("the engine at `{address}` is reached by TLS, and no directory with its certificates is named")]
    Certificates { address: String },
    #[error("cannot read docker's settings in `{}`", path.display())]
    ReadSettings { path: PathBuf, source: io::Error },
    #[error("docker's settings in `{}` are damaged", path.display())]
    ParseSettings { path: PathBuf, source: serde_json::Error },
    #[error("docker context `{name}` names no engine")]
    Context { name: String },
}

impl AddressError {
    /// Returns what may help.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Ssh { .. } => {
                "use ssh://[USER@]HOST[:PORT][/PATH/OF/THE/SOCKET]; all else belongs into ~/.ssh/config"
                    .to_owned()
            }
            Self::Unverified { .. } => {
                "export DOCKER_TLS_VERIFY=1   # with the engine's authority as ca.pem in DOCKER_CERT_PATH"
                    .to_owned()
            }
            Self::Certificates { .. } => {
                "export DOCKER_CERT_PATH=DIR   # with ca.pem, and cert.pem and key.pem".to_owned()
            }
            Self::Context { .. } => "docker context ls".to_owned(),
            Self::ReadSettings { .. } | Self::ParseSettings { .. } => {
                "export DOCKER_HOST=unix:///var/run/docker.sock   # leaves docker's settings aside".to_owned()
            }
            Self::Scheme { .. } => "unset DOCKER_HOST".to_owned(),
        }
    }
}

/// Finds the address from an environment, which a test can make up.
pub(crate) fn find(env: &dyn Fn(&str) -> Option<String>) -> Result<Address, AddressError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let home = || set("HOME").map(|home| Path::new(&home).join(".docker"));
    let settings = set("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
    if let Some(host) = set("DOCKER_HOST") {
        let files = || set("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| settings.clone());
        return match (set("DOCKER_TLS_VERIFY"), set("DOCKER_TLS")) {
            (None, None) => parse(&host, &Tls::None),
            (None, Some(_)) => {
                parse(&host, &Tls::Unverified("DOCKER_TLS without DOCKER_TLS_VERIFY".to_owned()))
            }
            (Some(_), _) => parse(&host, &Tls::Verified(files())),
        };
    }
    let Some(settings) = settings else { return Ok(usual()) };
    match context::find(&settings, set("DOCKER_CONTEXT"))? {
        None => Ok(usual()),
        Some(Context { host, name, skips_verification: true, .. }) => {
            parse(&host, &Tls::Unverified(format!("docker context `{name}`")))
        }
        Some(Context { host, tls: Some(files), .. }) => parse(&host, &Tls::Verified(Some(files))),
        Some(Context { host, .. }) => parse(&host, &Tls::None),
    }
}

/// Returns where an engine is when nothing says it.
pub(super) fn usual() -> Address {
    Address::Unix(DEFAULT_SOCKET.into())
}

/// What is asked for about TLS, where the address itself does not say it.
enum Tls {
    None,
    /// With files in a directory, if one is known.
    Verified(Option<PathBuf>),
    /// By whom.
    Unverified(String),
}

fn parse(text: &str, tls: &Tls) -> Result<Address, AddressError> {
    let address = || text.to_owned();
    match (text.split_once("://"), tls) {
        (Some(("unix", path)), _) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        (Some(("ssh", rest)), _) => SshHost::parse(rest)
            .map(Address::Ssh)
            .map_err(|why| AddressError::Ssh { address: text.escape_debug().to_string(), why }),
        (Some(("tcp" | "http" | "https", authority)), _) if authority.trim_end_matches('/').is_empty() => {
            Err(AddressError::Scheme { address: address() })
        }
        (Some(("tcp" | "http" | "https", _)), Tls::Unverified(asked)) => {
            Err(AddressError::Unverified { asked: asked.clone() })
        }
        (Some(("tcp" | "http", authority)), Tls::None) => Ok(Address::Tcp(with_port(authority, PORTS[0]))),
        (Some(("tcp" | "https", authority)), Tls::Verified(Some(files))) => {
            Ok(Address::Tls(TlsAddress { authority: with_port(authority, PORTS[1]), files: files.clone() }))
        }
        (Some(("tcp" | "https", _)), _) => Err(AddressError::Certificates { address: address() }),
        _ => Err(AddressError::Scheme { address: address() }),
    }
}

fn with_port(authority: &str, usual: u16) -> String {
    let authority = authority.trim_end_matches('/');
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { authority.to_owned() } else { format!("{authority}:{usual}") }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
