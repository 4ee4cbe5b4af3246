//! A plug-in that is missing or refused does not hide its bottles.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout, tree};

/// A bottle that runs, of a plug-in in a directory of its own.
struct Running {
    home: Home,
    plugin: PathBuf,
    run: Live,
    id: String,
}

impl Running {
    fn start() -> Self {
        let home = Home::new();
        let mut start = home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]);
        let plugins = home.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        // Under another name than that of the tree, so that nothing stands in for it.
        let plugin = plugins.join("claude-bottle-backend-fake.so");
        fs::copy(tree::plugin(), &plugin).unwrap();
        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let run = Live::start(start.env("CLAUDE_BOTTLE_PLUGIN_PATH", &plugins));
        run.wait_for_stdout("ready");
        let id = home.names_in(".local/state/claude-bottle/bottles").remove(0);
        Self { home, plugin, run, id }
    }

    fn call(&self, arguments: &[&str]) -> std::process::Output {
        let plugins = self.plugin.parent().unwrap().to_str().unwrap().to_owned();
        self.home.call_with(
            arguments,
            &[("CLAUDE_BOTTLE_PLUGIN_PATH", &plugins), ("CLAUDE_BOTTLE_BACKEND", "docker")],
        )
    }
}

#[test]
fn a_backend_that_was_never_used_is_not_spoken_of_unless_asked() {
    let home = Home::new();
    let list = |more: &[&str]| {
        let settings =
            [("CLAUDE_BOTTLE_FAKE_FAULT", "error:list_active"), ("CLAUDE_BOTTLE_BACKEND", "docker")];
        home.call_with(&[more, &["list", "active"]].concat(), &settings)
    };
    let quiet = list(&[]);
    assert_code(&quiet, 0);
    assert_eq!(stderr(&quiet), "no bottle is running\n");
    let told = list(&["-v"]);
    assert_code(&told, 0);
    assert_says(&stderr(&told), &["fake", "cannot be asked", "a fault was asked for"]);
}

#[test]
fn a_refused_plugin_hides_no_bottle() {
    let running = Running::start();
    // What is loaded stays loaded: a new file takes its place.
    fs::remove_file(&running.plugin).unwrap();
    fs::write(&running.plugin, "no library").unwrap();
    let told = format!("error: backend `fake` of run `{}` cannot be asked", running.id);
    let why = running.plugin.display().to_string();
    for (arguments, code) in [
        (&["list", "active"][..], 1),
        (&["list", "active", "--format", "json"], 1),
        (&["stop", "shell"], 1),
        (&["exec", "shell", "--", "true"], 125),
        (&["cleanup", "--dry-run"], 1),
        (&["cleanup", "--yes"], 1),
        (&["logs"], 1),
        (&["logs", "shell"], 1),
    ] {
        let output = running.call(arguments);
        assert_code(&output, code);
        assert_says(&stderr(&output), &[&told, &why]);
        assert!(!stderr(&output).contains("nothing is left over"), "{}", stderr(&output));
    }
    assert_eq!(json(&running.call(&["list", "active", "--format", "json"])), serde_json::json!([]));
    assert_says(&stdout(&running.call(&["logs", "shell"])), &["phase     running"]);
    // It is back: its bottle is found, and nothing is wrong any more.
    fs::remove_file(&running.plugin).unwrap();
    fs::copy(tree::plugin(), &running.plugin).unwrap();
    assert_says(&stdout(&running.call(&["list", "active"])), &["fake-shell-"]);
    assert_code(&running.call(&["stop", "shell"]), 0);
    let Running { home, run, .. } = running;
    run.end();
    assert_code(&home.call(&["logs"]), 0);
}

#[test]
fn a_run_that_has_ended_needs_no_plugin() {
    let home = Home::new();
    assert_code(&home.call(&["start", "hello", "--yes"]), 0);
    let record = home.run_dir(&home.names_in(".local/state/claude-bottle/bottles")[0]).join("record.json");
    let text = fs::read_to_string(&record).unwrap().replace("\"fake\"", "\"gone\"");
    fs::write(&record, text).unwrap();
    for arguments in [&["list", "active"][..], &["cleanup", "--yes"], &["logs"], &["logs", "hello"]] {
        assert_code(&home.call(arguments), 0);
    }
}

#[test]
fn a_missing_plugin_of_a_run_that_was_killed_is_written_down_and_asked_for() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let id = home.names_in(".local/state/claude-bottle/bottles").remove(0);
    // As if the run had been of a plug-in that is not installed any more.
    let record = home.run_dir(&id).join("record.json");
    let text = fs::read_to_string(&record).unwrap().replace("\"backend\": \"fake\"", "\"backend\": \"gone\"");
    fs::write(&record, text).unwrap();
    run.send(Signal::KILL);
    let log = home.run_dir(&id).join("reaper.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_for_change(&[home.run_dir(&id)], || said().contains("backend `gone` not found"));
    let output = home.call(&["cleanup", "--dry-run"]);
    assert_code(&output, 1);
    let forget = format!("rm -r {}", home.run_dir(&id).display());
    assert_says(&stderr(&output), &["backend `gone` of run", "backend `gone` not found", &forget]);
}
