//! `resume`: what it shows, what it refuses, and what becomes of the result that it goes on from. On the fake backend.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout};

/// A home whose agents remember their sessions, and a result of the agent `shell`.
fn resumable() -> (Home, String) {
    let home = Home::with(&manifest("[sh, -c]"));
    home.write("work/edited", "one\n");
    home.write("work/gone", "gone\n");
    let script = "echo two >edited; rm gone; mkdir -p ~/.sessions; echo plum >~/.sessions/log";
    assert_code(&home.call(&["start", "shell", "--cwd", "--yes", "--", script]), 0);
    let run = rows(&home)[0]["run"].as_str().unwrap().to_owned();
    (home, run)
}

fn manifest(command: &str) -> String {
    format!(
        "bottles:\n  dev: {{}}\nagents:\n  shell:\n    bottle: dev\n    command: {command}\n    history: [.sessions]\n"
    )
}

fn rows(home: &Home) -> Vec<Value> {
    json(&home.call(&["results", "--format", "json"])).as_array().unwrap().clone()
}

fn states(home: &Home) -> Vec<String> {
    let rows = rows(home);
    let mut states: Vec<_> = rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect();
    states.sort();
    states
}

fn resume(home: &Home, run: &str, script: &str) -> Output {
    home.call(&["resume", run, "--yes", "--", script])
}

#[test]
fn a_new_bottle_goes_on_and_the_new_result_replaces_the_old() {
    let (home, run) = resumable();
    home.write("work/edited", "mine\n");
    let output = resume(&home, "shell", "cat edited ~/.sessions/log; test ! -e gone && echo three >more");
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "two\nplum\n");
    assert_says(
        &stderr(&output),
        &[
            &format!("goes on from  {run}: 2 changed files, its history\n"),
            "changed here  edited; inside they are as the agent left them, here they stay\n",
            "3 files changed",
        ],
    );
    assert_eq!(fs::read_to_string(home.work().join("edited")).unwrap(), "mine\n");
    assert_eq!(states(&home), ["new", "resumed"]);
    home.assert_nothing_left();
}

#[test]
fn a_resumed_agent_that_changes_nothing_more_keeps_what_it_remembers() {
    let (home, run) = resumable();
    assert_code(&home.call(&["apply", &run, "--yes"]), 0);
    let output = resume(&home, &run, "echo fig >>~/.sessions/log");
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &["no file changed; what the agent remembers is kept\n", "hint: go on: claude-bottle resume shell-"],
    );
    assert_eq!(states(&home), ["new", "resumed"]);
    let output = home.call(&["resume", "--yes", "--", "cat ~/.sessions/log"]);
    assert_eq!(stdout(&output), "plum\nfig\n", "{}", stderr(&output));
}

#[test]
fn a_run_that_changed_nothing_keeps_its_conversation_and_stands_in_no_results_way() {
    let (home, with_files) = resumable();
    let talk = ["start", "shell", "--cwd", "--yes", "--", "mkdir -p ~/.sessions; echo fig >~/.sessions/log"];
    let output = home.call(&talk);
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &["no file changed; what the agent remembers is kept\n", "hint: go on: claude-bottle resume shell-"],
    );
    assert_eq!(states(&home), ["new", "new"]);
    // What is looked at and taken is the newest that has files; what is gone on from is what was said last.
    assert_says(&stdout(&home.call(&["diff", "--name-only"])), &["edited"]);
    assert_code(&home.call(&["apply", "--yes"]), 0);
    assert_eq!(fs::read_to_string(home.work().join("edited")).unwrap(), "two\n");
    let rows = rows(&home);
    let talk = rows.iter().find(|row| row["run"] != with_files.as_str()).unwrap();
    assert_eq!((&talk["files"], &talk["state"]), (&0.into(), &"new".into()));
    let output = home.call(&["apply", talk["run"].as_str().unwrap(), "--yes"]);
    assert_code(&output, 0);
    let output = resume(&home, talk["run"].as_str().unwrap(), "cat ~/.sessions/log");
    assert_eq!(stdout(&output), "fig\n", "{}", stderr(&output));
    // A directory that nothing was put into remembers nothing.
    let before = states(&home);
    let output = home.call(&["start", "shell", "--cwd", "--yes", "--", "mkdir -p ~/.sessions/empty"]);
    assert!(stderr(&output).ends_with("no file changed\n"), "{}", stderr(&output));
    assert_eq!(states(&home), before);
    home.assert_nothing_left();
}

#[test]
fn claude_is_told_to_continue_unless_the_arguments_say_which_session() {
    let (home, run) = resumable();
    fs::write(home.manifest(), manifest("[claude]")).unwrap();
    let command = |more: &[&str]| {
        let plan = home.call(&[&["resume", &run, "--dry-run", "--format", "json"], more].concat());
        json(&plan)["command"].clone()
    };
    assert_eq!(command(&[]), serde_json::json!(["claude", "--continue"]));
    assert_eq!(
        command(&["--print", "go on"]),
        serde_json::json!(["claude", "--continue", "--print", "go on"])
    );
    for said in ["--continue", "-c", "--resume=x", "-r"] {
        assert_eq!(command(&["--", said]), serde_json::json!(["claude", said]));
    }
    fs::write(home.manifest(), manifest("[other]")).unwrap();
    assert_eq!(command(&[]), serde_json::json!(["other"]));
    assert_eq!(states(&home), ["new"], "a dry run changes nothing");
    home.assert_nothing_left();
}

