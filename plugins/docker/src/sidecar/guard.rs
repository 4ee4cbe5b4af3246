//! The egress guard as a sidecar.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use claude_bottle_egress_policy::{ConfigError, GuardConfig, Listen, LogConfig, Policy};
use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec};
use zeroize::Zeroizing;

use super::Sidecar;
use crate::error::DockerError;
use crate::image::guard::{CONFIG_DIR, USER};

const CONFIG_FILE: &str = "guard.yaml";
/// The guard's own standard input, which the engine keeps nowhere.
const SECRETS: &str = "/proc/self/fd/0";

/// Returns where the guard's program is on the host.
pub(super) fn program(spec: &Spec) -> Result<&Path> {
    spec.bottle.egress.guard.as_deref().ok_or_else(|| {
        Failure::new(FailureKind::Missing, "the host named no egress guard to run as the sidecar")
            .hint("reinstall claude-bottle: its egress-guard is missing")
    })
}

/// Describes the sidecar that runs the image `tag`.
pub(super) fn sidecar(tag: String, port: u16, secrets: Zeroizing<Vec<u8>>) -> Sidecar {
    let command = ["run".to_owned(), "--config".to_owned(), format!("{CONFIG_DIR}/{CONFIG_FILE}")];
    Sidecar {
        image: tag,
        user: USER,
        command: command.into(),
        config_dir: CONFIG_DIR,
        config_file: CONFIG_FILE,
        extra_hosts: Vec::new(),
        port,
        word: Some(r#""event":"listening""#),
        secrets,
    }
}

/// Returns the guard's configuration: the host's policy, where to listen, and whom to serve.
///
/// Only the inner network is served: the sidecar's other address is open to every user of the host.
pub(super) fn config(
    spec: &Spec,
    port: u16,
    subnets: &[String],
    secrets: bool,
) -> Result<String, DockerError> {
    let read = |source: ConfigError| DockerError::ReadGuardConfig { source };
    let listen = Listen::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let mut config = if spec.bottle.egress.config.is_empty() {
        GuardConfig::new(&spec.id, listen.clone(), Policy::default())
    } else {
        GuardConfig::from_yaml(&spec.bottle.egress.config).map_err(read)?
    };
    config.listen = listen;
    if secrets {
        config.dlp.secrets_file = Some(SECRETS.into());
        config.dlp.secrets_env = None;
    }
    // The engine keeps what is written to standard output, within the container's log limits; `close` fetches it.
    config.log = LogConfig::default();
    // An empty list would serve everyone, so a range that cannot be read must end the launch.
    let range = |range: &String| range.parse().map_err(|_| DockerError::ReadRange { range: range.clone() });
    config.clients = subnets.iter().map(range).collect::<Result<_, _>>()?;
    config.to_yaml().map_err(read)
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};

    use super::*;

    #[test]
    fn it_listens_inside_and_serves_the_inner_network_alone() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.egress.config =
            "version: 1\nbottle: dev-1\nlisten: 127.0.0.1:1\nlog: {stdout: false, file: /x}\n".to_owned();
        let text = config(&spec, 8888, &["172.19.0.0/16".to_owned()], true).unwrap();
        let read = GuardConfig::from_yaml(&text).unwrap();
        assert_eq!(read.listen.to_string(), "0.0.0.0:8888");
        assert_eq!(read.clients, ["172.19.0.0/16".parse().unwrap()]);
        assert_eq!(read.log, LogConfig::default());
        assert_eq!(read.dlp.secrets_file, Some(SECRETS.into()));
        spec.bottle.egress.config = "version: 1\nunknown: 1".to_owned();
        assert!(config(&spec, 8888, &[], false).is_err());
    }

    #[test]
    fn no_configuration_lets_nothing_out() {
        let spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        let read = GuardConfig::from_yaml(&config(&spec, 8888, &[], false).unwrap()).unwrap();
        assert_eq!(read.policy, Policy::default());
    }
}
