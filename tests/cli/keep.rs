//! `start --keep`, `stop --keep`: a bottle whose work is saved and whose files stay, for `resume`. On the fake backend.

use std::fs;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout};

/// What the agents of these tests do: a change, and a good deal that git ignores.
const BUILD: &str = "echo two >edited; mkdir -p target/deep; echo built >target/deep/x; ln target/deep/x target/twin; \
                     ln -s deep/x target/link; rm target/old";

/// A home whose directory has ignored files.
fn home() -> Home {
    let home = Home::new();
    home.write("work/edited", "one\n");
    home.write("work/.gitignore", "target/\n");
    home.write("work/target/old", "old\n");
    home.write("work/target/here", "here\n");
    home
}

fn start(home: &Home, script: &str) -> Output {
    home.call(&["start", "shell", "--cwd", "--keep", "--yes", "--", script])
}

fn rows(home: &Home) -> Vec<Value> {
    json(&home.call(&["results", "--format", "json"])).as_array().unwrap().clone()
}

fn only_run(home: &Home) -> String {
    let rows = rows(home);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["run"].as_str().unwrap().to_owned()
}

fn phase(home: &Home, run: &str) -> Value {
    let record = fs::read(home.run_dir(run).join("record.json")).unwrap();
    serde_json::from_slice::<Value>(&record).unwrap()["phase"].clone()
}

/// Goes on from a run, and returns what is there of what git ignores.
fn resume(home: &Home, run: &str) -> Output {
    let look = "cat edited; cat target/deep/x target/twin target/link target/here; test ! -e target/old && echo gone";
    home.call(&["resume", run, "--yes", "--", look])
}

const ALL: &str = "two\nbuilt\nbuilt\nbuilt\nhere\ngone\n";

#[test]
fn what_is_kept_is_told_comes_along_and_goes_when_it_is_discarded() {
    let home = home();
    let output = start(&home, BUILD);
    assert_code(&output, 0);
    let run = only_run(&home);
    let said = stderr(&output);
    assert_says(&said, &["changes are saved when it ends, and the bottle's files are kept\n"]);
    assert_says(
        &said,
        &["the bottle's files are kept (", &format!("go on with them: claude-bottle resume {run}\n")],
    );
    assert!(said.ends_with(&format!("claude-bottle discard {run}\n")), "{said}");
    assert_eq!(phase(&home, &run), "kept");
    let row = &rows(&home)[0];
    assert_eq!(row["state"], "new");
    assert!(row["kept_bytes"].as_u64().unwrap() > 0, "{row}");
    assert_says(&stdout(&home.call(&["results"])), &["new, kept"]);
    // It runs no more, and nothing takes it by itself.
    assert_says(&stderr(&home.call(&["list", "active"])), &["no bottle is running"]);
    let output = home.call(&["cleanup", "--yes"]);
    assert_says(&stderr(&output), &["keep", &format!("its files are kept: claude-bottle discard {run}")]);
    assert_eq!(home.bottles().len(), 1);
    for _ in 0..2 {
        let output = resume(&home, &run);
        assert_code(&output, 0);
        assert_eq!(stdout(&output), ALL, "{}", stderr(&output));
        assert_says(&stderr(&output), &[&format!("{run}: 1 changed file, 3 that git ignores\n")]);
    }
    assert_code(&home.call(&["discard", &run, "--yes"]), 0);
    assert_eq!(phase(&home, &run), "ended");
    home.assert_nothing_left();
    let files = home.names_in(&format!(".local/state/claude-bottle/bottles/{run}"));
    assert!(!files.iter().any(|name| name.starts_with("copied-in")), "{files:?}");
}

#[test]
fn a_bottle_can_be_kept_although_nothing_changed() {
    let home = home();
    let output = start(&home, "echo built >target/new");
    assert_code(&output, 0);
    let run = only_run(&home);
    assert_says(
        &stderr(&output),
        &["no file changed\n", "the bottle's files are kept", "go on: claude-bottle resume"],
    );
    let output = home.call(&["resume", &run, "--yes", "--", "cat target/new"]);
    assert_eq!(stdout(&output), "built\n", "{}", stderr(&output));
    assert_code(&home.call(&["discard", "--all", "--yes"]), 0);
    home.assert_nothing_left();
}

