//! A failure or an interrupt at every step: the run itself undoes all of it, and says what happened.

use std::time::Duration;

use rustix::process::Signal;

use super::run::{Run, reapers};
use super::{Step, Way, api, assert_nothing_left, few_at_a_time, shared_room, steps};
use crate::support::home::Home;
use crate::support::{assert_code, run as call, stderr};

#[test]
fn a_failure_after_each_step_undoes_all_of_it() {
    fail_after_each(Way::Host);
}

#[test]
fn a_failure_after_each_step_with_a_sidecar_undoes_all_of_it() {
    fail_after_each(Way::Sidecar);
}

fn fail_after_each(way: Way) {
    let (_room, api) = (shared_room(), api());
    few_at_a_time(steps(way), |Step { name: step, .. }| {
        let agent = format!("e2e-undo-{}-{step}", way.name());
        let home = way.home(&agent, &api, "    command: [echo, started]\n");
        let mut command = home.command(&["start", &agent, "--yes"]);
        let output = call(command.env("CLAUDE_BOTTLE_FAULT", format!("after:{step}")));
        assert_code(&output, 125);
        assert!(stderr(&output).contains(&step), "the error names `{step}`:\n{}", stderr(&output));
        assert!(!stderr(&output).contains("also failed"), "{}", stderr(&output));
        // A close that failed is looked after by the watching process as well, which notes that in the run's record.
        for reaper in reapers(&home, None) {
            assert!(reaper.ends_within(Duration::from_secs(60)), "after a failure after `{step}`");
        }
        assert_nothing_left(&home, &agent, &format!("after a failure after `{step}`"));
    });
}

#[test]
fn an_interrupt_at_each_step_undoes_all_of_it() {
    interrupt_at_each(Way::Host);
}

#[test]
fn an_interrupt_at_each_step_with_a_sidecar_undoes_all_of_it() {
    interrupt_at_each(Way::Sidecar);
}

fn interrupt_at_each(way: Way) {
    let (_room, api) = (shared_room(), api());
    let signals = [Signal::INT, Signal::TERM, Signal::HUP];
    let interrupts = steps(way).into_iter().enumerate().flat_map(|(n, step)| match step.verb.as_str() {
        // What tears down is not interrupted.
        "close" => Vec::new(),
        "exec" => signals.map(|signal| (step.name.clone(), signal)).into(),
        _ => vec![(step.name, signals[n % 3])],
    });
    let interrupts: Vec<_> = interrupts.enumerate().collect();
    few_at_a_time(interrupts, |(n, (step, signal))| {
        let agent = format!("e2e-int-{}-{n}", way.name());
        let home = way.home(&agent, &api, "    command: [echo, started]\n");
        let run = Run::hung(&home, &agent, &step);
        run.send(signal);
        let output = run.end();
        assert_code(&output, 130);
        assert_nothing_left(&home, &agent, &format!("after {signal:?} at `{step}`"));
    });
}

#[test]
fn an_interrupt_of_a_running_agent_closes_the_bottle() {
    let (_room, api) = (shared_room(), api());
    few_at_a_time([Signal::INT, Signal::TERM, Signal::HUP], |signal| {
        let agent = format!("e2e-stop-{}", signal.as_raw());
        let home =
            Home::with_agent(&agent, api.address(), "    command: [sh, -c, echo started; sleep 1000]\n");
        let mut run = Run::start(&mut home.command(&["start", &agent, "--yes"]));
        run.wait_for("started");
        run.send(signal);
        assert_code(&run.end(), 130);
        assert_nothing_left(&home, &agent, &format!("after {signal:?}"));
    });
}

#[test]
fn a_removal_goes_on_when_it_is_interrupted_twice() {
    let (_room, api) = (shared_room(), api());
    let (host, sidecar) = (Way::Host, Way::Sidecar);
    let steps =
        [(host, "kill-agent"), (host, "end-guard"), (sidecar, "save-log"), (sidecar, "remove-sidecar")];
    few_at_a_time(steps, |(way, step)| {
        let agent = format!("e2e-calm-{step}");
        let home = way.home(&agent, &api, "    command: [sh, -c, exit 7]\n");
        let run = Run::paused(&mut home.command(&["start", &agent, "--yes"]), step);
        // Both are waiting when it goes on.
        run.send(Signal::INT);
        run.send(Signal::TERM);
        run.send(Signal::CONT);
        assert_code(&run.end(), 7);
        assert_nothing_left(&home, &agent, &format!("after two interrupts at `{step}`"));
    });
}

#[test]
fn who_insists_gets_out_of_a_removal_and_the_reaper_goes_on() {
    let (_room, api) = (shared_room(), api());
    let agent = "e2e-insist";
    let home = Way::Host.home(agent, &api, "    command: [echo, started]\n");
    let run = Run::hung(&home, agent, "end-guard");
    let reapers = reapers(&home, None);
    assert_eq!(reapers.len(), 1);
    // Three different ones, since two of a kind that are not yet delivered are one.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        run.send(signal);
    }
    assert_code(&run.end(), 130);
    assert!(reapers[0].ends_within(Duration::from_secs(60)));
    assert_nothing_left(&home, agent, "after three interrupts");
}
