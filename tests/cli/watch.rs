//! `watch` on a terminal: what it shows, what keys do, and that the terminal is afterwards as it was.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_egress_policy::date_time;
use insta::assert_snapshot;
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::terminal::{Terminal, assert_ends_without_terminal};
use crate::support::{Home, Live, assert_code, assert_says, stderr};

/// Starts a bottle of this name whose agent waits.
fn running(home: &Home, name: &str) -> Live {
    let arguments = ["start", "shell", "--yes", "--name", name, "--", "echo ready; cat"];
    let run = Live::start(&mut home.command(&arguments));
    run.wait_for_stdout("ready");
    run
}

/// Adds a line to the decision log of the only run.
fn log(home: &Home, event: &str, host: &str, time: &str) {
    let line = json!({
        "time": time, "event": event, "connection": 1, "bottle": "b", "client": "unix", "method": "CONNECT",
        "host": host, "port": 443, "verdict": "deny", "code": "not_in_allowlist",
        "reason": format!("`{host}` is not on the allowlist"), "bytes_up": 0, "bytes_down": 0, "duration_ms": 0,
    });
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    let path = home.run_dir(&runs[0]).join("egress.jsonl");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

fn present() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("{}.000Z", date_time(now))
}

/// Returns a screen without what differs from run to run.
fn steady(screen: &str) -> String {
    let age = Regex::new(r"running  [0-9ms ]{7}").unwrap().replace_all(screen, "running  [AGE]  ");
    let left = Regex::new(r"(?m)^  +\d+ s ").unwrap().replace_all(&age, "  [N] s ").into_owned();
    left.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn watch(home: &Home) -> Terminal {
    Terminal::sized(&home.command(&["watch"]), 80, 24)
}

/// Returns the rules that the backend was given last, without those of the start.
fn given(home: &Home, name: &str) -> Vec<String> {
    let dir = home.path().join(".local/share/claude-bottle/backends/fake/policies");
    let file = dir.join(
        home.names_in(".local/share/claude-bottle/backends/fake/policies").pop().unwrap_or(name.to_owned()),
    );
    let policy: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let rules = policy["rules"].as_array().unwrap().iter();
    let added = rules.filter(|rule| rule["origin"].as_str().unwrap().starts_with("claude-bottle policy"));
    added.map(|rule| rule["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_waits_and_what_was_refused_is_shown_and_answered_by_keys() {
    let home = Home::new();
    let run = running(&home, "shelly");
    log(&home, "request", "evil.test", "2026-01-02T03:04:05.678Z");
    log(&home, "ask", "pypi.org", &present());
    let mut watch = watch(&home);
    watch.wait_for_screen("pypi.org:443");
    assert_snapshot!(steady(&watch.screen()), @"
      BOTTLE             AGENT    STATE    AGE      CPU MEMORY ASKED REFUSED  DIR
    > shelly             shell    running  [AGE]      –      –     1       1

    WAITING FOR AN ANSWER
      [N] s  shelly                 pypi.org:443               `pypi.org` is not on

    REFUSED
      03:04:05  shelly           evil.test:443              `evil.test` is not on th















    a allow  d deny  s shell  f diff  x stop  Tab next list  q quit
    ");
    watch.type_keys("a");
    watch.wait_for_screen("shelly may reach pypi.org from now on");
    assert_eq!(given(&home, "shelly"), ["pypi.org"]);
    log(&home, "answer", "pypi.org", &present());
    watch.wait_for_screen("nothing waits");
    // What was refused before is answered as well, in its own list.
    watch.type_keys("\t\td");
    watch.wait_for_screen("shelly may not reach evil.test any more");
    assert_eq!(given(&home, "shelly"), ["pypi.org", "deny evil.test"]);
    // It is stopped when that is agreed to.
    watch.type_keys("x");
    watch.wait_for_screen("stop shelly? y is yes");
    watch.type_keys("y");
    watch.wait_for_screen("closed shelly");
    assert_code(&run.end(), 0);
    watch.wait_for_screen("no bottle is running");
    watch.type_keys("q");
    let text = watch.ends_with(0);
    assert!(text.trim_end().ends_with("\u{1b}[0m"), "{text:?}");
}

#[test]
fn it_is_read_in_a_terminal_without_colours_and_text_of_the_agents_is_escaped() {
    let home = Home::new();
    let run = running(&home, "shelly");
    log(&home, "request", "\u{1b}]0;x\u{7}evil", "2026-01-02T03:04:05.678Z");
    let mut command = home.command(&["watch"]);
    command.env("NO_COLOR", "1");
    let mut watch = Terminal::sized(&command, 80, 24);
    watch.wait_for_screen("\\u{1b}]0;x\\u{7}evil:443");
    watch.type_keys("q");
    let text = watch.ends_with(0);
    assert!(!text.contains("\u{1b}]0;x"), "{text:?}");
    let colored = Regex::new("\u{1b}\\[[0-9;]*(3[1-7]|9[0-7]|38)[0-9;]*m").unwrap();
    assert!(!colored.is_match(&text), "{text:?}");
    assert_code(&run.end(), 0);
}

#[test]
fn without_a_terminal_and_for_a_bottle_that_is_not_there_it_says_so() {
    let home = Home::new();
    let output = home.call(&["watch"]);
    assert_code(&output, 1);
    assert_says(
        &stderr(&output),
        &["`watch` needs a terminal", "hint: for programs: claude-bottle list active"],
    );
    let output = home.call(&["watch", "other"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["there is no bottle `other` that runs"]);
}

/// A shell that says how its terminal is before and after.
fn within_a_shell(home: &Home, script: &str) -> Terminal {
    let mut command = Command::new("bash");
    let watch = home.command(&["watch"]);
    command.args(["-c", script]).arg(watch.get_program()).arg("watch");
    for (name, value) in watch.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("PATH", std::env::var_os("PATH").unwrap()).current_dir(home.work());
    Terminal::sized(&command, 80, 24)
}

/// Returns the process that a shell waits for.
fn child_of(shell: &Terminal) -> Pid {
    let pid = shell.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Pid::from_raw(children.split_ascii_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

fn modes(home: &Home, name: &str) -> String {
    fs::read_to_string(home.work().join(name)).unwrap()
}

#[test]
fn a_signal_that_ends_it_leaves_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let home = Home::new();
        let shell = within_a_shell(&home, "stty -g >before; \"$0\" \"$@\"; stty -g >after; echo the end");
        shell.wait_for_screen("no bottle is running");
        kill_process(child_of(&shell), signal).unwrap();
        let text = shell.ends_with(0);
        assert_eq!(modes(&home, "before"), modes(&home, "after"), "{signal:?}");
        let (_, after) = text.rsplit_once("\u{1b}[?1049l").unwrap();
        assert!(after.contains("the end"), "{text:?}");
    }
}

#[test]
fn a_panic_is_told_on_the_terminal_as_it_was() {
    let home = Home::new();
    let script = "export CLAUDE_BOTTLE_TEST_PANIC=1; stty -g >before; \"$0\" \"$@\"; echo \"it ended with $?\"; stty -g >after";
    let mut shell = within_a_shell(&home, script);
    shell.wait_for_screen("no bottle is running");
    // F12
    shell.type_keys("\u{1b}[24~");
    let text = shell.ends_with(0);
    assert_eq!(modes(&home, "before"), modes(&home, "after"));
    let (_, after) = text.split_once("\u{1b}[?1049l").unwrap();
    assert!(after.contains("panicked") && after.contains("it ended with 101"), "{text:?}");
}

#[test]
fn it_is_stopped_like_any_job_and_goes_on() {
    let home = Home::new();
    let script = "set -m; stty -g >before; \"$0\" \"$@\"; stty -g >stopped; echo it stopped; fg >/dev/null; stty -g >after";
    let mut shell = within_a_shell(&home, script);
    shell.wait_for_screen("no bottle is running");
    kill_process(child_of(&shell), Signal::TSTP).unwrap();
    shell.wait_for("it stopped");
    shell.wait_for_screen("no bottle is running");
    shell.type_keys("q");
    shell.ends_with(0);
    assert_eq!(
        (modes(&home, "before"), modes(&home, "before")),
        (modes(&home, "stopped"), modes(&home, "after"))
    );
}

#[test]
fn it_ends_with_its_terminal() {
    let home = Home::new();
    assert_ends_without_terminal(&home.command(&["watch"]), "no bottle is running");
}
