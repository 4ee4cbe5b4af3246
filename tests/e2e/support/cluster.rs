//! The cluster that tests of Pods run beside, seen from outside the product: tests/on-cluster.sh starts it.

use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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

/// How long a program of the cluster may take to be there again.
const PATIENCE: Duration = Duration::from_secs(90);

/// A program of the cluster that was killed.
pub(crate) struct Killed {
    name: &'static str,
    command: Vec<String>,
}

/// Sends SIGKILL to a program of the cluster, such as `apiserver`, and waits until it is gone.
pub(crate) fn kill(name: &'static str) -> Killed {
    let pid: i32 = fs::read_to_string(pid_file(name)).unwrap().trim().parse().unwrap();
    let line = || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command: Vec<_> = line().split_terminator('\0').map(str::to_owned).collect();
    assert!(!command.is_empty(), "the cluster's {name} does not run");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    while !line().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Killed { name, command }
}

impl Killed {
    /// Starts it again as it was, and waits until the cluster is whole.
    #[expect(clippy::zombie_processes, reason = "it runs for as long as the cluster, with which it ends")]
    pub(crate) fn start_again(self) {
        let log = directory().join(format!("logs/{}.log", self.name));
        let log = OpenOptions::new().append(true).open(log).unwrap();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        fs::write(pid_file(self.name), child.id().to_string()).unwrap();
        let begun = Instant::now();
        while !is_whole() {
            assert!(begun.elapsed() < PATIENCE, "the cluster's {} does not come back", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn pid_file(name: &str) -> PathBuf {
    directory().join("pids").join(name)
}

/// Returns `true` if the server answers and the node takes Pods.
fn is_whole() -> bool {
    let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let node = try_kubectl(&["get", "node", "node1", "--output", ready]);
    node.status.success() && stdout(&node) == "True"
}
