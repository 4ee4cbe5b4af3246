//! Sessions that survive a line that drops: a real sshd, whose connection is killed, and a second one that goes on.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use claude_bottle_standin::Script;
use tempfile::TempDir;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::process::Process;
use crate::support::screen::Screen;
use crate::support::sshd::{Sshd, make_key, user};
use crate::support::{assert_code, run, standin, stderr, stdout};

on_each_backend!(
    a_dropped_ssh_line_leaves_the_agent_running_and_another_attaches,
    the_real_cli_is_drawn_again_when_another_terminal_attaches,
    a_holder_that_is_killed_leaves_nothing_in_the_backend,
    control_z_gives_the_shell_its_terminal_and_fg_goes_on,
    stop_ends_a_session_and_its_attached_terminal_hears_of_it,
    a_stop_from_elsewhere_is_told_in_the_same_words,
);

const REPLY: &str = "Hello from the stand-in.";
/// An agent that works on while no terminal looks.
const WORKER: &str = "stty -echo; echo re''ady; n=0; while read -t 1 -r l || :; do n=$((n+1)); echo \"round-$n\"; [ \"$l\" = quit ] && exit 5; done";

/// A server on loopback with a key of its own, and how its user logs in.
struct Line {
    sshd: Sshd,
    keys: TempDir,
}

impl Line {
    fn new() -> Self {
        let keys = tempfile::tempdir().unwrap();
        let key = keys.path().join("key");
        make_key(&key, "");
        let sshd = Sshd::start(Ipv4Addr::LOCALHOST.into(), &key.with_extension("pub"));
        Self { sshd, keys }
    }

    /// Logs in on a terminal and runs a command there, with the environment that it was prepared with.
    fn start(&self, inner: &Command) -> Screen {
        let quote = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
        let mut line = format!("cd {} && exec env -i", quote(inner.get_current_dir().unwrap().as_os_str()));
        for (name, value) in inner.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            line.push_str(&format!(" {}={}", name.to_str().unwrap(), quote(value)));
        }
        line.push_str(&format!(" {}", quote(inner.get_program())));
        inner.get_args().for_each(|argument| line.push_str(&format!(" {}", quote(argument))));
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-tt",
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(self.keys.path().join("key"));
        ssh.args(["-p", &self.sshd.address().port().to_string(), "-l", &user(), "127.0.0.1"]).arg(&line);
        ssh.env("TERM", "xterm-256color")
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.keys.path());
        Screen::start(&ssh, 100, 30)
    }
}

fn home(agent: &str, backend: Backend, script: &str) -> Home {
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    Home::with_agent(
        agent,
        api.address(),
        &format!("    command: [bash, -c, {}]\n", serde_json::json!(script)),
    )
}

/// Returns what `list active` says of the agent's session: an engine may have other bottles.
fn session(backend: Backend, home: &Home, agent: &str) -> serde_json::Value {
    let listed = run(&mut backend.command(home, &["ps", "--format", "json"]));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&stdout(&listed)).unwrap();
    rows.into_iter().find(|row| row["agent"] == agent).unwrap()
}

fn a_dropped_ssh_line_leaves_the_agent_running_and_another_attaches(backend: Backend) {
    let agent = &format!("e2e-line-{}", backend.name());
    let (home, line) = (home(agent, backend, WORKER), Line::new());
    let first = line.start(&backend.command(&home, &["start", agent, "--survive", "--yes"]));
    first.wait_for_text("round-2");
    // The client's end of the line is gone, without a word.
    first.kill();
    let mut second = line.start(&backend.command(&home, &["attach", agent]));
    // The screen is there, and the work has gone on.
    second.wait_for_text("round-2");
    second.wait_for_text("round-5");
    second.type_keys("quit\r");
    assert_eq!(second.wait().0, 5);
    assert_code(&run(&mut backend.command(&home, &["wait", agent])), 5);
    backend.assert_nothing_left(&home, agent);
}

