//! How the agent reaches its sidecar, which is the only thing it reaches.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{HostConfig, Mount, MountType, MountVolumeOptions, NetworkingConfig};
use bottle_guest::protocol::Relay;
use claude_bottle_kit::{Labels, trust};
use claude_bottle_plugin_api::{Failure, FailureKind, ForwardSpec, Proxy, Result, Spec, Subject};
use serde::{Deserialize, Serialize};

use crate::engine::EngineFacts;
use crate::guard_place::GuardPlace;
use crate::image::guard::{COMMAND, GUEST, LINK_DIR, SOCKET_DIR};
use crate::names::PREFIX;
use crate::network::{self, Isolation};
use crate::plan::{labels, role};
use crate::probe;

/// The option that asks for one of the links.
const OPTION: &str = "link";

/// The agent's own loopback: where its programs find their proxy when it is reached through a socket.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// Where process 1 is handed the bottle's door, and the directory of that, which the agent's container has for reading.
pub(crate) const DOOR: &str = "/run/claude-bottle-link/handover/door.sock";
const DOOR_DIR: &str = "/run/claude-bottle-link/handover";

/// The guard's socket, in the directory that the agent's container has for reading.
pub(crate) fn socket() -> String {
    format!("{SOCKET_DIR}/guard.sock")
}

/// The way from the agent to its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Link {
    /// The guard's socket in a volume of the two. The agent has no network but its own loopback, where a relay stands for it.
    Socket,
    /// The same, in a directory of this machine, on which the guard runs.
    HostSocket,
    /// A network without a way out, whose members are the two.
    Network(Isolation),
}

/// What a manifest may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Asked {
    Socket,
    Network,
}

impl Link {
    /// Chooses the socket where it is possible, and otherwise the network.
    ///
    /// # Errors
    /// Fails when a socket is asked for that cannot be had.
    pub(crate) fn choose(
        guard: &GuardPlace,
        asked: Option<Asked>,
        proxy: Proxy,
        facts: &EngineFacts,
    ) -> Result<Self> {
        if let GuardPlace::Host(_) = guard {
            return Ok(Self::HostSocket);
        }
        let network = Self::Network(Isolation::of(facts));
        match (asked, obstacle(proxy, facts)) {
            (Some(Asked::Network), _) | (None, Some(_)) => Ok(network),
            (_, None) => Ok(Self::Socket),
            (Some(Asked::Socket), Some(reason)) => {
                let message = format!("the option `{OPTION}` is `socket`, and {reason}");
                Err(Failure::new(FailureKind::Unsupported, message)
                    .about(Subject::Option(OPTION.to_owned()))
                    .hint(format!("leave `{OPTION}` out, or set it to network")))
            }
        }
    }

    /// Refuses forwarded ports where no relay of ours runs that could serve them.
    ///
    /// # Errors
    /// Fails over a network.
    pub(crate) fn check(self, forward: &[ForwardSpec]) -> Result<()> {
        match (self, forward.first()) {
            (Self::Network(_), Some(first)) => {
                let message = format!(
                    "the port {} cannot be forwarded: this bottle is linked to its proxy by a network, and a forwarded \
                     port needs the socket",
                    first.port
                );
                Err(Failure::new(FailureKind::Unsupported, message)
                    .hint("leave `options.docker.link` out; pipelock, gVisor and SELinux need the network"))
            }
            _ => Ok(()),
        }
    }

    /// Describes it for a plan.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Socket | Self::HostSocket => "none; the proxy is reached through a socket",
            Self::Network(_) => "one without a way out, with the proxy; programs need its variables",
        }
    }

    /// Returns how the container's own process leads to the guard, when that listens on a socket.
    pub(crate) fn relay(self, port: u16, forward: &[ForwardSpec]) -> Option<Relay> {
        let place = |to: &ForwardSpec| (to.port, format!("{}:{}", to.host, to.host_port));
        let forward = forward.iter().map(place).collect();
        // Over a directory of this machine the container finds out by itself whether it has the one that was meant.
        let proves = self == Self::HostSocket;
        self.is_socket().then(|| Relay { port, guard: socket().into(), forward, names: true, proves })
    }

    /// Returns `true` if the guard listens on a socket.
    pub(crate) fn is_socket(self) -> bool {
        !matches!(self, Self::Network(_))
    }

    /// Returns `true` if the agent's container has the program for the inside by what it shares with the sidecar or this machine.
    pub(crate) fn brings_guest(self) -> bool {
        self.is_socket()
    }

    /// Puts the agent's end into the settings of its container, which has this name for itself. `shared` is what it has of this machine.
    pub(crate) fn join(
        self,
        run: &str,
        owner: &Labels,
        (hostname, shared): (&str, Vec<Mount>),
        host: &mut HostConfig,
    ) -> Option<NetworkingConfig> {
        let mounts = match self {
            Self::Socket => vec![Mount { read_only: Some(true), ..volume(run, owner) }],
            Self::HostSocket => shared,
            Self::Network(_) => return Some(member(network::internal_name(run), host)),
        };
        host.network_mode = Some("none".to_owned());
        // The engine notes a container's name only for an address on a network.
        host.extra_hosts = Some(vec![format!("{hostname}:{LOOPBACK}")]);
        host.mounts = Some(mounts);
        None
    }

    /// Returns the sidecar's end, when that is a volume. The engine fills it from the sidecar's image.
    pub(crate) fn mount(self, run: &str, owner: &Labels) -> Option<Mount> {
        (self == Self::Socket).then(|| volume(run, owner))
    }

    /// Returns the name of the volume, when there is one.
    pub(crate) fn volume(self, run: &str) -> Option<String> {
        (self == Self::Socket).then(|| volume_name(run))
    }
}

