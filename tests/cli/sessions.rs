//! Sessions that survive their terminal: detached by keys, lost, taken, killed; and what is said of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, Terminal, assert_code, json, stderr, stdout};

/// The keys that detach.
const DETACH: &str = "\u{1c}d";
/// An agent that answers each line and ends with 7 when told `quit`.
const AGENT: &str = "stty -echo; echo re''ady; while read -r l; do echo \"got-$l\"; [ \"$l\" = quit ] && exit 7; done; exit 8";

/// Starts it on a terminal, in a session that survives that.
fn surviving(home: &Home, more: &[&str]) -> Terminal {
    let arguments = [&["start", "shell", "--survive", "--yes"], more, &["--", AGENT]].concat();
    let terminal = Terminal::start(&home.command(&arguments));
    terminal.wait_for("ready");
    terminal
}

fn attach(home: &Home) -> Terminal {
    Terminal::start(&home.command(&["attach", "shell"]))
}

/// Sends the agent its last word.
fn quit(mut terminal: Terminal) -> String {
    terminal.type_keys("quit\n");
    terminal.ends_with(7)
}

fn listed(home: &Home) -> Value {
    json(&home.call(&["ps", "--format", "json"]))[0].clone()
}

/// Returns the only run.
fn run(home: &Home) -> String {
    home.names_in(".local/state/claude-bottle/bottles").pop().unwrap()
}

/// Returns the process that holds the session of the only run: the parent of its owner.
fn holder(home: &Home) -> Pid {
    let owner = listed(home)["owner"]["pid"].as_u64().unwrap();
    let status = fs::read_to_string(format!("/proc/{owner}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_session_is_detached_by_keys_and_attached_again() {
    let home = Home::new();
    let mut first = surviving(&home, &["--name", "parser"]);
    first.type_keys("one\n");
    first.wait_for("got-one");
    assert_eq!(listed(&home)["session"], "attached");
    first.type_keys(DETACH);
    let said = first.ends_with(0);
    assert!(said.contains("detached from parser, which goes on"), "{said}");
    assert!(said.contains(": claude-bottle attach parser"), "{said}");
    assert_eq!(listed(&home)["session"], "detached");
    let mut second = attach(&home);
    // What was on the screen is there again.
    second.wait_for("got-one");
    second.type_keys("two\n");
    second.wait_for("got-two");
    quit(second);
    home.wait_until_nothing_left();
    assert_eq!(home.call(&["attach", "shell"]).status.code(), Some(7));
}

#[test]
fn a_terminal_that_is_lost_leaves_the_agent_running() {
    let home = Home::new();
    surviving(&home, &[]).kill();
    let second = attach(&home);
    second.wait_for("ready");
    second.kill();
    // With the terminal itself, and not the program on it.
    let third = attach(&home);
    third.wait_for("ready");
    drop(third);
    let fourth = attach(&home);
    fourth.wait_for("ready");
    quit(fourth);
    home.wait_until_nothing_left();
}

#[test]
fn without_survive_the_agent_ends_with_its_terminal_as_ever() {
    let home = Home::new();
    let plain = Terminal::start(&home.command(&["start", "shell", "--yes", "--", AGENT]));
    plain.wait_for("ready");
    assert_eq!(listed(&home)["session"], Value::Null);
    let refused = home.call(&["attach", "shell"]);
    assert_code(&refused, 125);
    assert!(stderr(&refused).contains("was started without --survive"), "{}", stderr(&refused));
    plain.kill();
    home.wait_until_nothing_left();
}

#[test]
fn nothing_is_started_when_the_terminal_is_lost_before_the_answer() {
    let home = Home::new();
    let terminal = Terminal::start(&home.command(&["start", "shell", "--survive", "--", AGENT]));
    terminal.wait_for("[y/N, d for details]");
    terminal.kill();
    home.wait_until_nothing_left();
    assert!(home.names_in(".local/state/claude-bottle/bottles").is_empty());
}

#[test]
fn the_question_is_asked_and_answered_over_the_session() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home.command(&["start", "shell", "--survive", "--", AGENT]));
    terminal.wait_for("when it is closed, the agent goes on");
    terminal.wait_for("[y/N, d for details]");
    terminal.type_keys("y\n");
    terminal.wait_for("ready");
    quit(terminal);
    let mut terminal = Terminal::start(&home.command(&["start", "shell", "--survive", "--", AGENT]));
    terminal.wait_for("[y/N, d for details]");
    terminal.type_keys("n\n");
    assert!(terminal.ends_with(0).contains("aborted by user"));
    home.wait_until_nothing_left();
}