#[test]
fn the_plan_as_json_says_what_it_goes_on_from() {
    let (home, run) = resumable();
    home.write("work/gone", "changed\n");
    let plan = json(&home.call(&["resume", &run, "--dry-run", "--format", "json"]));
    let expected = serde_json::json!({
        "run": run, "files": 2, "repository": false, "history": true, "changed_here": [{ "path": "gone" }],
    });
    assert_eq!(plan["resumes"], expected);
    assert_eq!(plan["workspace"], home.work().canonicalize().unwrap().display().to_string());
}

#[test]
fn a_result_that_is_not_there_is_said_to_be_missing() {
    let (home, run) = resumable();
    assert_code(&home.call(&["discard", &run, "--yes"]), 0);
    for (wanted, message) in [
        (run.as_str(), format!("error: there is no saved result `{run}`\n")),
        ("unknown", "error: there is no saved result `unknown`\n".to_owned()),
    ] {
        let output = resume(&home, wanted, "true");
        assert_code(&output, 125);
        assert_says(&stderr(&output), &[&message]);
    }
    let output = home.call(&["resume", "--yes"]);
    assert_says(&stderr(&output), &["error: there is no saved result of `"]);
}

#[test]
fn a_bottle_that_runs_or_is_not_saved_is_not_gone_on_from() {
    let home = Home::with(&manifest("[sh, -c]"));
    home.write("work/edited", "one\n");
    let mut live = Live::start(&mut home.command(&[
        "start",
        "shell",
        "--cwd",
        "--yes",
        "--",
        "echo x >edited; echo ready; cat",
    ]));
    live.wait_for_stdout("ready");
    let run = home.names_in(".local/state/claude-bottle/bottles").remove(0);
    let output = resume(&home, &run, "true");
    assert_code(&output, 125);
    assert_says(
        &stderr(&output),
        &[&format!("the bottle of `{run}` has not ended"), &format!("claude-bottle stop {run}")],
    );
    // A store that cannot be written keeps the bottle.
    home.write(".local/state/claude-bottle/results", "");
    live.feed("");
    live.send(rustix::process::Signal::INT);
    live.end();
    fs::remove_file(home.path().join(".local/state/claude-bottle/results")).unwrap();
    let output = resume(&home, &run, "true");
    assert_code(&output, 125);
    assert_says(&stderr(&output), &["is not saved", &format!("claude-bottle save {run}")]);
    assert_code(&home.call(&["save", &run]), 0);
    let output = resume(&home, &run, "cat edited");
    assert_eq!(stdout(&output), "x\n");
    home.assert_nothing_left();
}

#[test]
fn a_directory_that_is_gone_is_named() {
    let (home, run) = resumable();
    fs::rename(home.work(), home.path().join("moved")).unwrap();
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    let output =
        home.command(&["resume", &run, "--yes"]).current_dir(home.path().join("elsewhere")).output().unwrap();
    assert_code(&output, 125);
    assert_says(&stderr(&output), &["the directory `", "` is gone", &format!("claude-bottle diff {run}")]);
}

#[test]
fn a_failure_before_the_agent_runs_leaves_the_result_as_it_was() {
    for fault in ["error:launch", "error:provision", "panic:provision"] {
        let (home, run) = resumable();
        let output =
            home.call_with(&["resume", &run, "--yes", "--", "true"], &[("CLAUDE_BOTTLE_FAKE_FAULT", fault)]);
        assert_code(&output, 125);
        assert_eq!(states(&home), ["new"]);
        assert_code(&home.call(&["results", "verify", &run]), 0);
        home.wait_until_nothing_left();
    }
}

#[test]
fn a_resume_from_elsewhere_is_under_the_manifest_of_where_it_started() {
    let home = Home::with("bottles:\n  dev: {}\n");
    home.write("work/.git/HEAD", "ref: refs/heads/main\n");
    home.write("work/below/edited", "one\n");
    home.write("work/below/claude-bottle.yaml", "agents:\n  local: { bottle: dev, command: [sh, -c] }\n");
    let start = ["start", "local", "--cwd", "--yes", "--", "echo two >edited"];
    let below = home.work().join("below");
    assert_code(&home.command(&start).current_dir(below).output().unwrap(), 0);
    let results = json(&home.call(&["results", "--all", "--format", "json"]));
    let run = results[0]["run"].as_str().unwrap();
    let mut resume = home.command(&["resume", run, "--yes", "--", "cat edited"]);
    let output = resume.current_dir(home.path()).output().unwrap();
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "two\n", "the agent starts where it started before");
}
