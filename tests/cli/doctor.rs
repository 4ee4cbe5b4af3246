//! `doctor`: what a start needs and does not find is told with what to do.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, stdout};

/// Claude Code, which the fake backend never looks for.
const CLAUDE: &str =
    "bottles:\n  dev: {}\nagents:\n  a: { bottle: dev }\n  b: { bottle: dev, command: [echo] }\n";

fn said(home: &Home, env: &[(&str, &str)], code: i32) -> String {
    let output = home.call_with(&["doctor"], env);
    assert_code(&output, code);
    home.filtered(&stdout(&output))
}

#[test]
fn without_a_manifest_nothing_can_be_started() {
    let home = Home::empty();
    assert_snapshot!(home.shown(&["doctor"]), @"
    exit 1
    --- stdout
    fake (selected): usable, with warnings
      warning: the fake backend isolates nothing; it is for tests
    manifest: there is none
      fix: claude-bottle init
    disk: ok: [SIZE] free at `[DIR]`
    ");
    let home = Home::with("agents: {}\n");
    assert_says(
        &said(&home, &[], 1),
        &["manifest: ~/claude-bottle.yaml defines no agent\n  fix: claude-bottle init"],
    );
    let home = Home::with("bottles: { dev: { egres: {} } }\n");
    let told = "manifest: ~/claude-bottle.yaml:1:19: unknown key `egres` in bottle `dev` [unknown-key]\n  fix: claude-bottle edit";
    assert_says(&said(&home, &[], 1), &[told]);
}

#[test]
fn a_missing_token_is_a_warning_for_claude_code_alone() {
    let home = Home::with(CLAUDE);
    let missing = "token: warning: none for a: Claude Code asks for a login in each bottle, and with --print it fails\n  \
                   fix: claude setup-token, then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN";
    assert_says(&said(&home, &[], 0), &[missing]);
    let there = "token: ok: every agent that runs Claude Code has one";
    let token = [("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-of-doctor")];
    let with_token = said(&home, &token, 0);
    assert_says(&with_token, &[there]);
    assert!(!with_token.contains("canary"), "{with_token}");
    let granted = CLAUDE.replace("dev: {}", "dev: { env: { ANTHROPIC_API_KEY: '?' } }");
    assert_says(&said(&Home::with(&granted), &[], 0), &[there]);
    assert!(!said(&Home::new(), &[], 0).contains("token"), "no agent of these runs Claude Code");
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_its_variable() {
    let home = Home::new();
    let gone = home.path().join("gone");
    let gone = gone.to_str().unwrap();
    let told = format!("disk: `{gone}` (TMPDIR) does not exist\n  fix: mkdir -p {gone}, or: unset TMPDIR");
    assert_says(&stdout(&home.call_with(&["doctor"], &[("TMPDIR", gone)])), &[&told]);
    let file = home.write("file", "");
    let state = file.join("state");
    let output = home.call_with(&["doctor"], &[("XDG_STATE_HOME", state.to_str().unwrap())]);
    assert_code(&output, 1);
    let fix = "  fix: name another directory: export XDG_STATE_HOME=DIR";
    assert_says(&stdout(&output), &["cannot be made: ", "is not a directory", fix]);
}

#[test]
fn the_keys_of_a_check_are_a_contract() {
    let home = Home::with(CLAUDE);
    let found = json(&home.call(&["doctor", "--format", "json"]));
    let checks = found[0]["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["manifest", "token", "disk"]);
    assert_eq!(checks[1]["state"], "warning");
    assert!(checks[1]["fix"].as_str().unwrap().starts_with("claude setup-token"));
}
