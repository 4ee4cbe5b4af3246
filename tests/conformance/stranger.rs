//! A crate that `plugin new` wrote, built as a stranger would, and then made to take its process down.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use claude_bottle_standin::as_by_hand;
use serde_json::Value;

use crate::support::{Home, ids, stderr};

/// Writes a crate, changes it, and builds it.
fn brittle(home: &Home, change: impl FnOnce(String) -> String) -> PathBuf {
    let output = home.call(&["plugin", "new", "brittle"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let directory = home.path().join("claude-bottle-backend-brittle");
    let source = directory.join("src/backend.rs");
    let before = fs::read_to_string(&source).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "the template has changed");
    fs::write(source, after).unwrap();
    build(&directory);
    directory.join("target/debug/libclaude_bottle_backend_brittle.so")
}

/// One at a time: all of them are built to the same file.
fn build(directory: &Path) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline"]).current_dir(directory);
    // The directory and the settings of the other test plug-ins, so that each dependency is compiled once.
    cargo.args(["--config", "profile.dev.debug=\"line-tables-only\""]);
    cargo.args(["--config", "profile.dev.package.\"*\".debug=false"]);
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    cargo.env("CARGO_TARGET_DIR", &shared);
    let output = as_by_hand(&mut cargo).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let file = "debug/libclaude_bottle_backend_brittle.so";
    fs::create_dir_all(directory.join("target/debug")).unwrap();
    fs::copy(shared.join(file), directory.join("target").join(file)).unwrap();
}

#[test]
fn a_crash_is_a_line_in_the_table_and_the_other_cases_run() {
    let home = Home::new();
    let abort = "        if request.command.iter().any(|part| part.contains(\"kill -KILL $$\")) {\n            \
                 std::process::abort();\n        }\n";
    let at = "        let io = request.io()?;\n";
    let file = brittle(&home, |text| text.replace(at, &format!("{abort}{at}")));
    let file = file.to_str().unwrap();
    let output = home.call(&["plugin", "check", file, "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&report, "fail"), ["exec-signal"]);
    assert!(ids(&report, "pass").len() >= 50, "{report}");
    let case = report["cases"].as_array().unwrap().iter().find(|case| case["id"] == "exec-signal").unwrap();
    let detail = case["detail"].as_str().unwrap();
    assert!(detail.contains("ended without an answer: signal: 6"), "{detail}");

    let output = home.call(&["plugin", "check", file, "--skip", "exec-signal"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("backend `brittle` 0.1.0, contract 1.1\n"), "{table}");
    assert!(table.contains("  skip  exec-signal") && table.contains("--skip names it"), "{table}");
    assert!(table.contains(" 0 failed, 21 skipped"), "{table}");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}

/// Makes a home in which the crate as it was written, but for this change, is a backend.
fn with_the_template(change: impl FnOnce(String) -> String) -> Home {
    let home = Home::new();
    let file = brittle(&home, change);
    let plugins = home.path().join(".local/share/claude-bottle/plugins");
    fs::create_dir_all(&plugins).unwrap();
    fs::copy(file, plugins.join("claude-bottle-backend-brittle.so")).unwrap();
    home
}

#[test]
fn a_backend_that_cannot_lay_what_an_earlier_bottle_left_saves_and_says_so() {
    let home = with_the_template(|text| text.replace("        Capability::RESUME,\n", ""));
    let manifest = "bottles:\n  dev: {}\nagents:\n  shell: { bottle: dev, command: [sh, -c] }\n";
    fs::write(home.path().join("claude-bottle.yaml"), manifest).unwrap();
    let work = home.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("edited"), "one\n").unwrap();
    let call = |words: &[&str]| home.command(words).current_dir(&work).output().unwrap();
    let start = ["start", "shell", "--backend", "brittle", "--cwd", "--yes", "--allow-unenforced-egress"];
    let output = call(&[&start[..], &["--", "echo two >edited"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows =
        || -> Value { serde_json::from_slice(&call(&["results", "--format", "json"]).stdout).unwrap() };
    let run = rows()[0]["run"].as_str().unwrap().to_owned();
    let output = call(&["resume", &run, "--yes", "--allow-unenforced-egress", "--", "echo started"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(125), &b""[..]), "{}", stderr(&output));
    let told = format!(
        "error: the brittle backend does not offer `resume`: it cannot go on from `{run}`\n\n\
         hint: name another backend: claude-bottle resume {run} --backend NAME\n\
         hint: or take the changes, and start again from there: claude-bottle apply {run}\n"
    );
    assert!(stderr(&output).ends_with(&told), "{}", stderr(&output));
    assert_eq!((rows().as_array().unwrap().len(), &rows()[0]["state"]), (1, &"new".into()));
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
    // Both ways on are ways.
    let words =
        ["resume", &run, "--backend", "fake", "--yes", "--allow-unenforced-egress", "--", "cat edited"];
    let output = call(&words);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "two\n", "{}", stderr(&output));
    let output = call(&["apply", &run, "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(work.join("edited")).unwrap(), "two\n");
}

#[test]
fn a_backend_that_joins_no_port_is_not_asked_to() {
    let home = with_the_template(|text| text + "\n// As it is.\n");
    let agent = "{ bottle: dev, command: [sh, -c, 'echo ready; cat'] }";
    let manifest = format!("bottles:\n  dev: {{}}\nagents:\n  brittle-shell: {agent}\n");
    fs::write(home.path().join("claude-bottle.yaml"), manifest).unwrap();
    let words = ["start", "brittle-shell", "--backend", "brittle", "--yes", "--allow-unenforced-egress"];
    let mut start = home.command(&words);
    let mut run = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let output = home.call(&["forward", "brittle-shell", "80"]);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "{}", stderr(&output));
    let told = "error: the brittle backend does not offer `connect`\n";
    assert!(stderr(&output).starts_with(told), "{}", stderr(&output));
    drop(run.stdin.take());
    assert_eq!(run.wait().unwrap().code(), Some(0));
}
