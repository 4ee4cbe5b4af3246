//! Rules that are written into the manifest, and rules that end by themselves.

use std::fs;

use serde_json::Value;

use crate::support::terminal::Terminal;
use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout};

const MANIFEST: &str = "\
# mine
bottles:
  dev:
    egress:
      allowlist: # what it needs
        - github.com  # the forge
        - deny gist.github.com
agents:
  shell: {bottle: dev, command: [sh, -c]}
";

fn running(home: &Home) -> Live {
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    run
}

fn manifest(home: &Home) -> String {
    fs::read_to_string(home.manifest()).unwrap()
}

/// Returns [`MANIFEST`] with lines behind the allowlist.
fn with_rules(rules: &str) -> String {
    let last = "        - deny gist.github.com\n";
    MANIFEST.replace(last, &format!("{last}{rules}"))
}

#[test]
fn a_rule_is_saved_for_new_bottles_and_counts_in_the_one_that_runs() {
    let home = Home::with(MANIFEST);
    let run = running(&home);
    let output = home.call(&["policy", "allow", "shell", "pypi.org", "*.cdn.test:8443", "--save"]);
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &["may reach pypi.org, *.cdn.test:8443 from now on", "saved ", "claude-bottle.yaml"],
    );
    let rules = "        - pypi.org\n        - \"*.cdn.test:8443\"\n";
    assert_eq!(manifest(&home), with_rules(rules));
    let shown = home.call(&["policy", "show", "shell"]);
    assert!(!stderr(&shown).contains("differs"), "{}", stderr(&shown));
    let again = home.call(&["policy", "allow", "shell", "pypi.org", "--save"]);
    assert_says(&stderr(&again), &["already; nothing was changed", "the manifest says so already"]);
    assert_code(&home.call(&["policy", "deny", "shell", "github.com", "--save"]), 0);
    assert_eq!(manifest(&home), with_rules(&format!("{rules}        - deny github.com\n")));
    // What that denies is allowed by no other line, and nothing of it is sent or written.
    let output = home.call(&["policy", "allow", "shell", "github.com", "--save"]);
    assert_code(&output, 1);
    assert_says(
        &stderr(&output),
        &["`github.com` stays refused: the rule `deny github.com` (bottle dev, ~/claude-bottle.yaml:10)"],
    );
    assert_code(&home.call(&["policy", "check", "shell", "github.com"]), 1);
    assert_code(&run.end(), 0);
    // A new bottle has them.
    for (host, code) in [("pypi.org", 0), ("x.cdn.test:8443", 0), ("github.com", 1)] {
        assert_code(&home.call(&["policy", "check", "shell", host]), code);
    }
}

#[test]
fn without_a_bottle_the_manifest_alone_is_changed_and_that_of_the_project_where_it_defines_the_bottle() {
    let home = Home::with(MANIFEST);
    let output = home.call(&["policy", "allow", "shell", "pypi.org", "--save"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["no bottle of `shell` is running; it counts for the next"]);
    assert_eq!(manifest(&home), with_rules("        - pypi.org\n"));
    let project = "bottles: {here: {egress: {allowlist: [a.test]}}}\nagents: {shell: {bottle: here, command: [sh, -c]}}\n";
    home.write("work/claude-bottle.yaml", project);
    assert_code(&home.call(&["trust", "--yes"]), 0);
    let before = manifest(&home);
    let output = home.call(&["policy", "allow", "shell", "b.test", "--save"]);
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &["hint: its bottles count once you trust what it says now: claude-bottle trust"],
    );
    let changed = fs::read_to_string(home.work().join("claude-bottle.yaml")).unwrap();
    assert_eq!(changed, project.replace("[a.test]", "[a.test, b.test]"));
    assert_eq!(manifest(&home), before);
}

#[test]
fn where_no_line_can_be_put_in_nothing_is_sent_and_the_line_is_named() {
    let home =
        Home::with("bottles:\n  dev: {env: {A: b}}\nagents:\n  shell: {bottle: dev, command: [sh, -c]}\n");
    let run = running(&home);
    let before = manifest(&home);
    let output = home.call(&["policy", "allow", "shell", "pypi.org", "--save"]);
    assert_code(&output, 1);
    assert_says(
        &stderr(&output),
        &[
            "cannot change `",
            "caused by: cannot add to the allowlist in line 2 without changing how it is laid out",
            "hint: add pypi.org to `egress.allowlist` by hand: claude-bottle edit",
        ],
    );
    assert_eq!(manifest(&home), before);
    assert_code(&home.call(&["policy", "check", "shell", "pypi.org"]), 1);
    assert_code(&run.end(), 0);
}

