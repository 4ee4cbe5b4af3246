//! Several commands at one bottle at the same time: each has a clear outcome, and nothing stays behind.

use rustix::process::Signal;

use super::run::Run;
use super::{Way, api, assert_nothing_left, few_at_a_time, shared_room};
use crate::support::home::Home;
use crate::support::{assert_code, run as call, stderr};

const READER: &str = "    command: [sh, -c, echo ready; cat]\n";

#[test]
fn a_program_ends_clearly_when_its_bottle_is_closed() {
    let (_room, api) = (shared_room(), api());
    let agent = "e2e-exec-end";
    let home = Home::with_agent(agent, api.address(), READER);
    let mut run = Run::start(&mut home.command(&["start", agent, "--yes"]));
    run.wait_for("ready");
    let mut inside =
        Run::start(&mut home.command(&["exec", agent, "--", "sh", "-c", "echo inside; sleep 1000"]));
    inside.wait_for("inside");
    assert_code(&run.end(), 0);
    let output = inside.end();
    assert_code(&output, 125);
    assert!(stderr(&output).contains("the bottle was closed"), "{}", stderr(&output));
    assert_nothing_left(&home, agent, "after a program inside");
}

#[test]
fn no_program_starts_in_a_bottle_that_is_being_closed() {
    let (_room, api) = (shared_room(), api());
    few_at_a_time(["kill-agent", "remove-agent", "sweep"], |step| {
        let agent = format!("e2e-late-{step}");
        let home = Home::with_agent(&agent, api.address(), "    command: [echo, started]\n");
        let run = Run::paused(&mut home.command(&["start", &agent, "--yes"]), step);
        let output = call(&mut home.command(&["exec", &agent, "--", "true"]));
        assert_code(&output, 125);
        let said = stderr(&output);
        // The proxy ends with the agent, and may be what is missed first.
        let reasons = ["there is no bottle", "the bottle was closed", "does not run", "has no sidecar"];
        assert!(reasons.iter().any(|reason| said.contains(reason)), "{said}");
        run.send(Signal::CONT);
        assert_code(&run.end(), 0);
        assert_nothing_left(&home, &agent, &format!("after a program at `{step}`"));
    });
}

#[test]
fn two_stops_of_one_bottle_do_not_hinder_each_other() {
    let (_room, api) = (shared_room(), api());
    let steps = [(Way::Host, "kill-agent"), (Way::Host, "end-guard"), (Way::Sidecar, "remove-sidecar")];
    few_at_a_time(steps, |(way, step)| {
        let agent = format!("e2e-twice-{step}");
        let home = way.home(&agent, &api, READER);
        let mut run = Run::start(&mut home.command(&["start", &agent, "--yes"]));
        run.wait_for("ready");
        let first = Run::paused(&mut home.command(&["stop", &agent]), step);
        // Its run sees that it is being closed, and may be through with it before the second looks.
        let second = call(&mut home.command(&["stop", &agent]));
        let is_gone = stderr(&second).contains("there is no bottle");
        assert_code(&second, i32::from(is_gone));
        first.send(Signal::CONT);
        assert_code(&first.end(), 0);
        let third = call(&mut home.command(&["stop", &agent]));
        assert_code(&third, 1);
        assert!(stderr(&third).contains("there is no bottle"), "{}", stderr(&third));
        let output = run.end();
        assert_code(&output, 125);
        assert!(stderr(&output).contains("the bottle was closed"), "{}", stderr(&output));
        assert_nothing_left(&home, &agent, &format!("after two stops at `{step}`"));
    });
}

#[test]
fn a_stop_during_a_launch_ends_it() {
    let (_room, api) = (shared_room(), api());
    let steps = ["start-guard", "await-guard", "create-agent", "start-agent", "copy-in", "create-exec"];
    let steps = steps.map(|step| (Way::Host, step)).into_iter();
    let sidecar = ["create-agent", "start-sidecar", "await-sidecar"].map(|step| (Way::Sidecar, step));
    few_at_a_time(steps.chain(sidecar), |(way, step)| {
        let agent = format!("e2e-early-{}-{step}", way.name());
        let home = way.home(&agent, &api, READER);
        let run = Run::paused(&mut home.command(&["start", &agent, "--yes"]), step);
        let stopped = call(&mut home.command(&["stop", &agent]));
        run.send(Signal::CONT);
        let output = run.end();
        match stopped.status.code() {
            // There was an agent's container already.
            Some(0) => assert_code(&output, 125),
            _ => {
                assert!(stderr(&stopped).contains("there is no bottle"), "{}", stderr(&stopped));
                assert_code(&output, 0);
            }
        }
        assert_nothing_left(&home, &agent, &format!("after a stop at `{step}`"));
    });
}
