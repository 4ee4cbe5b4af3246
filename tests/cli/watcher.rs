//! The process that watches a run: what it is given, what it says, and what happens when there is none. And the record
//! it goes by.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stdout, tree};

/// Returns the number of the only child of a process that is called to reap.
fn watcher_of(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let of_thread = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let mut watchers =
        children.split_whitespace().filter(|pid| of_thread(pid).windows(6).any(|w| w == b"\0reap\0"));
    watchers.next().unwrap().parse().unwrap()
}

/// Returns the directory of a home's only run.
fn run_dir(home: &Home) -> PathBuf {
    let mut runs = home.names_in(".local/state/claude-bottle/bottles");
    assert_eq!(runs.len(), 1, "{runs:?}");
    home.run_dir(&runs.remove(0))
}

fn phase(home: &Home) -> String {
    let record = fs::read(run_dir(home).join("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    record["phase"].as_str().unwrap().to_owned()
}

/// Starts a shell in a bottle that lives until its standard input ends.
fn live(command: &mut Command) -> Live {
    let run = Live::start(command);
    run.wait_for_stdout("ready");
    run
}

const START: [&str; 5] = ["start", "shell", "--yes", "--", "echo ready; cat"];

#[test]
fn the_watching_process_has_none_of_the_users_secrets() {
    let home = Home::new();
    let mut start = home.command(&START);
    start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-1").env("ANTHROPIC_API_KEY", "canary-2");
    start
        .env("SOME_PASSWORD", "canary-3")
        .env("DOCKER_AUTH_CONFIG", "canary-4")
        .env("DOCKER_HOST", "unix:///nowhere.sock");
    let run = live(&mut start);
    let environment = fs::read(format!("/proc/{}/environ", watcher_of(run.pid()))).unwrap();
    let environment = String::from_utf8(environment).unwrap();
    assert!(!environment.contains("canary-"), "{environment:?}");
    // What it needs is there.
    assert_says(&environment, &["HOME=", "PATH=", "CLAUDE_BOTTLE_BACKEND=fake", "DOCKER_HOST="]);
    assert_code(&run.end(), 0);
}

#[test]
fn what_the_watching_process_could_not_do_is_in_its_log() {
    let home = Home::new();
    let plugins = home.path().join("plugins");
    fs::create_dir(&plugins).unwrap();
    let plugin = plugins.join(tree::plugin().file_name().unwrap());
    // The tree is made by the first call of the program.
    let mut start = home.command(&START);
    fs::copy(tree::plugin(), &plugin).unwrap();
    let run = live(start.env("CLAUDE_BOTTLE_PLUGIN_PATH", &plugins));
    // What is loaded stays loaded: another file takes its place.
    fs::remove_file(&plugin).unwrap();
    fs::write(&plugin, "not a plug-in any more").unwrap();
    run.send(Signal::KILL);
    let log = run_dir(&home).join("reaper.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    wait_for_change(&[run_dir(&home)], || said().contains(&plugin.display().to_string()));
    assert_says(&said(), &["error: plug-in "]);
    let shown = home.call(&["logs", "shell"]);
    assert_says(&stdout(&shown), &["watcher   error: "]);
    let text = json(&home.call(&["logs", "shell", "--format", "json"]))["watcher"].clone();
    assert!(text.as_str().unwrap().starts_with("error: "), "{text}");
}

#[test]
fn a_watching_process_with_nothing_to_say_leaves_no_log() {
    let home = Home::new();
    let run = live(&mut home.command(&START));
    assert!(run_dir(&home).join("reaper.log").exists());
    run.send(Signal::KILL);
    wait_for_change(&[run_dir(&home)], || {
        phase(&home) == "ended" && !run_dir(&home).join("reaper.log").exists()
    });
    home.wait_until_nothing_left();
}

#[test]
fn a_run_that_nothing_would_watch_is_not_begun_and_its_record_has_ended() {
    let home = Home::new();
    let mut of_tree = home.command(&["start", "hello"]);
    // Its own file, which a package manager then replaces.
    let program = home.path().join("claude-bottle");
    fs::copy(of_tree.get_program(), &program).unwrap();
    let mut start = Command::new(&program);
    start.args(of_tree.get_args()).env_clear().current_dir(home.work());
    for (name, value) in of_tree.get_envs() {
        start.envs(value.map(|value| (name, value)));
    }
    of_tree.stdin(Stdio::null());
    start.env("CLAUDE_BOTTLE_PLUGIN_PATH", tree::plugin().parent().unwrap());
    let mut terminal = Terminal::start(&start);
    terminal.wait_for("enforces? [y/N, d for details]");
    fs::remove_file(&program).unwrap();
    terminal.type_keys("y\r");
    let text = terminal.ends_with(125);
    assert_says(&text, &["start the process that closes the bottle"]);
    assert_eq!(phase(&home), "ended");
    home.assert_nothing_left();
}

#[test]
fn a_record_is_on_the_disk_before_anything_is_made() {
    let home = Home::new();
    let trace = home.path().join("trace");
    let program = home.command(&["start", "hello", "--yes"]);
    let mut strace = Command::new("/usr/bin/strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat", "-o"]);
    strace.arg(&trace).arg(program.get_program()).args(program.get_args());
    strace.env_clear().current_dir(home.work()).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        strace.envs(value.map(|value| (name, value)));
    }
    assert_code(&strace.output().unwrap(), 0);
    let trace = fs::read_to_string(trace).unwrap();
    let at = |wanted: &[&str]| {
        let line = trace.lines().position(|line| wanted.iter().all(|part| line.contains(part)));
        line.unwrap_or_else(|| panic!("no line with {wanted:?} in:\n{trace}"))
    };
    let dir =
        format!("state/claude-bottle/bottles/{}", run_dir(&home).file_name().unwrap().to_str().unwrap());
    // What strace shows of a descriptor ends with the file's path.
    let content = at(&["fsync(", &format!("{dir}/.tmp")]);
    let name = at(&["rename", "record.json"]);
    let entry = at(&["fsync(", &format!("{dir}>")]);
    let bottle = at(&["fake/bottles"]);
    assert!(
        content < name && name < entry && entry < bottle,
        "{content} {name} {entry} {bottle} in:\n{trace}"
    );
    at(&["fsync(", "claude-bottle/bottles>"]);
}

/// A shell with job control, as a terminal window has one, in which the program is `$CB`.
fn shell(home: &Home) -> Terminal {
    let inner = home.command(&["start"]);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env_clear().current_dir(home.work());
    bash.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bash.env("CB", inner.get_program()).env("PS1", r"shell \#> ");
    let shell = Terminal::start(&bash);
    shell.wait_for("shell 1> ");
    shell
}

#[test]
fn it_puts_the_screen_back_when_the_run_is_killed() {
    let home = Home::new();
    let mut shell = shell(&home);
    let agent = r"printf '\\033[?1049h\\033[?1000hin''side'; cat >/dev/null";
    let start = format!("\"$CB\" start shell --yes --allow-unenforced-egress -- \"{agent}\"\n");
    shell.type_keys(&start);
    shell.wait_for("\u{1b}[?1000hinside");
    let owner = json(&home.call(&["ps", "--format", "json"]))[0]["owner"]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(owner.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    shell.wait_for("\u{1b}[?1000l");
    shell.wait_for("\u{1b}[?1049l");
    shell.wait_for("shell 2> ");
    // The fake backend leaves its program behind, which was reading, takes what is typed first, and ends.
    shell.type_keys("\n");
    shell.wait_for("Input/output error");
    shell.type_keys("stty -a | grep -qw icanon && echo coo''ked\n");
    shell.wait_for("cooked");
    home.wait_until_nothing_left();
    shell.type_keys("exit\n");
    shell.end();
}

#[test]
fn the_title_says_that_it_is_a_bottle_and_is_put_back() {
    let home = Home::new();
    let start = ["start", "shell", "--yes", "--name", "parser", "--", "echo in''side"];
    let text = Terminal::start(&home.command(&start)).ends_with(0);
    let place =
        |text: &str, wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("no {wanted:?}: {text:?}"));
    let kept = place(&text, "\u{1b}[22;2t\u{1b}]2;parser (bottle)\u{7}");
    let (inside, back) = (place(&text, "inside"), place(&text, "\u{1b}[23;2t"));
    assert!(kept < inside && inside < back, "{text:?}");
    let piped = home.call(&start);
    assert_eq!(stdout(&piped), "inside\n");
}