#[test]
fn a_grant_has_an_end_that_is_said_and_shown() {
    let home = Home::with(MANIFEST);
    let run = running(&home);
    let output = home.call(&["policy", "allow", "shell", "pypi.org", "--for", "2h"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["may reach pypi.org until 2"]);
    let view = json(&home.call(&["policy", "show", "shell", "--format", "json"]));
    let rule = view["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "pypi.org").unwrap();
    assert!(rule["until"].as_u64().unwrap() > 1_700_000_000, "{rule}");
    assert_says(
        &stdout(&home.call(&["policy", "show", "shell"])),
        &["pypi.org until 2", "added `pypi.org until 2"],
    );
    assert_code(&home.call(&["policy", "check", "shell", "pypi.org"]), 0);
    // As if two hours had passed.
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    let file = home.run_dir(&runs[0]).join("policy.json");
    let mut live: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for rule in live["policy"]["rules"].as_array_mut().unwrap() {
        if rule["rule"] == "pypi.org" {
            rule["until"] = 1.into();
        }
    }
    fs::write(&file, live.to_string()).unwrap();
    assert_code(&home.call(&["policy", "check", "shell", "pypi.org"]), 1);
    assert!(!stdout(&home.call(&["policy", "show", "shell"])).contains("pypi.org until 1970"));
    for wrong in ["soon", "0h", "2"] {
        let output = home.call(&["policy", "allow", "shell", "pypi.org", "--for", wrong]);
        assert_code(&output, 2);
        assert_says(&stderr(&output), &["is not a valid length of time", "hint: write it as 30m or 2h"]);
    }
    // What ends is not for a manifest.
    assert_code(&home.call(&["policy", "allow", "shell", "pypi.org", "--for", "2h", "--save"]), 2);
    assert_code(&run.end(), 0);
}

/// Leaves a run that was refused two hosts.
fn refused(home: &Home) {
    let run = running(home);
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    let line = |host: &str| {
        format!(
            r#"{{"time":"2026-01-02T03:04:05.678Z","event":"request","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"{host}","port":443,"verdict":"deny","code":"not_in_allowlist","reason":"r","bytes_up":0,"bytes_down":0,"duration_ms":0}}"#
        ) + "\n"
    };
    let log = [line("pypi.org"), line("evil.test"), line("pypi.org")].concat();
    fs::write(home.run_dir(&runs[0]).join("egress.jsonl"), log).unwrap();
    assert_code(&run.end(), 0);
}

#[test]
fn what_was_refused_is_saved_when_it_is_picked() {
    let home = Home::with(MANIFEST);
    refused(&home);
    let output = home.call(&["policy", "suggest", "shell", "--save"]);
    assert_code(&output, 2);
    assert_says(
        &stderr(&output),
        &["asks of each rule, and standard input is not a terminal", "suggest shell RULE --save"],
    );
    let output = home.call(&["policy", "suggest", "shell", "other.test", "--save"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["`other.test` is not a rule that was suggested"]);
    assert_eq!(manifest(&home), MANIFEST);
    assert_code(&home.call(&["policy", "suggest", "shell", "pypi.org", "--save"]), 0);
    assert_eq!(manifest(&home), with_rules("        - pypi.org\n"));
    assert_eq!(
        stdout(&home.call(&["policy", "suggest", "shell"])),
        "egress:\n  allowlist:\n    - evil.test  # 1 request\n"
    );
}

#[test]
fn each_is_asked_of_on_a_terminal() {
    let home = Home::with(MANIFEST);
    refused(&home);
    let mut terminal = Terminal::start(&home.command(&["policy", "suggest", "shell", "--save"]));
    terminal.wait_for("allow pypi.org (2 requests)? [y/N]");
    terminal.type_keys("y\r");
    terminal.wait_for("allow evil.test (1 request)? [y/N]");
    terminal.type_keys("\r");
    terminal.ends_with(0);
    assert_eq!(manifest(&home), with_rules("        - pypi.org\n"));
}
