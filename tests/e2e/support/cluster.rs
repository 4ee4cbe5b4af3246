//! The cluster that tests of Pods run beside, seen from outside the product: tests/on-cluster.sh starts it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, Output};

use super::{run, stderr, stdout};

/// The node's address, at which a test can listen.
pub(crate) const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

/// Returns the administrator's configuration.
pub(crate) fn kubeconfig() -> PathBuf {
    let known = std::env::var_os("KUBECONFIG");
    known.expect("no cluster: make test-cluster, or tests/on-cluster.sh -- cargo test …").into()
}

/// Returns the directory with the cluster's logs and etcd's files.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os("CLAUDE_BOTTLE_TEST_CLUSTER").expect("no cluster: make test-cluster").into()
}

/// Lets a call of the program have the cluster.
pub(crate) fn let_answer(command: &mut Command) {
    command.env("KUBECONFIG", kubeconfig());
}

/// Runs `kubectl` as the administrator.
pub(crate) fn try_kubectl(arguments: &[&str]) -> Output {
    run(Command::new("kubectl").args(arguments))
}

/// Does the same, and fails when it fails.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    let output = try_kubectl(arguments);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Lists the Pods that carry an agent's label, in whatever namespace.
pub(crate) fn pods_of(agent: &str) -> Vec<String> {
    let selector = format!("io.claude-bottle.agent={agent}");
    let found = kubectl(&["get", "pods", "--all-namespaces", "--selector", &selector, "--output", "name"]);
    found.lines().map(str::to_owned).collect()
}
