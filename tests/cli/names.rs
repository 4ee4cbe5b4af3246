//! A bottle's own name, which every command takes, and the other names of commands.

use insta::assert_snapshot;

use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout};

/// Starts an agent that runs until its standard input is closed, in a bottle of this name.
fn running(home: &Home, name: &str) -> Live {
    let arguments = ["start", "shell", "--yes", "--name", name, "--", "echo ready; cat"];
    let run = Live::start(&mut home.command(&arguments));
    run.wait_for_stdout("ready");
    run
}

#[test]
fn every_command_that_takes_a_bottle_takes_its_name() {
    let home = Home::new();
    let run = running(&home, "parser");
    let listed = json(&home.call(&["list", "active", "--format", "json"]));
    assert_eq!((&listed[0]["name"], &listed[0]["agent"]), (&"parser".into(), &"shell".into()));
    let backend_name = listed[0]["backend_name"].as_str().unwrap();
    for bottle in ["parser", backend_name, "shell"] {
        assert_eq!(stdout(&home.call(&["exec", bottle, "--", "echo", "inside"])), "inside\n", "{bottle}");
    }
    let answer = json(&home.call(&["policy", "check", "parser", "github.com", "--format", "json"]));
    assert_eq!(answer["running"], "parser");
    assert_says(&stdout(&home.call(&["logs", "parser"])), &["name      parser\n", "phase     running"]);
    assert_snapshot!(home.shown(&["stop", "parser"]), @"
    exit 0
    --- stderr
    closed parser
    ");
    assert_code(&run.end(), 0);
    assert_says(&stdout(&home.call(&["logs", "parser"])), &["phase     ended"]);
}

#[test]
fn a_result_is_found_by_the_bottles_name() {
    let home = Home::new();
    let start = ["start", "shell", "--yes", "--cwd", "--name", "parser", "--", "echo one > made"];
    assert_code(&home.call(&start), 0);
    assert_eq!(json(&home.call(&["results", "--format", "json"]))[0]["name"], "parser");
    assert_says(&stdout(&home.call(&["diff", "parser"])), &["+one"]);
    assert_code(&home.call(&["apply", "parser", "--yes"]), 0);
    assert_eq!(std::fs::read_to_string(home.work().join("made")).unwrap(), "one\n");
    let go_on = ["resume", "parser", "--yes", "--name", "lexer", "--", "cat made; echo two > made"];
    assert_says(&stdout(&home.call(&go_on)), &["one\n"]);
    assert_says(&stdout(&home.call(&["diff", "lexer"])), &["+two"]);
    assert_snapshot!(home.shown(&["rm", "parser"]), @"
    exit 1
    --- stderr
    error: there is no bottle `parser`; none is running

    hint: claude-bottle list active
    hint: what it changed is saved; to delete that: claude-bottle discard parser
    ");
    assert_code(&home.call(&["discard", "parser", "lexer", "--yes"]), 0);
    assert_eq!(json(&home.call(&["results", "--all", "--format", "json"])), serde_json::json!([]));
}

#[test]
fn a_name_that_is_taken_or_not_valid_is_refused_before_anything_is_made() {
    let home = Home::new();
    let run = running(&home, "parser");
    let listed = json(&home.call(&["list", "active", "--format", "json"]));
    let id = listed[0]["id"].as_str().unwrap();
    let start = |name: &str| home.shown(&["start", "hello", "--yes", "--name", name]);
    assert_snapshot!(start("parser"), @"
    exit 125
    --- stderr
    error: the name `parser` is taken by a bottle of `shell` that is running

    hint: stop it: claude-bottle stop parser
    ");
    assert_snapshot!(start("My Parser"), @"
    exit 2
    --- stderr
    error: `My Parser` is not a valid name of a bottle: a name has lower-case letters, digits and hyphens, and does not begin with a hyphen

    hint: use --name my-parser
    ");
    assert_snapshot!(start("shell"), @"
    exit 125
    --- stderr
    error: `shell` is the name of an agent, which stands for its bottles already

    hint: choose another name: --name NAME
    ");
    assert_snapshot!(start(id), @"
    exit 125
    --- stderr
    error: `parser-[ID]` stands for an earlier run already

    hint: see the runs there were: claude-bottle logs
    ");
    let backend_name = listed[0]["backend_name"].as_str().unwrap();
    assert_says(&start(backend_name), &["is taken by a bottle of `shell`"]);
    // A dry run says it too.
    assert_code(&home.call(&["start", "hello", "--dry-run", "--name", "parser"]), 125);
    assert_eq!(home.bottles().len(), 1);
    assert_eq!(json(&home.call(&["logs", "--format", "json"])).as_array().unwrap().len(), 1);
    assert_code(&run.end(), 0);
    assert_code(&home.call(&["start", "hello", "--yes", "--name", "parser"]), 0);
}

#[test]
fn the_plan_says_the_name() {
    let home = Home::new();
    let output = home.call(&["start", "hello", "--dry-run", "--name", "parser"]);
    assert_says(&stderr(&output), &["name       parser\n"]);
    let plan = json(&home.call(&["start", "hello", "--dry-run", "--name", "parser", "--format", "json"]));
    assert_eq!(plan["name"], "parser");
}

#[test]
fn commands_have_the_names_that_fingers_know() {
    let home = Home::new();
    let output = home.call_as_given(&["run", "hello", "--yes", "--allow-unenforced-egress", "-q"]);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "hello\n");
    assert_eq!(stdout(&home.call(&["ls"])), stdout(&home.call(&["list"])));
    let run = running(&home, "parser");
    let (ps, active) = (home.shown(&["ps"]), home.shown(&["list", "active"]));
    assert_eq!(ps, active);
    assert_eq!(
        home.call(&["ps", "--format", "json"]).stdout,
        home.call(&["ls", "active", "--format", "json"]).stdout
    );
    assert_code(&home.call(&["rm", "parser"]), 0);
    assert_code(&run.end(), 0);
    home.assert_nothing_left();
}
