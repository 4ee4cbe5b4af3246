//! Ends of a Pod that its host does not make.

use std::time::{Duration, Instant};

use crate::failure::run::{Run, reapers};
use crate::support::backend::Backend;
use crate::support::cluster::{kubectl, pods_of};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr};

/// The grace of the lifeline, and what a busy machine takes for the rest.
const LIFELINE: Duration = Duration::from_secs(60 + 30);

fn home(agent: &str) -> Home {
    Home::new(&format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: [sh, -c, 'echo ready; cat'] }} }}\n"
    ))
}

/// Starts a bottle, and waits until its agent runs.
fn started(home: &Home, agent: &str) -> Run {
    let mut run = Run::start(&mut Backend::Kubernetes.command(home, &["start", agent, "--yes"]));
    run.wait_for("ready");
    run
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_killed_hosts_watcher_removes_the_pod() {
    let agent = "e2e-pod-killed";
    let home = home(agent);
    started(&home, agent).kill();
    let begun = Instant::now();
    while !pods_of(agent).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the Pod stays: {:?}", pods_of(agent));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn without_a_watcher_the_pod_ends_by_itself_and_cleanup_removes_it() {
    let agent = "e2e-pod-lifeline";
    let home = home(agent);
    let run_of_it = started(&home, agent);
    for reaper in reapers(&home, None) {
        reaper.kill();
    }
    run_of_it.kill();
    let pods = pods_of(agent);
    assert_eq!(pods.len(), 1, "{pods:?}");
    let begun = Instant::now();
    let phase = || kubectl(&["get", "--output", "jsonpath={.status.phase}", &pods[0]]);
    while !["Failed", "Succeeded"].contains(&phase().as_str()) {
        assert!(begun.elapsed() < LIFELINE, "the Pod is still {}", phase());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_code(&run(&mut Backend::Kubernetes.cleanup(&home)), 0);
    Backend::Kubernetes.assert_nothing_left(&home, agent);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn a_pod_that_the_cluster_ends_is_told_in_its_words() {
    let agent = "e2e-pod-deadline";
    let home = Home::new(&format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }}, options: {{ kubernetes: {{ deadline: 8 }} }} }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: [sh, -c, 'echo ready; cat'] }} }}\n"
    ));
    let output = started(&home, agent).end_by_itself();
    assert_code(&output, 125);
    assert!(stderr(&output).contains("DeadlineExceeded"), "{}", stderr(&output));
    Backend::Kubernetes.assert_nothing_left(&home, agent);
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn an_image_that_cannot_be_had_is_told_in_the_registrys_words() {
    let agent = "e2e-pod-image";
    let home = Home::new(&format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }}, image: 'registry.invalid/nothing:1' }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: ['true'] }} }}\n"
    ));
    let output = run(&mut Backend::Kubernetes.command(&home, &["start", agent, "--yes"]));
    assert_code(&output, 125);
    assert!(stderr(&output).contains("registry.invalid/nothing:1"), "{}", stderr(&output));
    Backend::Kubernetes.assert_nothing_left(&home, agent);
}
