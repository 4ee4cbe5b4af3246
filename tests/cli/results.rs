//! What an agent changed: saved at every end, listed, checked, discarded; and a bottle that is kept since its work could not be
//! saved. On the fake backend, whose agents are plain programs in a copy of the directory.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stderr, stdout};

/// A home whose working directory has files.
fn home() -> Home {
    let home = Home::new();
    home.write("work/kept", "kept\n");
    home.write("work/edited", "one\n");
    home.write("work/gone", "gone\n");
    home
}

/// What the agents of these tests do.
const CHANGE: &str = "echo two >edited; rm gone; echo new >added";

fn start(home: &Home, script: &str) -> Command {
    home.command(&["start", "shell", "--cwd", "--yes", "--", script])
}

/// Runs an agent to its end.
fn run(home: &Home, script: &str) -> std::process::Output {
    start(home, script).output().unwrap()
}

fn results(home: &Home) -> Value {
    json(&home.call(&["results", "--format", "json"]))
}

/// Returns what changed, as its result says.
fn changes(home: &Home, run: &str) -> Vec<String> {
    let path = home.path().join(".local/state/claude-bottle/results").join(run).join("result.json");
    let result: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let change =
        |file: &Value| format!("{} {}", file["change"].as_str().unwrap(), file["path"].as_str().unwrap());
    result["files"].as_array().unwrap().iter().map(change).collect()
}

/// Fails unless there is one result, with what [`CHANGE`] changes.
#[track_caller]
fn assert_saved(home: &Home) -> String {
    let results = results(home);
    assert_eq!(results.as_array().unwrap().len(), 1, "{results:#}");
    let run = results[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(changes(home, &run), ["added added", "modified edited", "deleted gone"]);
    assert_code(&home.call(&["results", "verify", &run]), 0);
    home.assert_nothing_left();
    // What the run was told by is gone with the bottle.
    let files = home.names_in(&format!(".local/state/claude-bottle/bottles/{run}"));
    assert!(!files.iter().any(|name| name.starts_with("copied-in")), "{files:?}");
    run
}

#[test]
fn what_changed_is_said_last_and_saved_whatever_the_exit_code() {
    for code in [0, 1, 137] {
        let home = home();
        let output = run(&home, &format!("{CHANGE}; echo said by the agent >&2; exit {code}"));
        assert_code(&output, code);
        let run = assert_saved(&home);
        let said = stderr(&output);
        let after = said.split_once("said by the agent\n").unwrap().1;
        let expected = format!(
            "3 files changed{{LINES}}\nhint: look: claude-bottle diff {run}\nhint: take them: claude-bottle apply {run}\n"
        );
        let lines = after.lines().next().unwrap().strip_prefix("3 files changed").unwrap();
        assert_eq!(after, expected.replace("{LINES}", lines));
        assert_eq!(
            fs::read_to_string(home.work().join("edited")).unwrap(),
            "one\n",
            "nothing is taken by itself"
        );
    }
}

#[test]
fn nothing_is_said_of_it_when_all_is_to_be_quiet() {
    let home = home();
    let output = home.call(&["start", "shell", "--cwd", "--yes", "-q", "--", CHANGE]);
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "");
    assert_saved(&home);
}

#[test]
fn when_no_file_changed_nothing_is_written() {
    let home = home();
    let output = run(&home, "touch kept; echo x >/dev/null");
    assert_code(&output, 0);
    assert!(stderr(&output).ends_with("no file changed\n"), "{}", stderr(&output));
    assert_eq!(results(&home), serde_json::json!([]));
    assert_eq!(home.names_in(".local/state/claude-bottle/results"), Vec::<String>::new());
    home.assert_nothing_left();
}

