//! The container, from outside and from inside.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::egress::below_http::{LOOPBACK, answered, targets_at};
use crate::egress::canary::Canary;
use crate::egress::home;
use crate::egress::session::Session;
use crate::support::backend::Backend;
use crate::support::podman::podman;
use crate::support::{assert_code, engine, run, stderr, stdout};

/// How long something may take that Podman does by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a bottle whose agent is a shell.
fn shell(home: &crate::support::home::Home, agent: &str) -> Session {
    let command = Backend::Podman.command(home, &["--quiet", "start", agent, "--yes"]);
    Session::start_by(command, home, agent)
}

fn inspected(agent: &str) -> Value {
    let filter = format!("label=io.claude-bottle.agent={agent}");
    let id = podman(&["ps", "--quiet", "--filter", &filter]);
    let said: Value = serde_json::from_str(&podman(&["inspect", id.trim()])).unwrap();
    said[0].clone()
}

#[test]
fn nothing_leaves_a_container_but_through_its_guard() {
    let agent = "e2e-podman-below";
    let home = home(&[agent], "      allowlist: []\n");
    let canary = Canary::open();
    let mut session = shell(&home, agent);
    session.ok("true");
    let listed = stdout(&run(Command::new("hostname").arg("-I")));
    let mut addresses: Vec<_> = listed.split_whitespace().map(str::to_owned).collect();
    addresses.push(engine::bridge_address().to_string());
    let targets: Vec<_> = addresses.iter().flat_map(|address| targets_at(address, &canary)).collect();
    assert_eq!(answered(&mut session, &targets), Vec::<String>::new());
    assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new());
    // What answers is the proxy, and it is the one thing on the loopback.
    let own: Vec<_> = answered(&mut session, &[format!("tcp {LOOPBACK} 8888"), format!("tcp {LOOPBACK} 22")]);
    assert_eq!(own, [format!("tcp {LOOPBACK} 8888: answered")]);
    let interfaces = session.ok("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '");
    assert_eq!(interfaces.trim(), "lo");
    session.end();
    Backend::Podman.assert_nothing_left(&home, agent);
}

#[test]
fn a_container_has_no_privilege_no_secret_and_nothing_of_the_hosts() {
    let agent = "e2e-podman-walls";
    let home = crate::support::home::Home::new(&format!(
        "bottles:\n  dev:\n    env: {{ CANARY: '${{CANARY}}' }}\nagents:\n  {agent}: {{ bottle: dev, command: [bash] }}\n"
    ))
    .env("CANARY", "canary-of-podman-91c4");
    let mut session = shell(&home, agent);
    assert_eq!(session.ok("echo $CANARY").trim(), "canary-of-podman-91c4");
    let status =
        session.ok("grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t ' ' '");
    let zero = "0000000000000000";
    assert_eq!(status.trim(), format!("CapEff: {zero}\nCapBnd: {zero}\nNoNewPrivs: 1\nSeccomp: 2"));
    let found = inspected(agent);
    assert!(!found.to_string().contains("canary-of-podman"), "Podman has the secret: {found}");
    assert_eq!(
        (&found["HostConfig"]["NetworkMode"], &found["HostConfig"]["Privileged"]),
        (&"none".into(), &false.into())
    );
    // The door was handed over, and what lies where that was done leads nowhere.
    assert_eq!(session.ok("ls -A /run/claude-bottle/handover").trim(), "");
    // Neither the guard's socket nor the program for the inside can be replaced.
    for path in [
        "/run/claude-bottle/egress/x",
        "/run/claude-bottle/bottle-guest",
        "/run/claude-bottle/bin/bottle",
        "/run/claude-bottle/handover/x",
        "/etc/hosts",
    ] {
        assert_ne!(session.run(&format!("echo >{path}")).code, 0, "{path}");
    }
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let seen = session.ok("cat /etc/resolv.conf /etc/hosts");
    for line in host.lines().filter(|line| line.starts_with("nameserver") && !line.contains("127.0.0.1")) {
        assert!(!seen.contains(line), "{seen}");
    }
    session.end();
    Backend::Podman.assert_nothing_left(&home, agent);
}

#[test]
fn a_container_goes_with_its_host_and_its_watcher_removes_the_rest() {
    let agent = "e2e-podman-killed";
    let home = home(&[agent], "      allowlist: []\n");
    let mut session = shell(&home, agent);
    session.ok("true");
    let pid = inspected(agent)["State"]["Pid"].as_u64().unwrap();
    session.signal(Signal::KILL);
    let begun = Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(begun.elapsed() < PATIENCE, "process 1 of the container is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    while !Backend::Podman.left(&home, agent).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", Backend::Podman.left(&home, agent));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_container_of_the_bottles_name_that_is_not_ours_is_not_touched() {
    let agent = "e2e-podman-named";
    let home = home(&[agent], "      allowlist: []\n");
    let plan = run(&mut Backend::Podman.command(&home, &["start", agent, "--dry-run", "--format", "json"]));
    assert_code(&plan, 0);
    // What is left of others stays, whatever it is called: cleanup goes by labels.
    let name = format!("claude-bottle-{agent}-stranger");
    podman(&["create", "--name", &name, "--network", "none", "claude-bottle:latest", "true"]);
    let cleaned = run(&mut Backend::Podman.cleanup(&home));
    let is_there = podman(&["ps", "--all", "--format", "{{.Names}}"]).contains(&name);
    podman(&["rm", "--force", &name]);
    assert_code(&cleaned, 0);
    assert!(is_there, "{}", stderr(&cleaned));
}
