//! A real engine, seen from outside the product: what exists in it, by label.

use std::net::IpAddr;
use std::process::Command;

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

    /// Returns the name of one of the networks of an agent's only bottle: `net`, the inner one, or `egress`.
    pub(crate) fn network_of(&self, agent: &str, role: &str) -> String {
        let labels =
            [format!("label=io.claude-bottle.agent={agent}"), format!("label=io.claude-bottle.role={role}")];
        let words =
            ["network", "ls", "--format", "{{.Name}}", "--filter", &labels[0], "--filter", &labels[1]];
        let names = self.docker(&words);
        assert_eq!(names.lines().count(), 1, "networks `{role}` of `{agent}`: {names}");
        names.trim().to_owned()
    }

    /// Lists the containers and networks that carry an agent's label. Tests use an agent name of their own.
    pub(crate) fn resources_of(&self, agent: &str) -> Vec<String> {
        let filter = format!("label=io.claude-bottle.agent={agent}");
        let containers =
            self.docker(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
        let networks = self.docker(&["network", "ls", "--filter", &filter, "--format", "network {{.Name}}"]);
        containers.lines().chain(networks.lines()).map(str::to_owned).collect()
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

/// Returns the address of the default bridge of the machine's engine.
pub(crate) fn bridge_address() -> IpAddr {
    Engine::default().bridge_address()
}

/// Returns the name of a network of an agent's only bottle in the machine's engine.
pub(crate) fn network_of(agent: &str, role: &str) -> String {
    Engine::default().network_of(agent, role)
}

/// Lists what the machine's engine has of an agent.
pub(crate) fn resources_of(agent: &str) -> Vec<String> {
    Engine::default().resources_of(agent)
}
