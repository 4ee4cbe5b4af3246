//! `plugin check` on the project's own backends, on a real engine and with real namespaces, and on a stranger's crate.
//!
//! `make test` builds the plug-ins and makes the engine and the base image exist. Without them these tests fail; they
//! never skip.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod stranger;
mod support;

use std::path::Path;

use claude_bottle::plugins::{Identity, Pins, registry};
use claude_bottle_plugin_api::kit::{Options, Subject, run};
use serde_json::Value;

use support::{Home, built, ids, stderr};

/// Holds a backend against every rule; returns the names of the cases that do not apply.
#[track_caller]
fn check(backend: &str, passes: usize) -> Vec<String> {
    let home = Home::new();
    let output = home.call(&["plugin", "check", built(backend).to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", output.status, stderr(&output)));
    assert_eq!(report["name"], backend);
    let failed = report["cases"].as_array().unwrap().iter().filter(|case| case["outcome"] == "fail");
    let failed: Vec<_> = failed.map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(output.status.code(), Some(0));
    let passed = ids(&report, "pass");
    assert!(passed.len() >= passes, "only {passed:?}");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
    ids(&report, "skip")
}

#[test]
fn fake_keeps_every_rule() {
    let skipped = check("fake", 60);
    let undeclared = |id: &&String| {
        !["skills", "exec-tty", "exec-resize", "reload-counts", "reload-secret"].contains(&id.as_str())
            && !["ssh-", "egress-", "limits-"].iter().any(|kind| id.starts_with(kind))
    };
    assert_eq!(skipped.iter().find(undeclared), None);
}

#[test]
fn bubblewrap_keeps_every_rule() {
    assert_eq!(check("bubblewrap", 72), Vec::<String>::new());
}

#[test]
fn docker_keeps_every_rule() {
    let base = std::env::var_os("CLAUDE_BOTTLE_BASE_IMAGE");
    assert!(base.is_some(), "run it with CLAUDE_BOTTLE_BASE_IMAGE=$(tests/setup/base-image.sh)");
    assert_eq!(check("docker", 72), Vec::<String>::new());
}

#[test]
#[ignore = "needs a cluster: make test-cluster"]
fn kubernetes_keeps_every_rule() {
    let skipped = check("kubernetes", 60);
    let undeclared = |id: &&String| !id.starts_with("keep");
    assert_eq!(skipped.iter().find(undeclared), None);
}

#[test]
fn podman_keeps_every_rule() {
    assert_eq!(check("podman", 72), Vec::<String>::new());
}

/// The command knows the kit's cases by name, because it starts a process for each.
#[test]
fn the_command_runs_every_case_of_the_kit() {
    let home = Home::new();
    let output = home.call(&["plugin", "check", built("fake").to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = ids(&report, "");
    let loaded = registry::load_file(built("fake"), &Identity::current(), &Pins::default()).unwrap();
    let mut options = Options::new(home.path().join("tmp"));
    // Nothing that runs changes this process, which other tests share.
    options.live = false;
    let kit = run(&Subject::loaded(loaded.module), &options);
    let known: Vec<_> = kit.cases.iter().map(|case| case.id).collect();
    assert_eq!(shown, known);
}

#[test]
fn a_file_that_is_none_is_refused_before_a_case_runs() {
    let home = Home::new();
    let output = home.call(&["plugin", "check", "/nowhere/claude-bottle-backend-x.so"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("`/nowhere/claude-bottle-backend-x.so`"), "{}", stderr(&output));
    assert!(!Path::new("/nowhere").exists());
}
