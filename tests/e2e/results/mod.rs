//! What an agent changed, on each backend: saved at every end, kept when it cannot be saved, and never a reason to look into the
//! agent's repository.

mod bounds;
mod branch;
mod ends;
mod engine;
mod exact;
mod keep;
mod real;
mod repository;
mod secrets;

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::failure::run::Run;
use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

/// How long the end of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the agents of these tests do.
const CHANGE: &str = "echo two >edited; rm gone; mkdir -p sub; echo new >sub/added; chmod +x kept";
/// What that changes.
const CHANGED: [&str; 5] =
    ["modified edited", "deleted gone", "modified kept", "added sub", "added sub/added"];

/// Makes a home with an agent that is a shell, and a repository in its working directory.
fn home(agent: &str) -> Home {
    let manifest = format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\nagents: {{ {agent}: {{ bottle: dev, command: [sh, -c] }} }}\n"
    );
    let home = Home::new(&manifest);
    for (name, text) in
        [("kept", "kept\n"), ("edited", "one\n"), ("gone", "gone\n"), (".gitignore", "target/\n")]
    {
        fs::write(home.work().join(name), text).unwrap();
    }
    sh(&home, "git init -q -b main . && git add . && git -c user.name=t -c user.email=t@t commit -qm first");
    home
}

/// Runs a script of the test's own in the working directory.
fn sh(home: &Home, script: &str) {
    let mut sh = Command::new("sh");
    sh.args(["-ec", script]).current_dir(home.work()).env("HOME", home.path());
    let output = run(&mut sh);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn start(backend: Backend, home: &Home, agent: &str, script: &str) -> Command {
    backend.command(home, &["start", agent, "--cwd", "--yes", "--", script])
}

fn results(home: &Home) -> Vec<Value> {
    let output = run(&mut home.command(&["results", "--format", "json"]));
    assert_code(&output, 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn document(home: &Home, run: &str) -> Value {
    let path = home.state().join("results").join(run).join("result.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn changes(document: &Value) -> Vec<String> {
    let change =
        |file: &Value| format!("{} {}", file["change"].as_str().unwrap(), file["path"].as_str().unwrap());
    document["files"].as_array().unwrap().iter().map(change).collect()
}

/// Fails unless there is one result with all that [`CHANGE`] changes, and nothing else is left of the run.
#[track_caller]
fn assert_saved(backend: Backend, home: &Home, agent: &str) -> String {
    let results = results(home);
    assert_eq!(results.len(), 1, "{results:#?}");
    let name = results[0]["run"].as_str().unwrap().to_owned();
    let document = document(home, &name);
    assert_eq!(changes(&document), CHANGED);
    let added = document["files"][4]["new"]["sha256"].as_str().unwrap();
    assert_eq!(
        fs::read(home.state().join("results").join(&name).join("files").join(added)).unwrap(),
        b"new\n"
    );
    assert_code(&run(&mut home.command(&["results", "verify", &name])), 0);
    backend.assert_nothing_left(home, agent);
    assert_eq!(home.record(&name)["phase"], "ended");
    name
}

/// Starts an agent that has changed files and goes on until its standard input ends.
fn live(backend: Backend, home: &Home, agent: &str) -> Run {
    let mut run = Run::start(&mut start(backend, home, agent, &format!("{CHANGE}; echo ready; cat")));
    run.wait_for("ready");
    run
}
