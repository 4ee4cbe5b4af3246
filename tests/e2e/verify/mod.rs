//! `verify`: a bottle as it is made holds what is claimed, and one that was weakened is caught in the row that is about it.
//!
//! Nothing in the program helps to weaken a bottle. On docker a server between it and the engine changes what the engine is asked
//! for; on bubblewrap a script stands for `bwrap` and changes its arguments.

mod engine;
mod weak;

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::support::backend::{Backend, on_each_backend, on_each_backend_and_podman};
use crate::support::home::Home;
use weak::{Weak, Weakness};

on_each_backend_and_podman!(what_is_claimed_holds_in_a_bottle_as_it_is_made);

on_each_backend!(each_weakened_bottle_is_caught_in_the_row_that_is_about_it,);

/// Every row, in the order in which they are shown.
pub(crate) const ROWS: [&str; 13] = [
    "powers",
    "processes",
    "calls",
    "direct",
    "proxy",
    "names",
    "sockets",
    "files",
    "written",
    "trust",
    "secrets",
    "limit-processes",
    "limit-memory",
];

pub(crate) fn manifest(agent: &str, allowed: &str) -> String {
    format!(
        "bottles:\n  dev:\n    egress: {{ allowlist: [{allowed}] }}\n    secrets: {{ API_KEY: {{ from: \"${{API_KEY}}\", hosts: [api.test] }} }}\n    limits: {{ memory: 192MiB, pids: 128 }}\nagents:\n  {agent}: {{ bottle: dev, command: [bash] }}\n"
    )
}

pub(crate) fn rows(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    document["rows"].as_array().unwrap().clone()
}

fn what_is_claimed_holds_in_a_bottle_as_it_is_made(backend: Backend) {
    let agent = format!("e2e-verify-{}", backend.name());
    let home = Home::new(&manifest(&agent, "api.test")).env("API_KEY", "of-the-users-own-and-not-used");
    let output = backend.command(&home, &["verify", &agent, "--format", "json"]).output().unwrap();
    let rows = rows(&output);
    let found: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(found, ROWS);
    for row in &rows {
        assert_eq!(row["here"], "holds", "{row:#}");
        assert!(row["tries"].as_u64().unwrap() > 0, "{row:#}");
    }
    assert!(output.status.success());
    backend.assert_nothing_left(&home, &agent);
    // The bottle asked its proxy for what no rule allows, and that is in its log as it was written.
    let log = backend.command(&home, &["logs", &agent, "--verify"]).output().unwrap();
    assert!(log.status.success(), "{}", String::from_utf8_lossy(&log.stdout));
}

fn each_weakened_bottle_is_caught_in_the_row_that_is_about_it(backend: Backend) {
    let agent = format!("e2e-weak-{}", backend.name());
    let (mut caught, mut wrong) = (BTreeSet::new(), Vec::new());
    for Weakness { row, allowed, change, also } in weak::all(backend) {
        let mut manifest = manifest(&agent, allowed);
        if (backend, row) == (Backend::Docker, "direct") {
            // It is weakened when the engine is asked for the probe; without a sidecar process 1 is asked.
            manifest =
                manifest.replacen("  dev:\n", "  dev:\n    options: { docker: { guard: sidecar } }\n", 1);
        }
        let home = Home::new(&manifest).env("API_KEY", "of-the-users-own-and-not-used");
        let weak = Weak::new(backend, &agent, change);
        let output = weak.command(&home, &["verify", &agent, "--format", "json"]).output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let is_caught = match weak::REFUSED.iter().find(|(of, which, _)| (*of, *which) == (backend, row)) {
            Some((_, _, why)) => said.is_empty() && told.contains(why),
            None => failing(&said) == Some(also.iter().chain([&row]).map(|row| (*row).to_owned()).collect()),
        };
        if !is_caught || output.status.code() != Some(1) || !weak.left().is_empty() {
            wrong.push(format!("{row}: {:?} {:?} {said} {told}", output.status.code(), weak.left()));
        }
        caught.insert(row);
        drop(weak);
        backend.assert_nothing_left(&home, &agent);
    }
    assert!(wrong.is_empty(), "not caught as it should be:\n{}", wrong.join("\n"));
    let not_weakened = weak::NOT_WEAKENED.iter().filter(|(of, _)| *of == backend).map(|(_, row)| *row);
    assert_eq!(caught.into_iter().chain(not_weakened).collect::<BTreeSet<_>>(), ROWS.into_iter().collect());
}

/// Returns the rows that fail; `None` without a table.
fn failing(said: &str) -> Option<BTreeSet<String>> {
    let document: Value = serde_json::from_str(said).ok()?;
    let fails = document["rows"].as_array()?.iter().filter(|row| row["here"] == "fails");
    fails.map(|row| row["id"].as_str().map(str::to_owned)).collect()
}