#[test]
fn who_attaches_takes_the_session() {
    let home = Home::new();
    let first = surviving(&home, &[]);
    let second = attach(&home);
    let said = first.ends_with(0);
    assert!(said.contains("attached to from another terminal"), "{said}");
    second.wait_for("ready");
    quit(second);
    home.wait_until_nothing_left();
}

#[test]
fn a_holder_that_is_killed_leaves_nothing_and_the_work_is_saved() {
    let home = Home::new();
    let script = format!("echo work >made; {AGENT}");
    let arguments = ["start", "shell", "--survive", "--yes", "--cwd", "--", &script];
    let mut terminal = Terminal::start(&home.command(&arguments));
    terminal.wait_for("ready");
    terminal.type_keys(DETACH);
    terminal.ends_with(0);
    kill_process(holder(&home), Signal::KILL).unwrap();
    home.wait_until_nothing_left();
    let results = json(&home.call(&["results", "--format", "json"]));
    assert_eq!(results.as_array().map(Vec::len), Some(1), "{results}");
    assert!(!home.run_dir(&run(&home)).join("attach.sock").exists());
}

#[test]
fn a_start_that_is_killed_in_its_session_leaves_nothing() {
    let home = Home::new();
    let terminal = surviving(&home, &[]);
    let owner = listed(&home)["owner"]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(owner.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    terminal.ends_with(137);
    home.wait_until_nothing_left();
    assert!(!home.run_dir(&run(&home)).join("attach.sock").exists());
}

#[test]
fn a_detached_start_prints_the_name_and_is_waited_for() {
    let home = Home::new();
    let started = home.call(&["start", "shell", "--detach", "--yes", "--name", "parser", "--", AGENT]);
    assert_code(&started, 0);
    assert_eq!(stdout(&started), "parser\n");
    let waiting = Live::start(&mut home.command(&["wait", "parser"]));
    let terminal = attach(&home);
    terminal.wait_for("ready");
    quit(terminal);
    assert_code(&waiting.end(), 7);
    // And of a run that has ended it is told at once.
    assert_code(&home.call(&["wait", "parser"]), 7);
    let ended = home.call(&["attach", "parser"]);
    assert_code(&ended, 7);
    assert!(stderr(&ended).contains("parser has ended"), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("with exit code 7"), "{}", stderr(&ended));
    home.wait_until_nothing_left();
}

#[test]
fn what_stops_a_detached_start_is_told() {
    let home = Home::new();
    let asked = home.call(&["start", "shell", "--detach", "--", AGENT]);
    assert_code(&asked, 125);
    assert!(stderr(&asked).contains("hint: add --yes to start without asking"), "{}", stderr(&asked));
    let failed = home.call_as_given(&["start", "shell", "--detach", "--yes", "--", AGENT]);
    assert_code(&failed, 125);
    assert!(stderr(&failed).contains("does not enforce the egress policy"), "{}", stderr(&failed));
    assert_eq!(stdout(&failed), "");
    let no_terminal = home.call(&["start", "shell", "--survive", "--yes", "--", AGENT]);
    assert_code(&no_terminal, 2);
    assert!(stderr(&no_terminal).contains("--survive needs a terminal"), "{}", stderr(&no_terminal));
    home.assert_nothing_left();
}

#[test]
fn defaults_make_sessions_survive_and_name_the_keys() {
    let home = Home::new();
    home.write(".config/claude-bottle/config.yaml", "survive: true\ndetach_keys: ctrl-p,ctrl-q\n");
    let mut first = Terminal::start(&home.command(&["start", "shell", "--yes", "--", AGENT]));
    first.wait_for("ready");
    first.type_keys("\u{10}\u{11}");
    assert!(first.ends_with(0).contains("detached from"));
    quit(attach(&home));
    // A script's start is one like any other.
    let piped = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    piped.wait_for_stdout("ready");
    assert_eq!(listed(&home)["session"], Value::Null);
    assert_code(&piped.end(), 0);
    let plain = Terminal::start(&home.command(&["start", "shell", "--yes", "--survive=false", "--", AGENT]));
    plain.wait_for("ready");
    assert_eq!(listed(&home)["session"], Value::Null);
    quit(plain);
    home.wait_until_nothing_left();
}

/// The agent's own word is before the defaults, and the command line's before that.
#[test]
fn the_manifest_says_of_an_agent_whether_it_survives() {
    let home = Home::with(
        "bottles: { dev: {} }\nagents:\n  stays: { bottle: dev, command: [sh, -c], survive: true }\n  \
         goes: { bottle: dev, command: [sh, -c], survive: false }\n",
    );
    let started = |words: &[&str]| {
        let terminal = Terminal::start(&home.command(&[&["start"], words, &["--yes", "--", AGENT]].concat()));
        terminal.wait_for("ready");
        let session = listed(&home)["session"].clone();
        quit(terminal);
        home.wait_until_nothing_left();
        session
    };
    assert_eq!(started(&["stays"]), "attached");
    assert_eq!(started(&["stays", "--survive=false"]), Value::Null);
    home.write(".config/claude-bottle/config.yaml", "survive: true\n");
    assert_eq!(started(&["goes"]), Value::Null);
    assert_eq!(started(&["goes", "--survive"]), "attached");
}

#[test]
fn a_holder_has_none_of_the_users_secrets_and_its_door_is_shut() {
    let home = Home::new();
    let mut command = home.command(&["start", "shell", "--survive", "--yes", "--", AGENT]);
    command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-4711").env("AWS_SECRET_ACCESS_KEY", "canary-4712");
    let terminal = Terminal::start(&command);
    terminal.wait_for("ready");
    let holder = holder(&home).as_raw_nonzero();
    for file in ["environ", "cmdline"] {
        let text = fs::read(format!("/proc/{holder}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("canary"), "{file}");
    }
    let directory = home.run_dir(&run(&home));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("attach.sock"))), (0o700, 0o600));
    quit(terminal);
    assert!(!directory.join("transcript").exists(), "nothing is kept unless it was asked for");
    home.wait_until_nothing_left();
}

