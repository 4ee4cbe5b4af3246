//! The real engine, seen from outside the product: what exists in it, by label.

use std::net::IpAddr;
use std::process::Command;

use super::{run, stderr, stdout};

/// Runs the engine's own client.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = run(Command::new("docker").args(arguments));
    assert!(output.status.success(), "docker {arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Returns the address of the engine's default bridge on this machine: the first of its range.
///
/// Not every engine names it as the gateway.
pub(crate) fn bridge_address() -> IpAddr {
    let subnet = docker(&["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]);
    let network = subnet.trim().rsplit_once('.').expect("the bridge has an IPv4 range").0;
    format!("{network}.1").parse().expect("the bridge has an address")
}

/// Lists the containers and networks that carry an agent's label. Tests use an agent name of their own.
pub(crate) fn resources_of(agent: &str) -> Vec<String> {
    let filter = format!("label=io.claude-bottle.agent={agent}");
    let containers = docker(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
    let networks = docker(&["network", "ls", "--filter", &filter, "--format", "network {{.Name}}"]);
    containers.lines().chain(networks.lines()).map(str::to_owned).collect()
}
