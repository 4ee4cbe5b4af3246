//! A failure, a cancellation or a SIGKILL at every step of launch and provision: nothing stays behind.
//!
//! The steps are asked of the backend itself (a fault it does not know lists them), so a new step is tested at once.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use claude_bottle_standin::{Script, Standin};

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{assert_code, engine, run, standin, stderr};

/// How soon after a SIGKILL nothing of the run may be left.
const REAPED_WITHIN: Duration = Duration::from_secs(2);

fn api() -> Standin {
    standin(Backend::Docker, Script { reply: "unused".to_owned(), run: None })
}

/// Asks the backend which steps it has.
fn steps(home: &Home, agent: &str) -> Vec<String> {
    let mut command = home.command(&["start", agent, "--dry-run"]);
    let output = run(command.env("CLAUDE_BOTTLE_FAULT", "after:no-such-step"));
    assert_code(&output, 125);
    let text = stderr(&output);
    let lists = text.lines().filter_map(|line| line.trim().strip_prefix("hint: in ")?.split_once(": "));
    // In `close` nothing can be interrupted.
    let lists = lists.filter(|(verb, _)| *verb != "close");
    let steps: Vec<_> = lists.flat_map(|(_, steps)| steps.split(", ")).map(str::to_owned).collect();
    assert!(steps.len() >= 10, "{steps:?}");
    steps
}

#[test]
fn a_failure_after_each_step_undoes_all_of_it() {
    let agent = "e2e-undo";
    let api = api();
    let home = Home::with_agent(agent, api.address(), "    command: [echo, started]\n");
    for step in steps(&home, agent) {
        let mut command = home.command(&["start", agent, "--yes"]);
        let output = run(command.env("CLAUDE_BOTTLE_FAULT", format!("after:{step}")));
        assert_code(&output, 125);
        assert!(stderr(&output).contains(&step), "the error names `{step}`:\n{}", stderr(&output));
        assert!(!stderr(&output).contains("also failed"), "{}", stderr(&output));
        assert_eq!(engine::resources_of(agent), Vec::<String>::new(), "after a failure after `{step}`");
        assert_eq!(home.left_in_tmp(), Vec::<String>::new(), "after a failure after `{step}`");
    }
}

/// Starts an agent whose launch stays at a step, and waits until it is there.
fn hang_at(home: &Home, agent: &str, step: &str) -> Child {
    let mut command = home.command(&["start", agent, "--yes"]);
    command.env("CLAUDE_BOTTLE_FAULT", format!("hang:{step}")).env("CLAUDE_BOTTLE_LOG", "plugin=debug");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_there = |line: &str| line.contains("staying at the step") && line.contains(step);
    assert!(lines.any(|line| is_there(&line.unwrap())), "`{step}` was not reached");
    // The pipe must stay open: a host whose log cannot be written is another test.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn an_interrupt_at_each_step_undoes_all_of_it() {
    let agent = "e2e-interrupt";
    let api = api();
    let home = Home::with_agent(agent, api.address(), "    command: [echo, started]\n");
    for step in steps(&home, agent) {
        let mut child = hang_at(&home, agent, &step);
        rustix::process::kill_process(pid(&child), rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "at `{step}`");
        assert_eq!(engine::resources_of(agent), Vec::<String>::new(), "after an interrupt at `{step}`");
        assert_eq!(home.left_in_tmp(), Vec::<String>::new(), "after an interrupt at `{step}`");
    }
}

#[test]
fn a_kill_at_each_step_is_cleared_up_within_two_seconds() {
    let agent = "e2e-kill";
    let api = api();
    let home = Home::with_agent(agent, api.address(), "    command: [echo, started]\n");
    for step in steps(&home, agent) {
        let mut child = hang_at(&home, agent, &step);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_gone(agent, &format!("after a kill at `{step}`"));
    }
}

/// Waits until nothing of the agent's is left, and fails when that takes too long.
#[track_caller]
fn assert_gone(agent: &str, when: &str) {
    let killed = Instant::now();
    loop {
        let left = engine::resources_of(agent);
        if left.is_empty() {
            return;
        }
        assert!(killed.elapsed() < REAPED_WITHIN, "{left:?} {when}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pid(child: &Child) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}