/// Makes a container a member of one network, which need not exist yet.
pub(crate) fn member(network: String, host: &mut HostConfig) -> NetworkingConfig {
    host.network_mode = Some(network.clone());
    NetworkingConfig { endpoints_config: Some(HashMap::from([(network, Default::default())])) }
}

/// A run's identifier is in the name, so that no two runs want the same.
fn volume_name(run: &str) -> String {
    format!("{PREFIX}link-{run}")
}

fn volume(run: &str, owner: &Labels) -> Mount {
    Mount {
        target: Some(LINK_DIR.to_owned()),
        source: Some(volume_name(run)),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            labels: labels(owner, role::LINK),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}

/// Reads what a manifest asks for.
///
/// # Errors
/// Fails on anything else than one of the links.
pub(crate) fn asked(spec: &Spec) -> Result<Option<Asked>> {
    let Some(value) = spec.options.get(OPTION) else { return Ok(None) };
    Asked::deserialize(value).map(Some).map_err(|_| {
        Failure::new(FailureKind::Invalid, format!("the option `{OPTION}` is `{value}`"))
            .about(Subject::Option(OPTION.to_owned()))
            .hint("use socket or network")
    })
}

/// Returns the mounts of a container that has these of this machine: the directory of the guard's socket, that where its door is handed
/// over, and the program for the inside, under its own name and as the agent's command; and what makes programs trust the guard,
/// where that is needed. The engine makes nothing of either when it is not there.
pub(crate) fn shared(spec: &Spec, socket_dir: &Path, door_dir: &Path, guest: &Path) -> Vec<Mount> {
    let ours = [(socket_dir, SOCKET_DIR), (door_dir, DOOR_DIR), (guest, GUEST), (guest, COMMAND)];
    let ours = ours.map(|(source, target)| bound(source, target));
    let trusted = if trust::is_needed(spec) { trust::mounts(socket_dir) } else { Vec::new() };
    ours.into_iter().chain(trusted.iter().map(|(source, target)| bound(source, target))).collect()
}

/// Returns the mount of something of this machine, for reading.
fn bound(source: &Path, target: &str) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Mount::default()
    }
}

/// Returns why there can be no socket; `None` if there can.
pub(crate) fn obstacle(proxy: Proxy, facts: &EngineFacts) -> Option<&'static str> {
    if proxy != Proxy::Guard {
        return Some("pipelock listens on a network alone");
    }
    if probe::has_gvisor(facts) {
        // Unless its administrator says `--host-uds`: <https://gvisor.dev/docs/user_guide/filesystem/>.
        return Some("gVisor opens no socket of another container");
    }
    // Each container has a label of its own, and may not connect to a process of another:
    // <https://docs.docker.com/reference/cli/dockerd/> (`--selinux-enabled`).
    let selinux = facts.security.iter().any(|option| option.contains("name=selinux"));
    selinux.then_some("SELinux keeps containers from each other's sockets")
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::{AgentSpec, Owner};
    use serde_json::json;

    use super::*;

    fn choose(option: serde_json::Value, proxy: Proxy, facts: &EngineFacts) -> Result<Link> {
        let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
        spec.options = option;
        Link::choose(&GuardPlace::Sidecar(None), asked(&spec)?, proxy, facts)
    }

    #[test]
    fn a_socket_is_taken_where_it_can_be_had() {
        let plain = EngineFacts::default();
        let network = Link::Network(Isolation::of(&plain));
        assert_eq!(choose(json!(null), Proxy::Guard, &plain).unwrap(), Link::Socket);
        assert_eq!(choose(json!({ "link": "network" }), Proxy::Guard, &plain).unwrap(), network);
        let gvisor = EngineFacts { runtimes: vec!["runsc".to_owned()], ..EngineFacts::default() };
        let selinux = EngineFacts { security: vec!["name=selinux".to_owned()], ..EngineFacts::default() };
        for (proxy, facts) in [(Proxy::Pipelock, &plain), (Proxy::Guard, &gvisor), (Proxy::Guard, &selinux)] {
            assert_eq!(choose(json!(null), proxy, facts).unwrap(), network);
            let failure = choose(json!({ "link": "socket" }), proxy, facts).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unsupported, "{failure}");
        }
        for nonsense in [json!("sockets"), json!(true), json!(null)] {
            let failure = choose(json!({ "link": nonsense }), Proxy::Guard, &plain).unwrap_err();
            assert_eq!(failure.hints, ["use socket or network"]);
        }
    }
}
