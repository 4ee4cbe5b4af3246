//! A SIGKILL for each part of a bottle and of its cluster, at each step of a run. One at a time: the others would notice.
//!
//! What is asked is the same each time. A run that says it went well has lost nothing of what its agent wrote; one that did not says so.
//! Nothing is left once the cluster answers again and `cleanup` was called, and where the host program was killed, its watcher has done that.

use std::process::Output;
use std::time::{Duration, Instant};

use crate::failure::run::{Run, reapers};
use crate::support::backend::Backend;
use crate::support::cluster::kill;
use crate::support::home::Home;
use crate::support::process::Process;
use crate::support::{assert_code, run as run_it, stderr, stdout};

/// How many lines the agent writes at its end: more than fit into a frame.
const LINES: usize = 20_000;

/// In how many parts a start is divided, for a kill after each.
const MOMENTS: u32 = 4;

/// How long what watches a run may take once that was killed.
const SOON: Duration = Duration::from_secs(60);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// A program of the cluster, which is started again at once.
    Server(&'static str),
    /// Process 1 of a container, by its command line.
    First(&'static [&'static str]),
    /// The program that the user started.
    Host,
}

const GUARD: Victim = Victim::First(&["/egress-guard", "pod"]);
const INIT: Victim = Victim::First(&["/run/claude-bottle/tools/bottle-guest", "pod"]);

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// That part of a start after its begin, of [`MOMENTS`].
    Start(u32),
    /// While the agent runs.
    Running,
    /// As the agent is about to write and to end.
    End,
}

fn home(agent: &str) -> Home {
    Home::new(&format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: [sh, -c, 'echo ready; cat; seq {LINES}; echo over'] }} }}\n"
    ))
}

fn begin(home: &Home, agent: &str) -> Run {
    Run::start(&mut Backend::Kubernetes.command(home, &["start", agent, "--yes"]))
}

/// Kills the victim at each step of a run of its own.
fn at_each_step(name: &str, victim: Victim) {
    let agent = &format!("e2e-kills-{name}");
    let home = home(agent);
    let begun = Instant::now();
    let mut whole = begin(&home, agent);
    whole.wait_for("ready");
    let start = begun.elapsed();
    assert_whole(&whole.end());
    let starts = (0..MOMENTS).map(Step::Start);
    for step in starts.chain([Step::Running, Step::End]) {
        let mut run = begin(&home, agent);
        match step {
            Step::Start(part) => std::thread::sleep(start * part / MOMENTS),
            Step::Running => run.wait_for("ready"),
            Step::End => {
                run.wait_for("ready");
                run.close_stdin();
            }
        }
        let output = strike(victim, run, &home);
        if let Some(output) = output {
            check(victim, step, &output);
            // What could not be removed while the cluster did not answer.
            assert_code(&run_it(&mut Backend::Kubernetes.cleanup(&home)), 0);
        }
        assert_eq!(Backend::Kubernetes.left(&home, agent), Vec::<String>::new(), "{victim:?} at {step:?}");
    }
}

/// Kills the victim of a run, and returns how the run ended, unless it was what was killed.
fn strike(victim: Victim, run: Run, home: &Home) -> Option<Output> {
    match victim {
        Victim::Server(name) => kill(name).start_again(),
        Victim::First(command) => {
            // Before it is there nothing is killed, and the run is like any other.
            Process::with_command(command).iter().for_each(Process::kill);
        }
        Victim::Host => {
            run.kill();
            for reaper in reapers(home, None) {
                assert!(reaper.ends_within(SOON), "what watches the run does not end");
            }
            return None;
        }
    }
    Some(run.end())
}

/// Holds how a run ended against what may be.
#[track_caller]
fn check(victim: Victim, step: Step, output: &Output) {
    let said = stderr(output);
    match (victim, step) {
        // A connection that is lost is made again, and programs go on where they were.
        (Victim::Server(_), Step::Running) => assert_whole(output),
        (Victim::First(_), Step::Running) => {
            assert_eq!(output.status.code(), Some(125), "{said}");
            assert!(said.contains("error: "), "{said}");
        }
        _ if output.status.success() => assert_whole(output),
        _ => {
            assert!(said.contains("error: ") || said.contains("warning: "), "{victim:?} at {step:?}: {said}")
        }
    }
}

/// Fails unless all that the agent wrote is there, once and in order.
#[track_caller]
fn assert_whole(output: &Output) {
    // What it wrote would hide what it says.
    let said = || format!("{} bytes: {}", output.stdout.len(), stderr(output));
    assert_eq!(output.status.code(), Some(0), "{}", said());
    let lines: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    assert!(stdout(output) == format!("ready\n{lines}over\n"), "{}", said());
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_the_api_server() {
    at_each_step("api", Victim::Server("apiserver"));
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_the_kubelet() {
    at_each_step("kubelet", Victim::Server("kubelet"));
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_containerd() {
    at_each_step("containerd", Victim::Server("containerd"));
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_the_guard() {
    at_each_step("guard", GUARD);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_process_1() {
    at_each_step("init", INIT);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn of_the_program_itself() {
    at_each_step("host", Victim::Host);
}
