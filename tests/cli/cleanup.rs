//! `cleanup`: what dead runs left, shown before it is removed; what runs stays.

use std::fs;

use insta::assert_snapshot;

use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stderr};

/// Leaves a bottle of a dead run behind.
fn with_orphan() -> Home {
    let home = Home::new();
    home.write(
        ".local/share/claude-bottle/backends/fake/bottles/fake-old-0a1b2c3d.json",
        r#"{"id":"old-0a1b2c3d","name":"fake-old-0a1b2c3d","agent":"old","bottle":"dev",
            "owner":{"host":"HOST","pid":4194305,"started":1},"env":[],"secrets":[],"prompt":""}"#
            .replace("HOST", rustix::system::uname().nodename().to_str().unwrap())
            .as_str(),
    );
    home
}

#[test]
fn nothing_to_do() {
    assert_snapshot!(Home::new().shown(&["cleanup"]), @"
    exit 0
    --- stderr
    nothing is left over
    ");
    assert_snapshot!(Home::new().shown(&["cleanup", "--format", "json", "--dry-run"]), @r#"
    exit 0
    --- stdout
    [
      {
        "backend": "fake",
        "remove": [],
        "keep": []
      }
    ]
    "#);
}

#[test]
fn a_dry_run_removes_nothing() {
    let home = with_orphan();
    assert_snapshot!(home.shown(&["cleanup", "--dry-run"]), @"
    exit 0
    --- stdout
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    ");
    let plan = json(&home.call(&["cleanup", "--dry-run", "--format", "json"]));
    assert_eq!(plan[0]["backend"], "fake");
    assert_eq!(plan[0]["remove"][0]["name"], "fake-old-0a1b2c3d");
    assert_eq!(home.bottles().len(), 1);
}

#[test]
fn it_is_removed_when_the_user_says_so() {
    let home = with_orphan();
    assert_snapshot!(home.shown(&["cleanup"]), @"
    exit 1
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    error: there is no terminal to ask on

    hint: add --yes to remove without asking, or --dry-run to remove nothing
    ");
    assert_eq!(home.bottles().len(), 1);
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    removed bottle fake-old-[ID]
    ");
    home.assert_nothing_left();
}

/// Leaves the files of a run behind whose process and whose reaper were killed.
fn with_dead_run(home: &Home) {
    let stage = home.path().join("tmp/claude-bottle-Ab12Cd");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("scratch"), "").unwrap();
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let record = serde_json::json!({
        "id": "old-0a1b2c3d", "backend": "fake", "agent": "old", "bottle": "dev", "name": "fake-old-0a1b2c3d",
        "owner": { "host": host, "pid": 4194305, "started": 1 }, "created_unix": 1, "phase": "running", "stage": stage,
    });
    home.write(".local/state/claude-bottle/bottles/old-0a1b2c3d/record.json", &record.to_string());
    home.write(".local/state/claude-bottle/bottles/old-0a1b2c3d/.tmpAb12Cd", "{");
}

#[test]
fn the_files_of_a_dead_run_are_removed_and_its_record_is_kept() {
    let home = with_orphan();
    with_dead_run(&home);
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    remove  fake     files   old-[ID]       its run is gone
    removed bottle fake-old-[ID]
    removed files old-[ID]
    ");
    home.assert_nothing_left();
    assert_eq!(home.names_in(".local/state/claude-bottle/bottles/old-0a1b2c3d"), ["record.json"]);
    let shown = json(&home.call(&["logs", "old", "--format", "json"]));
    assert_eq!(shown["phase"], "ended");
    assert_snapshot!(home.shown(&["cleanup"]), @"
    exit 0
    --- stderr
    nothing is left over
    ");
}

#[test]
fn it_is_asked_for_on_a_terminal() {
    let home = with_orphan();
    for (answer, left) in [("n\r", 1), ("y\r", 0)] {
        let mut terminal = Terminal::start(&home.command(&["cleanup"]));
        terminal.wait_for("[y/N]");
        terminal.type_keys(answer);
        terminal.ends_with(0);
        assert_eq!(home.bottles().len(), left, "after {answer:?}");
    }
}

#[test]
fn a_live_bottle_stays_unless_all_is_meant() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME                 WHY
    keep    fake     bottle  fake-shell-[ID]  its run is alive
    ");
    assert_eq!(home.bottles().len(), 1);
    let output = home.call(&["cleanup", "--yes", "--all"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["removed bottle fake-shell-"]);
    assert_eq!(home.bottles().len(), 0);
    assert_code(&run.end(), 0);
}

#[test]
fn two_at_once_do_not_hinder_each_other() {
    let home = with_orphan();
    let start = || Live::start(&mut home.command(&["cleanup", "--yes"]));
    for run in [start(), start()] {
        assert_code(&run.end(), 0);
    }
    home.assert_nothing_left();
}