#[test]
fn a_transcript_is_kept_when_asked_for_and_drives_no_terminal() {
    let home = Home::new();
    let script = "printf 'se\\033[31mcret\\a\\n'; exit 3";
    let terminal = Terminal::start(&home.command(&["start", "shell", "--record", "--yes", "--", script]));
    terminal.ends_with(3);
    let path = home.run_dir(&run(&home)).join("transcript");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = home.call(&["logs", "shell", "--transcript"]);
    assert_code(&shown, 0);
    assert!(stdout(&shown).contains("se\\u{1b}[31mcret\\u{7}"), "{}", stdout(&shown));
    assert!(!stdout(&shown).contains('\u{1b}'));
    // It needs no holder that outlives its terminal.
    let terminal = Terminal::start(&home.command(&["start", "shell", "--record", "--yes", "--", AGENT]));
    terminal.wait_for("ready");
    terminal.kill();
    home.wait_until_nothing_left();
    let none = home.call(&["start", "shell", "--yes", "--name", "plain", "--", "true"]);
    assert_code(&none, 0);
    let refused = home.call(&["logs", "plain", "--transcript"]);
    assert_code(&refused, 1);
    assert!(stderr(&refused).contains("was started without --record"), "{}", stderr(&refused));
}

#[test]
fn the_users_command_tells_that_the_agent_waits_and_has_ended() {
    let home = Home::new();
    let told = home.write("told/events", "");
    let notify =
        format!("notify: echo \"$CLAUDE_BOTTLE_EVENT $CLAUDE_BOTTLE_NAME\" >>'{}'\n", told.display());
    home.write(".config/claude-bottle/config.yaml", &notify);
    let script = format!("printf '\\a'; {AGENT}");
    let arguments = ["start", "shell", "--survive", "--yes", "--name", "parser", "--", &script];
    let terminal = Terminal::start(&home.command(&arguments));
    let directory = told.parent().unwrap().to_owned();
    let has = |line: &str| fs::read_to_string(&told).unwrap().lines().any(|there| there == line);
    wait_for_change(&[&directory], || has("waits parser"));
    quit(terminal);
    wait_for_change(&[&directory], || has("ended parser"));
}
