//! Where the engine is: `DOCKER_HOST`, else the current docker context, else the usual socket.
//!
//! The order is that of the docker command line: `resolveContextName` in
//! <https://github.com/docker/cli/blob/v28.2.2/cli/command/cli.go>.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const DEFAULT_CONTEXT: &str = "default";

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear.
    Tcp(String),
}

/// Why no address could be made out.
#[derive(Debug, Error)]
pub(crate) enum AddressError {
    #[error("`{address}` is not an engine's address this backend can use (unix:// and tcp:// are)")]
    Scheme { address: String },
    #[error("the engine at `{address}` wants TLS, which this backend does not speak")]
    Tls { address: String },
    #[error("cannot read docker's settings in `{}`", path.display())]
    ReadSettings { path: PathBuf, source: io::Error },
    #[error("docker's settings in `{}` are damaged", path.display())]
    ParseSettings { path: PathBuf, source: serde_json::Error },
    #[error("docker context `{name}` names no engine")]
    Context { name: String },
}

impl AddressError {
    /// Returns what may mend it.
    pub(crate) fn hint(&self) -> String {
        match self {
            // ssh itself carries a socket: <https://docs.docker.com/engine/security/protect-access/>.
            Self::Scheme { address } if address.starts_with("ssh://") => forward(address),
            Self::Tls { .. } => forward("ssh://USER@HOST"),
            Self::Context { .. } => "docker context ls".to_owned(),
            Self::ReadSettings { .. } | Self::ParseSettings { .. } => {
                "export DOCKER_HOST=unix:///var/run/docker.sock   # leaves docker's settings aside".to_owned()
            }
            Self::Scheme { .. } => "unset DOCKER_HOST".to_owned(),
        }
    }
}

/// Returns the command that brings the socket of an engine elsewhere here.
fn forward(host: &str) -> String {
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@:/._-[]".contains(&byte));
    let host = if is_plain { host } else { "ssh://USER@HOST" };
    format!(
        "ssh -fnNT -L /tmp/docker.sock:/var/run/docker.sock {host} && export DOCKER_HOST=unix:///tmp/docker.sock"
    )
}

impl Address {
    /// Finds the address from an environment, which a test can make up.
    pub(crate) fn find(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(host) = set("DOCKER_HOST") {
            return parse(&host, set("DOCKER_TLS_VERIFY").is_some());
        }
        let home = || set("HOME").map(|home| Path::new(&home).join(".docker"));
        let Some(config) = set("DOCKER_CONFIG").map(PathBuf::from).or_else(home) else {
            return Ok(Self::Unix(DEFAULT_SOCKET.into()));
        };
        let name = match set("DOCKER_CONTEXT") {
            Some(name) => Some(name),
            None => current_context(&config)?,
        };
        match name {
            Some(name) if name != DEFAULT_CONTEXT => context(&config, &name),
            _ => Ok(Self::Unix(DEFAULT_SOCKET.into())),
        }
    }
}

fn parse(text: &str, tls: bool) -> Result<Address, AddressError> {
    let address = || text.to_owned();
    match text.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
        Some(("tcp" | "http", _)) if tls => Err(AddressError::Tls { address: address() }),
        Some(("tcp" | "http", authority)) if !authority.is_empty() => {
            let authority = authority.trim_end_matches('/');
            let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            Ok(Address::Tcp(if has_port { authority.to_owned() } else { format!("{authority}:2375") }))
        }
        Some(("https", _)) => Err(AddressError::Tls { address: address() }),
        _ => Err(AddressError::Scheme { address: address() }),
    }
}

fn current_context(config: &Path) -> Result<Option<String>, AddressError> {
    let value = read(&config.join("config.json"))?;
    let name = value.as_ref().and_then(|value| value.get("currentContext")).and_then(Value::as_str);
    Ok(name.filter(|name| !name.is_empty()).map(str::to_owned))
}

