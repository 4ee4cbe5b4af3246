//! Bottles of containers that have the engine's socket and the host's name, as runners of continuous integration do: a process
//! number says nothing outside its own pid namespace.

use std::os::linux::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::run::Run;
use super::{api, assert_nothing_left, whole_room};
use crate::support::home::Home;
use crate::support::{assert_code, engine, run as call, stderr, stdout};

/// The number of the pid namespace that a machine starts with, as the product knows it (`host/src/run/owner/linux.rs`).
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A container with the engine's socket, the host's network and the host's name, in which the program runs.
struct Runner {
    home: Home,
    agent: &'static str,
}

impl Runner {
    fn new(agent: &'static str, api: &claude_bottle_standin::Standin) -> Self {
        let home = Home::with_agent(agent, api.address(), "    command: [sh, -c, echo ready; cat]\n");
        Self { home, agent }
    }

    /// Returns the name of the container in which the agent is started.
    fn name(&self) -> String {
        format!("e2e-runner-{}-{}", self.agent, std::process::id())
    }

    /// Prepares a call of the program in a container of its own, with this machine's files under the same paths.
    fn command(&self, more: &[&str], arguments: &[&str]) -> Command {
        let program = self.home.command(arguments);
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--interactive", "--network", "host", "--user", "0:0"]).args(more);
        let target = Path::new(program.get_program()).ancestors().nth(2).unwrap();
        for place in [self.home.path(), target, Path::new("/var/run/docker.sock")] {
            docker.arg("--volume").arg(format!("{0}:{0}", place.display()));
        }
        docker.arg("--workdir").arg(self.home.work());
        for (name, value) in program.get_envs() {
            let Some(value) = value.filter(|_| name != "PATH") else { continue };
            docker.arg("--env").arg(format!("{}={}", name.display(), value.display()));
        }
        let image = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE").unwrap();
        docker.arg(image).arg(program.get_program()).args(program.get_args());
        docker
    }

    /// Starts the agent, and waits until it runs.
    fn start(&self) -> Run {
        let mut command = self.command(&["--name", &self.name()], &["start", self.agent, "--yes"]);
        let mut run = Run::start(&mut command);
        run.wait_for("ready");
        run
    }
}

/// Returns why things of an agent are to be removed, or kept.
fn reasons(plan: &str, verdict: &str, agent: &str) -> Vec<String> {
    let plan: Value = serde_json::from_str(plan).unwrap();
    let parts = plan.as_array().unwrap().iter().flat_map(|part| part[verdict].as_array().unwrap());
    let of_agent = parts.filter(|item| item["name"].as_str().unwrap().contains(agent));
    of_agent.map(|item| item["reason"].as_str().unwrap().to_owned()).collect()
}

/// Removes what is left of an agent, for a user who cannot judge it.
fn remove(agent: &str) {
    for resource in engine::resources_of(agent) {
        let (kind, name) = resource.split_once(' ').unwrap();
        let words = if kind == "container" { vec!["rm", "--force", name] } else { vec![kind, "rm", name] };
        engine::docker(&words);
    }
}

#[test]
fn a_bottle_of_a_container_with_the_engines_socket_is_spared() {
    // What is cleaned up here would be taken from other tests of killed runs.
    let (_room, api) = (whole_room(), api());
    let runners = ["e2e-inside-one", "e2e-inside-two"].map(|agent| Runner::new(agent, &api));
    let [one, two] = &runners;
    let (run_of_one, run_of_two) = (one.start(), two.start());
    let bystander = Home::new("bottles: {}\nagents: {}\n");
    let all_live = |when: &str| {
        for runner in &runners {
            assert_eq!(engine::resources_of(runner.agent).len(), 4, "{when}");
        }
    };

    // The host sees into the namespaces below its own when it may look at every process, and else judges nothing. All are below the
    // machine's first, where that one of them is gone is known too. Below another they may lie or not.
    let is_first = std::fs::metadata("/proc/1/ns/pid").is_ok_and(|it| it.st_ino() == FIRST_NAMESPACE);
    let output = call(&mut bystander.command(&["cleanup", "--dry-run", "--format", "json"]));
    assert_code(&output, 0);
    for runner in &runners {
        assert_eq!(reasons(&stdout(&output), "remove", runner.agent), Vec::<String>::new());
        let kept = reasons(&stdout(&output), "keep", runner.agent);
        let is_right = |reason: &String| {
            reason == "its run is alive" || !is_first && reason.contains("another pid namespace")
        };
        assert!(kept.len() == 4 && kept.iter().all(is_right), "{kept:?}");
    }
    // A container sees neither the host's processes nor another container's. Two at once, and once more from outside.
    let outputs = runners
        .each_ref()
        .map(|runner| Run::start(&mut runner.command(&[], &["cleanup", "--yes"])))
        .map(Run::end);
    for output in &outputs {
        assert_code(output, 0);
        assert!(stderr(output).contains("another pid namespace"), "{}", stderr(output));
    }
    all_live("after clean-ups in containers");
    assert_code(&call(&mut bystander.command(&["cleanup", "--yes"])), 0);
    all_live("after a clean-up on the host");

    // The whole container is killed, the process that watches the run with it.
    engine::docker(&["kill", &one.name()]);
    drop(run_of_one.end());
    assert_eq!(engine::resources_of(one.agent).len(), 4);
    assert_code(&call(&mut one.home.command(&["cleanup", "--yes"])), 0);
    if is_first {
        assert_nothing_left(&one.home, one.agent, "after the container was killed");
    } else {
        assert_eq!(engine::resources_of(one.agent).len(), 4, "what cannot be judged is kept");
        remove(one.agent);
    }
    assert_eq!(engine::resources_of(two.agent).len(), 4, "after the other container was killed");
    assert_code(&run_of_two.end(), 0);
    assert_nothing_left(&two.home, two.agent, "after its own end");
}
