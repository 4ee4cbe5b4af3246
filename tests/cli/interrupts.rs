//! Interrupts, insistence, and SIGKILL: the bottle is closed by the run, or by the process that watches it.

use std::fs;

use rustix::process::Signal;

use crate::support::{Home, Live, assert_code, assert_says, stderr, stdout};

/// Starts an agent whose verb goes on until it is cancelled, and waits until it is in there.
fn waiting_in(home: &Home, kind: &str, verb: &str) -> Live {
    let mut command = home.command(&["start", "hello", "--yes"]);
    command
        .env("CLAUDE_BOTTLE_FAKE_FAULT", format!("{kind}:{verb}"))
        .env("CLAUDE_BOTTLE_LOG", "plugin=debug");
    if verb == "close" {
        // The process that clears up calls it as well, and waits for its deadline.
        command.env("CLAUDE_BOTTLE_TEST_HASTE", "10");
    }
    let run = Live::start(&mut command);
    run.wait_for_stderr("fault injected");
    run
}

#[test]
fn an_interrupt_ends_each_verb_and_closes_the_bottle() {
    for verb in ["prepare", "launch", "provision", "exec"] {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let home = Home::new();
            let run = waiting_in(&home, "wait", verb);
            run.send(signal);
            let output = run.end();
            assert_code(&output, 130);
            assert_says(&stderr(&output), &["error: "]);
            home.assert_nothing_left();
        }
    }
}

#[test]
fn teardown_is_not_interrupted() {
    let home = Home::new();
    let mut command = home.command(&["start", "hello", "--yes"]);
    command.env("CLAUDE_BOTTLE_FAKE_FAULT", "wait:close").env("CLAUDE_BOTTLE_TEST_HASTE", "50");
    let run = Live::start(command.env("CLAUDE_BOTTLE_LOG", "plugin=debug"));
    run.wait_for_stderr("fault injected");
    run.send(Signal::INT);
    let output = run.end();
    // It is not cancelled, and so runs into its deadline; the agent had ended well.
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["removing the bottle takes long"]);
    home.wait_until_nothing_left();
}

#[test]
fn who_insists_gets_out_at_once_and_the_reaper_closes_the_bottle() {
    for verb in ["launch", "provision", "exec", "close"] {
        let home = Home::new();
        let run = waiting_in(&home, "hang", verb);
        // Three different ones, since two of a kind that are not yet delivered are one.
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            run.send(signal);
        }
        assert_code(&run.end(), 130);
        home.wait_until_nothing_left();
    }
}

#[test]
fn a_killed_run_is_reaped() {
    for verb in ["launch", "provision", "exec"] {
        let home = Home::new();
        let run = waiting_in(&home, "wait", verb);
        run.send(Signal::KILL);
        assert_eq!(run.end().status.code(), None);
        home.wait_until_nothing_left();
    }
}

#[test]
fn an_agent_is_fed_line_by_line() {
    let home = Home::new();
    let mut run =
        Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat; echo ended"]));
    run.wait_for_stdout("ready");
    run.feed("more\n");
    run.wait_for_stdout("more");
    let output = run.end();
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "ready\nmore\nended\n");
}

#[test]
fn the_record_of_a_run_tells_how_it_ended() {
    let home = Home::new();
    let run = waiting_in(&home, "wait", "launch");
    let records = home.names_in(".local/state/claude-bottle/bottles");
    let [id] = &records[..] else { panic!("{records:?}") };
    let phase = || {
        let text = fs::read_to_string(home.run_dir(id).join("record.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["phase"].clone()
    };
    assert_eq!(phase(), "creating");
    run.send(Signal::KILL);
    run.end();
    crate::support::live::wait_for_change(&[home.run_dir(id)], || phase() == "ended");
}
