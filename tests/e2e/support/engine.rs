//! The real engine, seen from outside the product: what exists in it, by label.

use std::net::IpAddr;
use std::process::Command;

use super::{run, stderr, stdout};

/// Runs the engine's own client.
pub fn docker(arguments: &[&str]) -> String {
    let output = run(Command::new("docker").args(arguments));
    assert!(output.status.success(), "docker {arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Returns the address of the engine's default bridge on this machine.
pub fn bridge_address() -> IpAddr {
    let format = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
    docker(&["network", "inspect", "bridge", "--format", format])
        .trim()
        .parse()
        .expect("the bridge has a gateway")
}

/// Lists the containers and networks that carry an agent's label. Tests use an agent name of their own.
pub fn resources_of(agent: &str) -> Vec<String> {
    let filter = format!("label=io.claude-bottle.agent={agent}");
    let containers = docker(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
    let networks = docker(&["network", "ls", "--filter", &filter, "--format", "network {{.Name}}"]);
    containers.lines().chain(networks.lines()).map(str::to_owned).collect()
}
