//! The egress guard as a sidecar.

use std::net::Ipv4Addr;
use std::path::Path;

use claude_bottle_egress_policy::{GuardConfig, HostOrIp, Listen, LogConfig, SocketAccess, UpstreamProxy};
use claude_bottle_kit::{Ready, guard_config};
use claude_bottle_plugin_api::{Failure, FailureKind, Result, Spec};
use zeroize::Zeroizing;

use super::{Delivery, Place, Sidecar};
use crate::error::DockerError;
use crate::guard_place::GuardPlace;
use crate::image::guard::USER;
use crate::launch::process::ReadyLine;
use crate::link;
use crate::plan::Planned;

/// What ends the configuration on the guard's standard input, and its secrets, which follow. Behind them the input stays open.
const END: &[u8] = b"\n...\n";

/// The stream of the guard's own messages. Its decisions are on the other one.
const STDERR: u8 = 2;

/// The line that the guard writes once it listens.
const READY_LINE: ReadyLine = ReadyLine { stream: STDERR, ready: Ready::Event("listening") };

/// Returns where the guard's program is on the host.
pub(super) fn program(spec: &Spec) -> Result<&Path> {
    spec.bottle.egress.guard.as_deref().ok_or_else(|| {
        Failure::new(FailureKind::Missing, "the host named no egress guard to run as the sidecar")
            .hint("reinstall claude-bottle: its egress-guard is missing")
    })
}

/// Describes the sidecar that runs the image `tag`.
pub(super) fn sidecar(tag: String, plan: &Planned, secrets: Zeroizing<Vec<u8>>) -> Sidecar {
    Sidecar {
        image: tag,
        user: USER,
        command: ["run", "--config", "-"].map(str::to_owned).into(),
        delivery: Delivery::Stdin,
        secrets,
        ready_line: READY_LINE,
        extra_hosts: Vec::new(),
        port: plan.port,
    }
}

/// Checks before anything is made that the configuration can be read, and that a guard in a container reaches a proxy above it.
pub(super) fn check(spec: &Spec, place: &GuardPlace) -> Result<()> {
    let config = read(spec, &Place::Socket)?;
    match (place, &config.upstream_proxy) {
        (GuardPlace::Sidecar(_), Some(proxy)) => check_upstream(proxy),
        _ => Ok(()),
    }
}

/// Refuses a proxy above the guard that a container cannot reach.
fn check_upstream(proxy: &UpstreamProxy) -> Result<()> {
    let is_loopback = match &proxy.address.host {
        HostOrIp::Ip(address) => address.is_loopback(),
        HostOrIp::Name(name) => name.to_string() == "localhost",
    };
    if !is_loopback {
        return Ok(());
    }
    let message = format!(
        "the upstream proxy `{}` is on the host's loopback, which no container reaches",
        proxy.address
    );
    Err(Failure::new(FailureKind::Unsupported, message)
        .hint("let it listen on an address that containers reach, such as that of the bridge `docker0`")
        .hint("to go without it, set `egress.upstream_proxy: none`"))
}

/// Returns the guard's configuration, as it reads it.
pub(super) fn config(spec: &Spec, place: &Place<'_>) -> Result<String, DockerError> {
    read(spec, place)?.to_json().map_err(|source| DockerError::ReadGuardConfig { source })
}

/// Returns the guard's configuration: the host's policy, where to listen, and whom to serve.
///
/// On a network the inner one alone is served: the sidecar's other address is open to every user of the host. A socket is
/// open to all who have its volume, which are the agent and the sidecar.
fn read(spec: &Spec, place: &Place<'_>) -> Result<GuardConfig, DockerError> {
    let (listen, subnets): (_, &[String]) = match *place {
        Place::Socket => (Listen::Unix(link::socket().into()), &[]),
        Place::Network { port, subnets } => (Listen::Tcp((Ipv4Addr::UNSPECIFIED, port).into()), subnets),
    };
    let mut config = guard_config(spec, listen).map_err(|source| DockerError::ReadGuardConfig { source })?;
    config.socket_access = SocketAccess::Everyone;
    // The engine keeps what is written to standard output, within the container's log limits; `close` fetches it.
    config.log = LogConfig { exchanges: config.log.exchanges, ..LogConfig::default() };
    // An empty list would serve everyone, so a range that cannot be read must end the launch.
    let range = |range: &String| range.parse().map_err(|_| DockerError::ReadRange { range: range.clone() });
    config.clients = subnets.iter().map(range).collect::<Result<_, _>>()?;
    Ok(config)
}

/// Returns what the guard reads from its standard input, which the engine keeps nowhere.
pub(super) fn input(config: &[u8], secrets: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([config, END, secrets, END].concat())
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::Policy;
    use claude_bottle_plugin_api::{AgentSpec, Owner};

    use super::*;

    #[test]
    fn it_listens_inside_and_serves_the_inner_network_alone() {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.bottle.egress.config =
            "version: 1\nbottle: dev-1\nlisten: 127.0.0.1:1\nlog: {stdout: false, file: /x}\n".to_owned();
        let subnets = ["172.19.0.0/16".to_owned()];
        let text = config(&spec, &Place::Network { port: 8888, subnets: &subnets }).unwrap();
        let read = GuardConfig::from_yaml(&text).unwrap();
        assert_eq!(read.listen.to_string(), "0.0.0.0:8888");
        assert_eq!(read.clients, ["172.19.0.0/16".parse().unwrap()]);
        assert_eq!(read.log, LogConfig::default());
        spec.bottle.egress.config = "version: 1\nunknown: 1".to_owned();
        assert!(config(&spec, &Place::Socket).is_err());
    }

    #[test]
    fn no_configuration_lets_nothing_out() {
        let spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        let read = GuardConfig::from_yaml(&config(&spec, &Place::Socket).unwrap()).unwrap();
        assert_eq!(read.policy, Policy::default());
        assert_eq!(read.listen.to_string(), "unix:/run/claude-bottle-link/guard/guard.sock");
        assert!(read.clients.is_empty());
    }
}