fn the_real_cli_is_drawn_again_when_another_terminal_attaches(backend: Backend) {
    let agent = &format!("e2e-again-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = backend.command(&home, &["start", agent, "--survive", "--yes"]);
    command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    let mut first = Screen::start(&command, 100, 30);
    first.wait_for_text("bypass permissions on");
    first.type_keys("hello");
    first.wait_for_text("hello");
    first.type_keys("\r");
    first.wait_for_text(REPLY);
    first.type_keys("\u{1c}d");
    assert_eq!(first.wait().0, 0);
    assert_eq!(session(backend, &home, agent)["session"], "detached");
    let mut second = Screen::start(&backend.command(&home, &["attach", agent]), 80, 24);
    second.wait_for_text(REPLY);
    second.wait_for_text("bypass permissions on");
    second.type_keys("/exit");
    second.wait_for_text("/exit");
    second.type_keys("\r");
    assert_eq!(second.wait().0, 0);
    backend.assert_nothing_left(&home, agent);
}

fn a_holder_that_is_killed_leaves_nothing_in_the_backend(backend: Backend) {
    let agent = &format!("e2e-holder-{}", backend.name());
    let home = home(agent, backend, WORKER);
    let started = run(&mut backend.command(&home, &["start", agent, "--detach", "--yes"]));
    assert_code(&started, 0);
    let owner = session(backend, &home, agent)["owner"]["pid"].as_i64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{owner}/status")).unwrap();
    let holder = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
    let starts = Process::with_arguments(&["start", agent, "--detach", "--yes"]);
    assert!(!starts.is_empty());
    assert!(run(Command::new("kill").args(["-KILL", &holder])).status.success());
    for start in starts {
        assert!(start.ends_within(Duration::from_secs(60)), "the start whose terminal is gone ends");
    }
    backend.assert_nothing_left(&home, agent);
}

fn control_z_gives_the_shell_its_terminal_and_fg_goes_on(backend: Backend) {
    let agent = &format!("e2e-held-ctrl-z-{}", backend.name());
    let home = home(
        agent,
        backend,
        "echo re''ady; while read -r l; do echo \"got-$l\"; [ \"$l\" = q ] && exit 6; done",
    );
    let mut shell = crate::suspend::shell(backend, &home);
    shell.type_keys(&format!("\"$CB\" start {agent} --survive --yes\n"));
    shell.wait_for_text("ready");
    shell.type_keys("\u{1a}");
    shell.wait_for_text("Stopped");
    shell.type_keys("clear; stty -a | grep -qw icanon && echo coo''ked\n");
    shell.wait_for_text("cooked");
    shell.type_keys("fg\n");
    shell.wait_for_text("--survive --yes");
    shell.type_keys("again\n");
    shell.wait_for_text("got-again");
    shell.type_keys("q\n");
    crate::suspend::wait_for_prompt(&shell);
    shell.type_keys("echo code''-$?\n");
    shell.wait_for_text("code-6");
    shell.type_keys("exit\n");
    shell.wait();
    backend.assert_nothing_left(&home, agent);
}

fn stop_ends_a_session_and_its_attached_terminal_hears_of_it(backend: Backend) {
    let agent = &format!("e2e-held-stop-{}", backend.name());
    let home = home(agent, backend, WORKER);
    let started =
        run(&mut backend.command(&home, &["start", agent, "--detach", "--yes", "--name", "parser"]));
    assert_code(&started, 0);
    assert_eq!(stdout(&started), "parser\n");
    let screen = Screen::start(&backend.command(&home, &["attach", "parser"]), 100, 30);
    screen.wait_for_text("round-1");
    assert_eq!(session(backend, &home, agent)["session"], "attached");
    assert_code(&run(&mut backend.command(&home, &["stop", "parser"])), 0);
    let (code, drawn) = screen.wait();
    assert_eq!(code, 125);
    let shown = drawn.0.lock().unwrap().parser.screen().contents();
    assert!(shown.contains("the bottle was closed"), "{shown}");
    backend.assert_nothing_left(&home, agent);
}

/// The words are written out here, once for all backends.
fn a_stop_from_elsewhere_is_told_in_the_same_words(backend: Backend) {
    let agent = &format!("e2e-stopped-{}", backend.name());
    let home = home(agent, backend, "echo ready; sleep 1000");
    let begin = |arguments: &[&str]| {
        let mut command = backend.command(&home, arguments);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    };
    let started = begin(&["--quiet", "start", agent, "--yes"]);
    let inside = begin(&["--quiet", "exec", agent, "--", "sh", "-c", "echo ready; sleep 1000"]);
    assert_code(&run(&mut backend.command(&home, &["stop", agent])), 0);
    let said = |child: Child| {
        let output = child.wait_with_output().unwrap();
        assert_code(&output, 125);
        stderr(&output)
    };
    // Where there is no work to save, nobody looks who has closed it.
    for (child, program) in [(started, "bash"), (inside, "sh")] {
        let known = format!("error: run `{program}`: the bottle was closed, or has ended by itself\n");
        assert_eq!(said(child), known);
    }
    backend.assert_nothing_left(&home, agent);
}
