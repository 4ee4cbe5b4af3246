//! Podman, seen from outside the product.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{run, stderr, stdout};

/// A socket at which nothing answers: in tests of other backends there is no Podman.
pub(crate) const NOWHERE: &str = "unix:///nowhere/podman.sock";

/// Returns what the tests tell Podman of this machine.
pub(crate) fn settings() -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/podman/containers.conf");
    assert!(file.exists(), "Podman is not set up for the tests: tests/setup/podman.sh");
    file
}

/// Lets a call of the program have this machine's Podman.
pub(crate) fn let_answer(command: &mut Command) {
    command.env_remove("CONTAINER_HOST").env("CONTAINERS_CONF", settings());
}

/// Runs Podman's own client.
pub(crate) fn podman(arguments: &[&str]) -> String {
    let mut command = Command::new("podman");
    let output = run(command.args(arguments).env("CONTAINERS_CONF", settings()));
    assert!(output.status.success(), "podman {arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Lists the containers that carry an agent's label.
pub(crate) fn containers_of(agent: &str) -> Vec<String> {
    let filter = format!("label=io.claude-bottle.agent={agent}");
    let found = podman(&["ps", "--all", "--filter", &filter, "--format", "container {{.Names}}"]);
    found.lines().map(str::to_owned).collect()
}