#[test]
fn a_bottle_that_is_stopped_can_be_kept() {
    let home = home();
    let script = format!("{BUILD}; echo ready; cat");
    let live = Live::start(&mut home.command(&["start", "shell", "--cwd", "--yes", "--", &script]));
    live.wait_for_stdout("ready");
    let output = home.call(&["stop", "shell", "--keep"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["1 file changed", "the bottle's files are kept (", "halted fake-shell-"]);
    assert_code(&live.end(), 125);
    let run = only_run(&home);
    assert_eq!(phase(&home, &run), "kept");
    assert_eq!(stdout(&resume(&home, &run)), ALL);
    // It is nothing that could be stopped again.
    assert_code(&home.call(&["stop", &run]), 1);
    assert_code(&home.call(&["discard", &run, "--yes"]), 0);
    home.assert_nothing_left();
}

#[test]
fn what_cannot_be_kept_goes_on() {
    let home = home();
    let mut live = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    live.wait_for_stdout("ready");
    let output = home.call(&["stop", "shell", "--keep"]);
    assert_code(&output, 1);
    assert_says(
        &stderr(&output),
        &["can be kept: no copy of a directory came along", "claude-bottle stop fake-shell-"],
    );
    live.feed("still there\n");
    live.wait_for_stdout("still there");
    assert_code(&home.call(&["stop", "shell"]), 0);
    live.end();
    for wrong in [&["start", "shell", "--keep"][..], &["start", "shell", "--cwd", "--keep", "--no-save"]] {
        assert_code(&home.call(wrong), 2);
    }
    assert_code(&home.call(&["stop", "shell", "--keep", "--no-save"]), 2);
    home.assert_nothing_left();
}

#[test]
fn a_killed_run_that_was_to_be_kept_is_kept_by_its_watcher() {
    let home = home();
    let script = format!("{BUILD}; echo ready; cat");
    let words = ["start", "shell", "--cwd", "--keep", "--yes", "--", &script];
    let live = Live::start(&mut home.command(&words));
    live.wait_for_stdout("ready");
    let run = home.names_in(".local/state/claude-bottle/bottles").remove(0);
    live.send(Signal::KILL);
    live.end();
    crate::support::live::wait_for_change(&[home.run_dir(&run)], || phase(&home, &run) == "kept");
    assert_eq!(only_run(&home), run);
    assert_code(&home.call(&["cleanup", "--yes"]), 0);
    assert_eq!(stdout(&resume(&home, &run)), ALL);
    assert_code(&home.call(&["discard", &run, "--yes"]), 0);
    home.assert_nothing_left();
}

#[test]
fn a_bottle_that_is_gone_is_said_and_its_result_is_enough() {
    let home = home();
    assert_code(&start(&home, BUILD), 0);
    let run = only_run(&home);
    // Its files are gone, and nothing of this program did that.
    let bottle = home.path().join(".local/share/claude-bottle/backends/fake/homes");
    fs::remove_dir_all(&bottle).unwrap();
    let output = home.call(&["resume", &run, "--yes", "--", "cat edited target/old"]);
    assert_eq!(stdout(&output), "two\nold\n", "{}", stderr(&output));
    let told = format!("what git ignores does not come along from `{run}`: read the bottle that is kept: ");
    assert_says(&stderr(&output), &[&told]);
    // What is asked to take everything takes what is kept, and what is saved stays.
    let output = home.call(&["cleanup", "--all", "--yes"]);
    assert_code(&output, 0);
    assert_eq!((phase(&home, &run), rows(&home).len()), ("ended".into(), 2));
    home.assert_nothing_left();
    let output = home.call(&["resume", &run, "--yes", "--", "cat edited"]);
    assert_eq!(stdout(&output), "two\n");
    assert_says(
        &stderr(&output),
        &[&format!("the bottle of `{run}` is gone: what git ignores does not come along")],
    );
}