#[test]
fn what_git_ignores_is_left_behind_and_counted_unless_it_is_asked_for() {
    let home = home();
    home.write("work/.gitignore", "target/\n");
    let script = format!("{CHANGE}; mkdir target; head -c 2000 /dev/zero >target/a; echo >target/b");
    let output = run(&home, &script);
    assert_says(&stderr(&output), &["3 files changed", "left behind: 2 files that git ignores (1.9 KiB)\n"]);
    let home = self::home();
    home.write("work/.gitignore", "target/\n");
    let output = home.call(&["start", "shell", "--cwd", "--yes", "--ignored", "--", &script]);
    assert_says(&stderr(&output), &["6 files changed"]);
    assert!(!stderr(&output).contains("left behind"));
}

#[test]
fn the_plan_says_what_becomes_of_changes() {
    let home = home();
    let plan = |more: &[&str]| stdout(&home.call(&[&["start", "shell", "--dry-run"], more].concat()));
    let shown = |arguments: &[&str]| {
        let output = home.call(&[&["start", "shell", "--dry-run"], arguments].concat());
        stdout(&output) + &stderr(&output)
    };
    assert!(!shown(&[]).contains("changes"));
    assert_says(&shown(&["--cwd"]), &["changes    saved when it ends"]);
    assert_says(&shown(&["--cwd", "--no-save"]), &["changes    lost when it ends, as --no-save says"]);
    let document: Value = serde_json::from_str(&plan(&["--cwd", "--format", "json"])).unwrap();
    assert_eq!(document["changes"], "saved");
    // Without a copy there is nothing to save.
    assert_code(&home.call(&["start", "shell", "--no-save", "--dry-run"]), 2);
}

#[test]
fn without_saving_nothing_is_kept() {
    let home = home();
    let output = home.call(&["start", "shell", "--cwd", "--yes", "--no-save", "--", CHANGE]);
    assert_code(&output, 0);
    assert!(!stderr(&output).contains("changed"));
    assert_eq!(results(&home), serde_json::json!([]));
    home.assert_nothing_left();
}

/// Starts an agent that has changed files and goes on.
fn live(home: &Home) -> Live {
    let run = Live::start(&mut start(home, &format!("{CHANGE}; echo ready; cat")));
    run.wait_for_stdout("ready");
    run
}

#[test]
fn a_bottle_that_is_stopped_is_saved_once() {
    let home = home();
    let run = live(&home);
    let output = home.call(&["stop", "shell"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["3 files changed", "claude-bottle apply shell-", "closed fake-shell-"]);
    assert_code(&run.end(), 125);
    assert_saved(&home);
}

#[test]
fn a_bottle_that_is_stopped_without_saving_is_lost() {
    let home = home();
    let run = live(&home);
    assert_code(&home.call(&["stop", "shell", "--no-save"]), 0);
    run.end();
    assert_eq!(results(&home), serde_json::json!([]));
    home.assert_nothing_left();
}

#[test]
fn an_interrupted_run_is_saved() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = home();
        let run = live(&home);
        run.send(signal);
        let output = run.end();
        assert_says(&stderr(&output), &["3 files changed"]);
        assert_saved(&home);
    }
}

#[test]
fn the_work_of_a_killed_run_is_saved_by_its_watcher() {
    let home = home();
    let run = live(&home);
    run.send(Signal::KILL);
    run.end();
    home.wait_until_nothing_left();
    wait_until_ended(&home);
    assert_saved(&home);
}

fn run_dir(home: &Home) -> std::path::PathBuf {
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    home.run_dir(&runs[0])
}

fn phase(home: &Home) -> String {
    let record: Value =
        serde_json::from_slice(&fs::read(run_dir(home).join("record.json")).unwrap()).unwrap();
    record["phase"].as_str().unwrap().to_owned()
}

fn wait_until_ended(home: &Home) {
    wait_for_change(&[run_dir(home)], || phase(home) == "ended");
}

