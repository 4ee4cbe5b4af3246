//! `config.yaml`: what holds where neither the command line nor the environment says otherwise.

use insta::assert_snapshot;

use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stderr, stdout};

fn home(config: &str) -> Home {
    let home = Home::new();
    home.write(".config/claude-bottle/config.yaml", config);
    home
}

#[test]
fn the_backend_of_the_defaults_is_used_unless_another_is_named() {
    let home = home("backend: nomad\n");
    let selected = |variable: &str, arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("CLAUDE_BOTTLE_BACKEND", variable);
        stderr(&command.output().unwrap())
    };
    // The variable wins over the file, and the flag over both; a variable that is empty is not set.
    assert_says(&selected("", &["start", "hello", "--dry-run"]), &["backend `nomad` not found"]);
    assert_says(&selected("fake", &["start", "hello", "--dry-run"]), &["backend    fake"]);
    assert_says(&selected("", &["start", "hello", "--dry-run", "--backend", "fake"]), &["backend    fake"]);
    let mut doctor = home.command(&["doctor", "--format", "json"]);
    let found = json(&doctor.env("CLAUDE_BOTTLE_BACKEND", "").output().unwrap());
    assert_eq!((&found[1]["backend"], &found[1]["selected"]), (&"nomad".into(), &true.into()));
}

#[test]
fn a_directory_of_the_users_own_is_looked_in() {
    let home = Home::new();
    home.write("elsewhere/claude-bottle/config.yaml", "yes: perhaps\n");
    let config = home.path().join("elsewhere");
    let output =
        home.call_with(&["start", "hello", "--dry-run"], &[("XDG_CONFIG_HOME", config.to_str().unwrap())]);
    assert_code(&output, 125);
    assert_says(
        &stderr(&output),
        &["~/elsewhere/claude-bottle/config.yaml:1:6: `yes` takes `true` or `false`"],
    );
}

#[test]
fn nothing_is_asked_where_the_defaults_say_so_unless_the_command_line_does() {
    let home = home("yes: true\n");
    let start = ["start", "hello", "--allow-unenforced-egress"];
    let output = home.call_as_given(&start);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "hello\n");
    // What needs a word of its own still does.
    assert_says(&stderr(&home.call_as_given(&["start", "hello"])), &["--allow-unenforced-egress"]);
    let output = home.call_as_given(&[&start[..], &["--ask"]].concat());
    assert_code(&output, 125);
    assert_says(&stderr(&output), &["cannot ask: standard input is not a terminal"]);
    assert_code(&home.call_as_given(&[&start[..], &["--ask", "--yes"]].concat()), 2);
    // It is about starting an agent and nothing else.
    home.write("work/claude-bottle.yaml", "bottles: { mine: {} }\n");
    assert_says(&stderr(&home.call(&["trust"])), &["cannot ask"]);
    let mut terminal = Terminal::start(&home.command_as_given(&[&start[..], &["--ask"]].concat()));
    terminal.wait_for("launch this agent?");
    terminal.type_keys("n\r");
    terminal.ends_with(0);
    home.assert_nothing_left();
}

#[test]
fn the_editor_of_the_defaults_is_used_where_the_environment_names_none() {
    let home = home("editor: sh -c 'echo \"# by the defaults\" >> \"$1\"' edit\n");
    assert_code(&home.call(&["edit"]), 0);
    let text = || std::fs::read_to_string(home.manifest()).unwrap();
    assert!(text().ends_with("# by the defaults\n"), "{}", text());
    assert_code(&home.call_with(&["edit"], &[("EDITOR", "true")]), 0);
    assert_eq!(text().matches("by the defaults").count(), 1);
}

#[test]
fn what_is_wrong_ends_what_goes_by_it_and_hides_no_bottle() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    home.write(".config/claude-bottle/config.yaml", "backend: fake\nyess: true\n");
    assert_snapshot!(home.shown(&["start", "hello", "--yes"]), @"
    exit 125
    --- stderr
    error: config.yaml cannot be used

    ~/.config/claude-bottle/config.yaml:2:1: unknown key `yess` in the defaults [unknown-key]
        2 | yess: true
          | ^^^^
        = did you mean `yes`?
        = known keys: backend, yes, editor, survive, detach_keys, notify, token
    ");
    let output = home.call(&["ps", "--format", "json"]);
    assert_code(&output, 0);
    assert_eq!(json(&output).as_array().unwrap().len(), 1);
    assert_says(
        &stderr(&output),
        &["warning: config.yaml is left out: ~/.config/claude-bottle/config.yaml:2:1: "],
    );
    for arguments in [&["stop", "shell"][..], &["logs"], &["list"], &["trust", "--help"], &["schema"]] {
        assert_code(&home.call(arguments), 0);
    }
    run.end();
    home.assert_nothing_left();
}