/// Contexts are stored under the hash of their name:
/// <https://github.com/docker/cli/blob/v28.2.2/cli/context/store/store.go>.
fn context(config: &Path, name: &str) -> Result<Address, AddressError> {
    let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    let missing = || AddressError::Context { name: name.to_owned() };
    let meta = read(&config.join("contexts/meta").join(&digest).join("meta.json"))?.ok_or_else(missing)?;
    let host = meta.pointer("/Endpoints/docker/Host").and_then(Value::as_str).ok_or_else(missing)?;
    let tls = config.join("contexts/tls").join(digest).join("docker").is_dir();
    parse(host, tls)
}

fn read(path: &Path) -> Result<Option<Value>, AddressError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| AddressError::ReadSettings { path: path.to_owned(), source })?,
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(|source| AddressError::ParseSettings { path: path.to_owned(), source })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(vars: &[(&str, &str)]) -> String {
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        Address::find(&env).map_or_else(|error| error.to_string(), |address| address.to_string())
    }

    #[test]
    fn docker_host_wins() {
        assert_eq!(find(&[]), "unix:///var/run/docker.sock");
        assert_eq!(find(&[("DOCKER_HOST", "unix:///x"), ("DOCKER_CONTEXT", "y")]), "unix:///x");
        assert_eq!(find(&[("DOCKER_HOST", "tcp://h:99")]), "tcp://h:99");
        assert_eq!(find(&[("DOCKER_HOST", "tcp://[::1]/")]), "tcp://[::1]:2375");
        for bad in ["ssh://h", "unix://x", "h", "tcp://"] {
            assert!(find(&[("DOCKER_HOST", bad)]).contains("not an engine's address"), "{bad}");
        }
        assert!(find(&[("DOCKER_HOST", "tcp://h"), ("DOCKER_TLS_VERIFY", "1")]).contains("TLS"));
    }

    #[test]
    fn what_is_not_spoken_has_a_way_round() {
        let hint = |vars: &[(&str, &str)]| {
            let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
            Address::find(&env).unwrap_err().hint()
        };
        let socket = "ssh -fnNT -L /tmp/docker.sock:/var/run/docker.sock";
        assert!(
            hint(&[("DOCKER_HOST", "ssh://me@far:2222")])
                .starts_with(&format!("{socket} ssh://me@far:2222 &&"))
        );
        // What is pasted must not do more than it says.
        assert!(
            hint(&[("DOCKER_HOST", "ssh://far;reboot")]).starts_with(&format!("{socket} ssh://USER@HOST &&"))
        );
        assert!(hint(&[("DOCKER_HOST", "https://far")]).starts_with(socket));
        assert_eq!(hint(&[("DOCKER_HOST", "npipe://x")]), "unset DOCKER_HOST");
    }

    #[test]
    fn contexts_are_read_as_docker_stores_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        // The hash is that of the name, `desktop-linux`.
        let meta =
            dir.path().join("contexts/meta/fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e");
        fs::create_dir_all(&meta).unwrap();
        let document = r#"{"Name":"desktop-linux","Endpoints":{"docker":{"Host":"unix:///d.sock"}}}"#;
        fs::write(meta.join("meta.json"), document).unwrap();
        assert_eq!(find(&[("DOCKER_CONFIG", path)]), "unix:///var/run/docker.sock");
        assert_eq!(find(&[("DOCKER_CONFIG", path), ("DOCKER_CONTEXT", "desktop-linux")]), "unix:///d.sock");
        fs::write(dir.path().join("config.json"), r#"{"currentContext":"desktop-linux"}"#).unwrap();
        assert_eq!(find(&[("DOCKER_CONFIG", path)]), "unix:///d.sock");
        assert_eq!(
            find(&[("DOCKER_CONFIG", path), ("DOCKER_CONTEXT", "gone")]),
            "docker context `gone` names no engine"
        );
        fs::write(dir.path().join("config.json"), "{").unwrap();
        assert!(find(&[("DOCKER_CONFIG", path)]).contains("damaged"));
    }
}