#[test]
fn the_work_of_a_run_whose_watcher_died_too_is_saved_by_cleanup() {
    let home = home();
    let run = live(&home);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.pid())).unwrap();
    for child in children.split_whitespace() {
        if fs::read(format!("/proc/{child}/cmdline")).unwrap().windows(6).any(|word| word == b"\0reap\0") {
            kill_process(Pid::from_raw(child.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
        }
    }
    run.send(Signal::KILL);
    run.end();
    let shown = stdout(&home.call(&["cleanup", "--dry-run"]));
    assert_says(&shown, &["save    fake     work    fake-shell-", "before it is removed"]);
    assert_eq!(json(&home.call(&["cleanup", "--dry-run", "--format", "json"]))[0]["save"][0]["kind"], "work");
    let output = home.call(&["cleanup", "--yes"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["3 files changed", "removed files shell-"]);
    assert_saved(&home);
}

#[test]
fn what_runs_is_saved_before_cleanup_removes_it() {
    let home = home();
    let run = live(&home);
    assert_code(&home.call(&["cleanup", "--yes", "--all"]), 0);
    run.end();
    assert_saved(&home);
}

/// Puts a file where the store would be: nothing can be saved.
fn break_store(home: &Home) {
    home.write(".local/state/claude-bottle/results", "");
}

fn mend_store(home: &Home) {
    fs::remove_file(home.path().join(".local/state/claude-bottle/results")).unwrap();
}

#[test]
fn a_bottle_that_cannot_be_saved_is_kept_and_named() {
    for code in [0, 3] {
        let home = home();
        break_store(&home);
        let output = run(&home, &format!("{CHANGE}; exit {code}"));
        assert_code(&output, if code == 0 { 125 } else { code });
        let run = home.names_in(".local/state/claude-bottle/bottles").remove(0);
        assert_says(
            &stderr(&output),
            &[
                "warning: the agent's work is not saved, and its bottle is kept: ",
                &format!("hint: save it when that is fixed: claude-bottle save {run}\n"),
                &format!("hint: give it up: claude-bottle discard {run}\n"),
            ],
        );
        assert_eq!((home.bottles().len(), phase(&home).as_str()), (1, "unsaved"));
        // Neither cleanup nor the watcher takes it away.
        let output = home.call(&["cleanup", "--yes"]);
        assert_code(&output, 0);
        assert_says(&stderr(&output), &["keep", "its work is not saved: claude-bottle save"]);
        let output = home.call(&["cleanup", "--yes", "--all"]);
        assert_says(&stderr(&output), &["lose what is not saved: claude-bottle discard"]);
        assert_eq!(home.bottles().len(), 1);
        mend_store(&home);
        assert_says(&stdout(&home.call(&["results"])), &["unsaved"]);
        let output = home.call(&["save", &run]);
        assert_code(&output, 0);
        assert_says(&stderr(&output), &["3 files changed"]);
        assert_saved(&home);
    }
}

#[test]
fn a_bottle_that_cannot_be_read_or_halted_is_kept() {
    for fault in ["error:export", "panic:export", "error:halt"] {
        let home = home();
        let output = start(&home, CHANGE).env("CLAUDE_BOTTLE_FAKE_FAULT", fault).output().unwrap();
        assert_code(&output, 125);
        assert_says(&stderr(&output), &["its bottle is kept"]);
        assert_eq!((home.bottles().len(), phase(&home).as_str()), (1, "unsaved"), "{fault}");
        let output = home.call(&["stop", "shell"]);
        assert_code(&output, 0);
        assert_saved(&home);
    }
}

#[test]
fn a_bottle_that_is_kept_is_given_up_when_the_user_says_so() {
    let home = home();
    break_store(&home);
    assert_code(&run(&home, CHANGE), 125);
    mend_store(&home);
    let mut terminal = Terminal::start(&home.command(&["cleanup", "--all"]));
    terminal.wait_for("[y/N]");
    terminal.type_keys("y\r");
    terminal.wait_for("lose it?");
    terminal.type_keys("n\r");
    terminal.ends_with(0);
    assert_eq!(home.bottles().len(), 1);
    let run = home.names_in(".local/state/claude-bottle/bottles").remove(0);
    let output = home.call(&["discard", &run]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["all that the agent changed", "add --yes to discard without asking"]);
    let output = home.call(&["discard", &run, "--yes"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &[&format!("discarded {run}")]);
    assert_eq!(phase(&home), "ended");
    home.assert_nothing_left();
    assert_eq!(results(&home), serde_json::json!([]));
}

#[test]
fn a_moment_of_a_bottle_that_runs_is_a_result_of_its_own() {
    let home = home();
    let run = live(&home);
    for n in 1..=2 {
        let output = home.call(&["save", "shell"]);
        assert_code(&output, 0);
        assert_says(&stderr(&output), &["3 files changed", &format!(".{n}\n")]);
    }
    assert_code(&run.end(), 0);
    assert_eq!(results(&home).as_array().unwrap().len(), 3);
    assert_code(&home.call(&["discard", "--all", "--yes"]), 0);
    assert_eq!(results(&home), serde_json::json!([]));
}

#[test]
fn results_are_listed_checked_and_discarded() {
    let home = home();
    assert_snapshot!(home.shown(&["results"]), @r"
    exit 0
    --- stderr
    there is no saved result of this directory
    ");
    run(&home, CHANGE);
    let run = assert_saved(&home);
    let listed = results(&home);
    let keys: Vec<_> = listed[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "added",
            "agent",
            "backend",
            "bottle",
            "bytes",
            "digest",
            "directory",
            "files",
            "marks",
            "name",
            "removed",
            "run",
            "saved_unix",
            "state"
        ]
    );
    assert_eq!((&listed[0]["state"], &listed[0]["files"]), (&"new".into(), &3.into()));
    let elsewhere = |arguments: &[&str]| home.command(arguments).current_dir(home.path()).output().unwrap();
    assert_eq!(stdout(&elsewhere(&["results"])), "");
    assert_says(&stdout(&elsewhere(&["results", "--all"])), &[&run, "shell", "new"]);
    let file = home.path().join(".local/state/claude-bottle/results").join(&run).join("files");
    let file = fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
    fs::write(file, "another").unwrap();
    let output = home.call(&["results", "verify"]);
    assert_code(&output, 1);
    assert_says(&stdout(&output), &["is not what was saved"]);
    assert_says(&stderr(&output), &[&format!("claude-bottle discard {run}")]);
    assert_code(&home.call(&["discard", "--all", "--older-than", "1", "--yes"]), 0);
    assert_eq!(results(&home).as_array().unwrap().len(), 1, "it is of today");
    assert_code(&home.call(&["discard", "shell"]), 1);
    assert_code(&home.call(&["discard", "shell", "--yes"]), 0);
    assert_eq!(results(&home), serde_json::json!([]));
    assert_code(&home.call(&["discard", "shell", "--yes"]), 1);
}

#[test]
fn a_run_without_a_copy_has_nothing_to_save() {
    let home = home();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let output = home.call(&["save", "shell"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["nothing of `fake-shell-", "claude-bottle start AGENT --cwd"]);
    let output = run.end();
    assert_code(&output, 0);
    assert!(!stderr(&output).contains("changed"));
}

#[test]
fn names_of_an_agents_drive_no_terminal_when_they_are_told_at_the_end() {
    let home = home();
    home.write("work/.gitignore", "");
    let hostile = "$(printf 'a\\033]52;c;aGk=\\007\\342\\200\\256')";
    let script = format!(
        "{CHANGE}; mkdir -p \"{hostile}/.git/x\" \"{hostile}b/.GIT\"; echo x >\"{hostile}b/.GIT/config\""
    );
    let output = run(&home, &script);
    assert_code(&output, 0);
    let run_id = results(&home)[0]["run"].as_str().unwrap().to_owned();
    let mut said = stderr(&output);
    assert_says(
        &said,
        &[r#"left behind: 2 names that a result does not carry ("a\033]52;c;aGk=\007\342\200\256/.git", …)"#],
    );
    for words in
        [&["results"][..], &["results", "--format", "json"], &["diff", "--left-out"], &["logs", &run_id]]
    {
        let output = home.call(words);
        said += &(stdout(&output) + &stderr(&output));
    }
    let bad = said.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t') || *c == '\u{202e}');
    assert_eq!(bad, None, "{said:?}");
}
