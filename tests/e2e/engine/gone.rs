//! An engine that goes away in the middle: it is named, nothing hangs, and what it kept is cleaned up when it is back.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::frozen::{AT_ONCE, Frozen};
use super::{engine, home};
use crate::egress::session::Session;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine};
use crate::support::screen::Screen;
use crate::support::{assert_code, run};

/// Fails unless `cleanup` removes all that is there; nothing may have begun to run again by itself. What ran when the engine
/// was killed, that ends when it is back, which may take longer than it takes to answer.
#[track_caller]
fn assert_cleaned_up(engine: &PrivateEngine, home: &Home, agent: &str) {
    let shown = "--format={{.Actor.Attributes.name}}";
    let started = engine.docker(&["events", "--since=1h", "--until=0s", "--filter=event=start", shown]);
    assert_eq!(started, "", "something runs again: {}", engine.docker(&["ps", "--all"]));
    let output = run(&mut home.command(&["cleanup", "--yes"]));
    assert_code(&output, 0);
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}

/// Fails unless a program has said that the engine is gone, and how what it left is removed.
#[track_caller]
fn assert_told(said: &str) {
    assert!(said.contains("the engine went away: "), "{said}");
    assert!(said.contains("claude-bottle cleanup"), "{said}");
    assert!(!said.contains("hyper"), "{said}");
}

#[test]
fn an_engine_that_goes_away_is_named_and_what_it_kept_is_cleaned_up() {
    let agent = "e2e-gone";
    let mut engine = engine(&Options::default());
    let home = home(&engine, &[agent], "      allowlist: []\n");
    let steps = [
        ("create-egress-network", Signal::KILL),
        ("create-sidecar", Signal::TERM),
        ("start-agent", Signal::KILL),
        ("copy-in", Signal::TERM),
    ];
    for (step, signal) in steps {
        let frozen = Frozen::at(&home, agent, step);
        engine.stop(signal);
        let (code, said) = frozen.thaw();
        assert_eq!(code, Some(125), "at `{step}`:\n{said}");
        assert_told(&said);
        assert!(said.contains("also failed: "), "what could not be undone is said:\n{said}");
        engine.start_again();
        assert_cleaned_up(&engine, &home, agent);
    }
}

#[test]
fn a_bottle_whose_engine_is_soon_back_is_cleared_up_without_a_command() {
    let agent = "e2e-gone-soon-back";
    let mut engine = engine(&Options { live_restore: true, ..Options::default() });
    let home = home(
        &engine,
        &[agent],
        "      allowlist: []
",
    );
    let mut session = Session::start(&home, agent);
    session.ok("true");
    engine.stop(Signal::TERM);
    assert_eq!(session.ended(), Some(125));
    engine.start_again();
    let back = Instant::now();
    while !engine.client().resources_of(agent).is_empty() {
        assert!(back.elapsed() < AT_ONCE, "{:?} is left", engine.client().resources_of(agent));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_agent_whose_engine_stops_ends_with_the_cause_and_a_clean_terminal() {
    let agent = "e2e-gone-terminal";
    let mut engine = engine(&Options::default());
    let home = home(&engine, &[agent], "      allowlist: []\n");
    for signal in [Signal::TERM, Signal::KILL] {
        let mut screen = Screen::start(&home.command(&["--quiet", "start", agent, "--yes"]), 100, 40);
        screen.wait_for_text("$ ");
        screen.type_keys("echo at''work\n");
        screen.wait_for_text("atwork");
        engine.stop(signal);
        let (code, drawn, settings) = screen.wait_for_settings();
        assert_eq!(code, 125, "{drawn}");
        assert_told(&drawn);
        assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
        engine.start_again();
        assert_cleaned_up(&engine, &home, agent);
    }
}
