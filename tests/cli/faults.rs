//! A bad plug-in: it fails, panics or hangs in one verb after the other. The host stays up and tears down.

use insta::assert_snapshot;

use crate::support::{Home, Live, assert_code, assert_says, json, stderr, stdout};

const VERBS: [&str; 5] = ["prepare", "launch", "provision", "exec", "close"];

#[test]
fn an_error_in_each_verb_of_a_run() {
    for verb in VERBS {
        let home = Home::new();
        let fault = format!("error:{verb}");
        let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", &fault)]);
        assert_code(&output, 125);
        assert_says(&stderr(&output), &[&format!("error: a fault was asked for in `{verb}`")]);
        clean_up_after(&home, verb);
    }
}

#[test]
fn a_panic_in_each_verb_of_a_run() {
    for verb in VERBS {
        let home = Home::new();
        let fault = format!("panic:{verb}");
        let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", &fault)]);
        assert_code(&output, 125);
        assert_says(&stderr(&output), &["error: ", "panicked", verb]);
        clean_up_after(&home, verb);
    }
}

/// A bottle that could not be closed is left to the reaper; every other is gone when the command ends.
fn clean_up_after(home: &Home, verb: &str) {
    if verb == "close" {
        home.wait_until_nothing_left();
    } else {
        home.assert_nothing_left();
    }
}

#[test]
fn an_error_in_provision_as_it_is_told() {
    let shown = Home::new()
        .shown_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", "error:provision")]);
    assert_snapshot!(shown, @"
    exit 125
    --- stderr
      agent      hello: echo hello; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      prompt: 29 characters, not passed to `echo`; env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    error: a fault was asked for in `provision`
    ");
}

#[test]
fn an_error_in_close_as_it_is_told() {
    let shown =
        Home::new().shown_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", "error:close")]);
    assert_snapshot!(shown, @"
    exit 125
    --- stdout
    hello
    --- stderr
      agent      hello: echo hello; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      prompt: 29 characters, not passed to `echo`; env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    error: a fault was asked for in `close`
    ");
}

#[test]
fn a_panic_as_it_is_told() {
    let shown =
        Home::new().shown_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", "panic:launch")]);
    assert_snapshot!(shown, @"
    exit 125
    --- stderr
      agent      hello: echo hello; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      prompt: 29 characters, not passed to `echo`; env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    error: backend `fake` panicked in `launch`
      caused by: a fault was asked for in `launch` (at plugins/fake/src/fault.rs:38)
    ");
}

#[test]
fn a_setting_that_the_backend_refuses() {
    let shown =
        Home::new().shown_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", "explode")]);
    assert_snapshot!(shown, @"
    exit 125
    --- stderr
    error: setting FAKE_FAULT is `explode`

    hint: use panic:VERB, error:VERB, hang:VERB, wait:VERB or print:VERB
    ");
}

#[test]
fn faults_in_the_verbs_of_other_commands() {
    let home = Home::new();
    for (arguments, verb) in [
        (&["list", "active"][..], "list_active"),
        (&["exec", "hello", "--", "true"], "list_active"),
        (&["stop", "hello"], "list_active"),
        (&["cleanup", "--yes"], "prepare_cleanup"),
        (&["cleanup", "--yes"], "probe"),
        (&["doctor"], "probe"),
    ] {
        for kind in ["error", "panic"] {
            let fault = format!("{kind}:{verb}");
            let output = home.call_with(arguments, &[("CLAUDE_BOTTLE_FAKE_FAULT", &fault)]);
            assert_code(&output, if arguments[0] == "exec" { 125 } else { 1 });
            let said = stderr(&output) + &stdout(&output);
            assert_says(&said, &[verb]);
        }
    }
}

#[test]
fn a_verb_that_never_returns_is_given_up_on() {
    let home = Home::new();
    let env = [("CLAUDE_BOTTLE_FAKE_FAULT", "hang:prepare"), ("CLAUDE_BOTTLE_TEST_HASTE", "500")];
    let output = home.call_with(&["start", "hello", "--yes"], &env);
    assert_code(&output, 125);
    let told = "error: backend `fake` did not return in time from `prepare`";
    assert_says(&stderr(&output), &[told, "hint: see what it left behind: claude-bottle cleanup --dry-run"]);
    home.wait_until_nothing_left();
}

/// The agent has done its work: its code counts, and the process that watches the run goes on with the removal.
#[test]
fn a_slow_removal_changes_nothing_about_the_agents_exit_code() {
    for code in ["0", "7"] {
        let home = Home::new();
        let env = [("CLAUDE_BOTTLE_FAKE_FAULT", "hang:close"), ("CLAUDE_BOTTLE_TEST_HASTE", "50")];
        let output = home.call_with(&["start", "shell", "--yes", "--", &format!("exit {code}")], &env);
        assert_code(&output, code.parse().unwrap());
        let told = "warning: removing the bottle takes long; another process goes on with it";
        let hint = "hint: see whether anything is left of it: claude-bottle cleanup --dry-run";
        assert_says(&stderr(&output), &[told, hint]);
        home.wait_until_nothing_left();
    }
}

#[test]
fn doctor_gives_up_on_a_probe_that_hangs() {
    let env = [("CLAUDE_BOTTLE_FAKE_FAULT", "hang:probe"), ("CLAUDE_BOTTLE_TEST_HASTE", "50")];
    assert_snapshot!(Home::new().shown_with(&["doctor"], &env), @"
    exit 1
    --- stdout
    fake (selected): not usable
      reason: backend `fake` did not return in time from `probe`
      fix: see what it left behind: claude-bottle cleanup --dry-run
    manifest: ok: ~/claude-bottle.yaml with hello, shell
    disk: ok: [SIZE] free at `[DIR]`
    ");
}

#[test]
fn a_verb_that_ignores_an_interrupt_is_given_up_on() {
    for verb in ["launch", "provision", "exec"] {
        let home = Home::new();
        let mut command = home.command(&["start", "hello", "--yes"]);
        command.env("CLAUDE_BOTTLE_FAKE_FAULT", format!("hang:{verb}")).env("CLAUDE_BOTTLE_TEST_HASTE", "50");
        let run = Live::start(command.env("CLAUDE_BOTTLE_LOG", "plugin=debug"));
        run.wait_for_stderr("fault injected");
        run.send(rustix::process::Signal::INT);
        let output = run.end();
        assert_code(&output, 125);
        assert_says(&stderr(&output), &[&format!("did not return in time from `{verb}`")]);
        home.wait_until_nothing_left();
    }
}

/// Standard output belongs to the agent and to data; what a plug-in prints there comes out on standard error.
#[test]
fn what_a_plugin_prints_is_kept_out_of_the_output() {
    for verb in VERBS {
        let home = Home::new();
        let fault = format!("print:{verb}");
        let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_FAKE_FAULT", &fault)]);
        assert_code(&output, 0);
        assert_eq!(stdout(&output), "hello\n", "{verb}");
        assert_says(&stderr(&output), &["printed by the fake backend\n"]);
    }
    for (arguments, verb) in [
        (&["list", "active", "--format", "json"][..], "list_active"),
        (&["cleanup", "--dry-run", "--format", "json"], "prepare_cleanup"),
        (&["doctor", "--format", "json"], "probe"),
        (&["start", "hello", "--dry-run", "--format", "json"], "prepare"),
    ] {
        let fault = format!("print:{verb}");
        let output = Home::new().call_with(arguments, &[("CLAUDE_BOTTLE_FAKE_FAULT", &fault)]);
        assert_code(&output, 0);
        json(&output);
        assert_says(&stderr(&output), &["printed by the fake backend\n"]);
    }
}
