//! The user's token where no guard can hold it, and where it is taken from.
//!
//! The fake backend opens no tunnels, so its bottles always read it. What a guard does with it: `tests/e2e/intercept/token.rs`.

use crate::support::{Home, assert_code, assert_says, json, stderr, stdout};

const CANARY: &str = "canary-of-the-users-token";
const TOKEN: (&str, &str) = ("CLAUDE_BOTTLE_OAUTH_TOKEN", CANARY);

/// Makes a home whose agent prints the variable, in a bottle with more.
fn home(bottle: &str) -> Home {
    Home::with(&format!(
        "bottles: {{ dev: {{ {bottle} }} }}\nagents: {{ a: {{ bottle: dev, command: [printenv, CLAUDE_CODE_OAUTH_TOKEN] }} }}\n"
    ))
}

#[test]
fn where_the_guard_cannot_hold_the_token_the_plan_says_that_it_is_readable_and_why() {
    let closed = "it is put in within HTTPS, and `intercept: none` leaves that closed";
    let unable = "the fake backend makes no bottle trust the guard within HTTPS";
    for (bottle, reason) in [("env: { A: b }", unable), ("egress: { intercept: none }", closed)] {
        let home = home(bottle);
        let said = stderr(&home.call_with(&["start", "a", "--dry-run"], &[TOKEN]));
        let note = format!("note: the agent can read CLAUDE_CODE_OAUTH_TOKEN: {reason}\n");
        assert_says(&said, &["readable by the agent: CLAUDE_CODE_OAUTH_TOKEN", &note]);
        assert!(!said.contains(CANARY), "{said}");
        let view = json(&home.call_with(&["start", "a", "--dry-run", "--format", "json"], &[TOKEN]));
        assert_eq!(view["env_exposed"], serde_json::json!(["CLAUDE_CODE_OAUTH_TOKEN"]));
        assert!(view.get("secrets").is_none());
        assert_eq!(stdout(&home.call_with(&["start", "a", "--yes"], &[TOKEN])).trim(), CANARY);
    }
}

#[test]
fn the_token_can_be_kept_by_a_command_or_a_file_and_the_environment_wins() {
    let home = home("");
    for from in ["command: [sh, -c, 'touch ran; cat token.txt']", "file: ~/token.txt"] {
        home.write("token.txt", &format!("{CANARY}\n"));
        home.write(".config/claude-bottle/config.yaml", &format!("token: {{ from: {{ {from} }} }}\n"));
        let ran = home.path().join("ran");
        let plan = home.call(&["start", "a", "--dry-run"]);
        assert_code(&plan, 0);
        assert!(!ran.exists(), "a look runs nothing");
        let output = home.call(&["start", "a", "--yes"]);
        assert_eq!(stdout(&output).trim(), CANARY, "{}", stderr(&output));
        assert_eq!(ran.exists(), from.contains("command"));
        std::fs::remove_file(ran).ok();
        let other = ("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-of-the-environment");
        let output = home.call_with(&["start", "a", "--yes"], &[other]);
        assert_eq!(stdout(&output).trim(), other.1);
        assert!(!home.path().join("ran").exists());
    }
}

#[test]
fn a_token_that_cannot_be_taken_ends_the_start_and_names_where_it_is_said() {
    let home = home("");
    home.write(
        ".config/claude-bottle/config.yaml",
        "yes: false\ntoken: { from: { command: [sh, -c, 'echo canary; exit 3'] } }\n",
    );
    let output = home.call(&["start", "a", "--yes"]);
    assert_code(&output, 125);
    let said = stderr(&output);
    let told = "error: ~/.config/claude-bottle/config.yaml:2: cannot take the value of the secret `CLAUDE_CODE_OAUTH_TOKEN`";
    assert_says(&said, &[told, "`sh` failed with exit status: 3"]);
    let short = home.call_with(&["start", "a", "--yes"], &[("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary")]);
    assert_says(&stderr(&short), &["error: CLAUDE_BOTTLE_OAUTH_TOKEN: cannot take the value of"]);
    home.assert_nothing_left();
}

#[test]
fn an_agent_with_a_token_in_the_defaults_is_not_said_to_have_none() {
    let home = Home::with("bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n");
    home.write(".config/claude-bottle/config.yaml", "token: { from: { command: [pass, show, claude] } }\n");
    let plan = stderr(&home.call(&["start", "a", "--dry-run"]));
    assert!(plan.contains("fake-a-") && !plan.contains("no token"), "{plan}");
    assert_says(&stdout(&home.call(&["doctor"])), &["token: ok: every agent that runs Claude Code has one"]);
    let shown = stdout(&home.call(&["info", "a"]));
    assert_says(
        &shown,
        &["CLAUDE_CODE_OAUTH_TOKEN", "the command [\"pass\", \"show\", \"claude\"], run on this machine"],
    );
    assert_says(&shown, &["api.anthropic.com (bearer)", "~/.config/claude-bottle/config.yaml:1"]);
}
