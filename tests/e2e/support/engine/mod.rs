//! A real engine, seen from outside the product: what exists in it, by label, and what it removes.

mod removals;

use std::net::IpAddr;
use std::process::Command;
use std::sync::OnceLock;

pub(crate) use removals::Removals;

use super::{run, stderr, stdout};

/// An engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    host: Option<String>,
}

impl Engine {
    /// Names the engine at an address, as in `DOCKER_HOST`; the default is the machine's.
    pub(crate) fn at(host: &str) -> Self {
        Self { host: Some(host.to_owned()) }
    }

    /// Runs the engine's own client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.args(arguments).envs(self.host.iter().map(|host| ("DOCKER_HOST", host)));
        let output = run(&mut command);
        assert!(output.status.success(), "docker {arguments:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Returns the address of the engine's default bridge on this machine: the first of its range.
    ///
    /// Not every engine names it as the gateway.
    pub(crate) fn bridge_address(&self) -> IpAddr {
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        let subnet = self.docker(&["network", "inspect", "bridge", "--format", format]);
        let network = subnet.trim().rsplit_once('.').expect("the bridge has an IPv4 range").0;
        format!("{network}.1").parse().expect("the bridge has an address")
    }

    /// Returns the addresses that the bridges of a bottle's networks have, or would have, on the host.
    pub(crate) fn gateways_of(&self, agent: &str) -> Vec<String> {
        let filter = format!("label=io.claude-bottle.agent={agent}");
        let ids = self.docker(&["network", "ls", "--quiet", "--filter", &filter]);
        let format = "{{(index .IPAM.Config 0).Subnet}}";
        let words = ["network", "inspect", "--format", format].into_iter().chain(ids.split_whitespace());
        let subnets = self.docker(&words.collect::<Vec<_>>());
        let gateway = |subnet: &str| format!("{}.1", subnet.rsplit_once('.').expect("an IPv4 range").0);
        let gateways: Vec<_> = subnets.split_whitespace().map(gateway).collect();
        assert!(!gateways.is_empty(), "`{agent}` has no network");
        gateways
    }

    /// Returns the addresses of the sidecar of an agent's only bottle, in all networks it is in.
    pub(crate) fn sidecar_addresses(&self, agent: &str) -> Vec<String> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let said = self.docker(&["inspect", "--format", format, &format!("claude-bottle-guard-{agent}")]);
        let addresses: Vec<_> = said.split_whitespace().map(str::to_owned).collect();
        assert!(!addresses.is_empty(), "the sidecar of `{agent}` has no address");
        addresses
    }

    /// Lists the containers, networks and volumes that carry an agent's label. Tests use an agent name of their own.
    pub(crate) fn resources_of(&self, agent: &str) -> Vec<String> {
        let filter = format!("label=io.claude-bottle.agent={agent}");
        let containers =
            self.docker(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
        let networks = self.docker(&["network", "ls", "--filter", &filter, "--format", "network {{.Name}}"]);
        let volumes = self.docker(&["volume", "ls", "--filter", &filter, "--format", "volume {{.Name}}"]);
        let all = containers.lines().chain(networks.lines()).chain(volumes.lines());
        all.map(str::to_owned).collect()
    }
}

/// Says whether the machine's engine has gVisor, which every bottle then runs in.
pub(crate) fn has_gvisor() -> bool {
    docker(&["info", "--format", "{{json .Runtimes}}"]).contains(r#""runsc""#)
}

/// Runs the client of the machine's engine.
pub(crate) fn docker(arguments: &[&str]) -> String {
    Engine::default().docker(arguments)
}

/// Returns an address of this machine that containers of the machine's engine can reach: that of a bridge of the tests' own.
pub(crate) fn bridge_address() -> IpAddr {
    static ADDRESS: OnceLock<IpAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        claude_bottle_standin::bridge_address().unwrap_or_else(|error| panic!("{error}: {error:?}"))
    })
}

/// Returns the gateways of a bottle's networks in the machine's engine.
pub(crate) fn gateways_of(agent: &str) -> Vec<String> {
    Engine::default().gateways_of(agent)
}

/// Returns the addresses of a sidecar in the machine's engine.
pub(crate) fn sidecar_addresses(agent: &str) -> Vec<String> {
    Engine::default().sidecar_addresses(agent)
}

/// Lists what the machine's engine has of an agent.
pub(crate) fn resources_of(agent: &str) -> Vec<String> {
    Engine::default().resources_of(agent)
}
