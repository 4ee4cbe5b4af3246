//! The way out of a bottle, tried from inside a live one: what is below HTTP, and real clients through the sidecar.

mod asking;
pub(crate) mod below_http;
pub(crate) mod canary;
mod carried;
mod chain;
mod clients;
mod credentials;
pub(crate) mod fixture;
mod following;
mod live_policy;
mod own_sidecar;
mod pipelock;
mod registry_clients;
pub(crate) mod session;
mod streams;
mod unaware;
mod ways;
mod web;

use std::fmt::Write;

use serde_json::Value;

use crate::support::home::Home;

/// Makes a home with agents that are all a shell, in a bottle with this `egress` (its lines, indented by six).
pub(crate) fn home(agents: &[&str], egress: &str) -> Home {
    let mut manifest = format!("bottles:\n  dev:\n    egress:\n{egress}agents:\n");
    for agent in agents {
        writeln!(manifest, "  {agent}: {{ bottle: dev, command: [bash] }}").unwrap();
    }
    Home::new(&manifest)
}

/// Reads the decision logs of all runs in this home.
pub(crate) fn decisions(home: &Home) -> Vec<Value> {
    let mut lines = Vec::new();
    for run in std::fs::read_dir(home.state().join("bottles")).unwrap() {
        let log = std::fs::read_to_string(run.unwrap().path().join("egress.jsonl")).unwrap_or_default();
        lines.extend(log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

/// Fails unless the decision log has a refusal of this host because it is not on the list, and nothing else of it.
#[track_caller]
fn assert_refused(log: &[Value], host: &str) {
    let of_host: Vec<_> = log.iter().filter(|line| line["host"] == host).collect();
    assert!(!of_host.is_empty(), "nothing about `{host}` in {log:?}");
    for line in of_host {
        assert_eq!((&line["verdict"], &line["code"]), (&"deny".into(), &"not_in_allowlist".into()), "{line}");
        assert!(line["reason"].as_str().is_some_and(|reason| reason.contains(host)), "{line}");
    }
}
