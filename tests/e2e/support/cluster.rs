//! The cluster that tests of Pods run beside, seen from outside the product: tests/on-cluster.sh starts it.

use std::process::{Command, Output};

use super::{run, stderr, stdout};

/// Runs `kubectl` as the administrator.
pub(crate) fn try_kubectl(arguments: &[&str]) -> Output {
    assert!(std::env::var_os("KUBECONFIG").is_some(), "no cluster: make test-cluster");
    run(Command::new("kubectl").args(arguments))
}

/// Does the same, and fails when it fails.
#[track_caller]
pub(crate) fn kubectl(arguments: &[&str]) -> String {
    let output = try_kubectl(arguments);
    assert!(output.status.success(), "kubectl {arguments:?}: {}", stderr(&output));
    stdout(&output)
}
