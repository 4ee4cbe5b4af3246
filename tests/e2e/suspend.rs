//! A program that stops itself, or is stopped from the keyboard, in a bottle that was started by a real shell with job control:
//! the shell gets its terminal back, and `fg` continues host and program.

use std::process::Command;

use claude_bottle_standin::Script;

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::{Home, TOKEN};
use crate::support::screen::Screen;
use crate::support::{assert_code, run, standin, stderr, stdout};

on_each_backend_and_podman!(
    control_z_suspends_the_host_and_fg_continues_both,
    a_program_that_stops_itself_suspends_the_host,
    without_a_shell_it_goes_on_at_once,
    without_a_terminal_it_goes_on_and_ends_with_its_own_code,
    in_a_pipe_it_suspends_the_host_with_its_shell_job,
    the_real_cli_is_suspended_and_comes_back,
);
on_a_cluster!(
    control_z_suspends_the_host_and_fg_continues_both,
    a_program_that_stops_itself_suspends_the_host,
    without_a_shell_it_goes_on_at_once,
    without_a_terminal_it_goes_on_and_ends_with_its_own_code,
    in_a_pipe_it_suspends_the_host_with_its_shell_job,
    the_real_cli_is_suspended_and_comes_back,
);

/// Starts a shell with job control in which `cb` is the program.
pub(crate) fn shell(backend: Backend, home: &Home) -> Screen {
    let inner = backend.command(home, &[]);
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env_clear().current_dir(home.work());
    bash.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bash.env("CB", inner.get_program()).env("PS1", "shell> ").env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    let screen = Screen::start(&bash, 100, 40);
    screen.wait_for_text("shell> ");
    screen
}

/// Waits until the shell has the terminal: what is typed earlier is the program's.
pub(crate) fn wait_for_prompt(screen: &Screen) {
    screen.wait_for("the shell's prompt", |screen| screen.contents().trim_end().ends_with("shell>"));
}

/// Makes a home whose agent is a line of shell.
fn home(agent: &str, backend: Backend, script: &str) -> Home {
    let api = standin(backend, Script { reply: "done".to_owned(), run: None });
    let command = format!("    command:\n      - bash\n      - -c\n      - |-\n        {script}\n");
    Home::with_agent(agent, api.address(), &command)
}

/// Ends the shell, which passes nothing on.
fn leave(mut screen: Screen) {
    screen.type_keys("exit\n");
    screen.wait();
}

fn control_z_suspends_the_host_and_fg_continues_both(backend: Backend) {
    let agent = &format!("e2e-ctrl-z-{}", backend.name());
    let script = "stty -echo; echo re''ady; while read -r l; do echo \"got-$l of $(stty size)\"; [ \"$l\" = q ] && exit 6; done";
    let home = home(agent, backend, script);
    let mut screen = shell(backend, &home);
    screen.type_keys(&format!("\"$CB\" start {agent} --yes\n"));
    screen.wait_for_text("ready");
    for round in 1..=2 {
        screen.type_keys(&format!("{round}\n"));
        screen.wait_for_text(&format!("got-{round}"));
        screen.type_keys("\u{1a}");
        screen.wait_for_text("Stopped");
        // The terminal is the shell's again, with its line editing and its echo.
        screen.type_keys(&format!(
            "clear; stty -a | grep -qw icanon && stty -a | grep -qw echo && echo coo''ked-{round}\n"
        ));
        screen.wait_for_text(&format!("cooked-{round}"));
        screen.resize(90, 30 + round);
        screen.type_keys(&format!("jobs; echo jobs''-{round}\n"));
        screen.wait_for_text(&format!("jobs-{round}"));
        screen.type_keys("clear; fg\n");
        screen.wait_for_text("start e2e");
        screen.type_keys(&format!("again{round}\n"));
        screen.wait_for_text(&format!("got-again{round} of {} 90", 30 + round));
    }
    screen.type_keys("q\n");
    screen.wait_for_text("got-q");
    wait_for_prompt(&screen);
    screen.type_keys("echo code''-$?\n");
    screen.wait_for_text("code-6");
    leave(screen);
    backend.assert_nothing_left(&home, agent);
}

fn a_program_that_stops_itself_suspends_the_host(backend: Backend) {
    let agent = &format!("e2e-stop-{}", backend.name());
    let script = "for s in STOP TSTP TTIN; do echo be''fore-$s; kill -s $s 0; echo af''ter-$s; done; exit 7";
    let home = home(agent, backend, script);
    let mut screen = shell(backend, &home);
    screen.type_keys(&format!("\"$CB\" start {agent} --yes\n"));
    for signal in ["STOP", "TSTP", "TTIN"] {
        screen.wait_for_text(&format!("before-{signal}"));
        screen.wait_for_text("Stopped");
        assert!(!screen.shows(&format!("after-{signal}")), "it is stopped");
        screen.type_keys("clear; fg\n");
        screen.wait_for_text(&format!("after-{signal}"));
    }
    wait_for_prompt(&screen);
    screen.type_keys("echo code''-$?\n");
    screen.wait_for_text("code-7");
    leave(screen);
    backend.assert_nothing_left(&home, agent);
}

/// The host leads the session itself, as the command of a terminal window or of `docker run -it` does: nobody could continue it.
fn without_a_shell_it_goes_on_at_once(backend: Backend) {
    let agent = &format!("e2e-no-shell-{}", backend.name());
    let script =
        "for s in STOP TSTP; do kill -s $s 0; echo af''ter-$s; done; read -r l; echo \"got-$l\"; exit 8";
    let home = home(agent, backend, script);
    let mut screen = Screen::start(&backend.command(&home, &["start", agent, "--yes"]), 100, 30);
    screen.wait_for_text("after-TSTP");
    screen.type_keys("hello\r");
    screen.wait_for_text("got-hello");
    assert_eq!(screen.wait().0, 8);
    backend.assert_nothing_left(&home, agent);
}

/// A script's call, whose streams are pipes. What it writes comes out as it is, whether it was stopped or not.
fn without_a_terminal_it_goes_on_and_ends_with_its_own_code(backend: Backend) {
    let agent = &format!("e2e-stop-pipe-{}", backend.name());
    let script = "for s in STOP TSTP TTIN TTOU; do kill -s $s 0; echo af''ter-$s; echo er''ror-$s >&2; done; printf '\\033'; exit 9";
    let home = home(agent, backend, script);
    let (out, err) =
        ["STOP", "TSTP", "TTIN", "TTOU"].iter().fold(<(String, String)>::default(), |mut all, signal| {
            all.0.push_str(&format!("after-{signal}\n"));
            all.1.push_str(&format!("error-{signal}\n"));
            all
        });
    let output = run(&mut backend.command(&home, &["--quiet", "start", agent, "--yes"]));
    assert_eq!((stdout(&output), stderr(&output)), (out + "\u{1b}", err));
    assert_code(&output, 9);
    backend.assert_nothing_left(&home, agent);
}

fn in_a_pipe_it_suspends_the_host_with_its_shell_job(backend: Backend) {
    let agent = &format!("e2e-stop-job-{}", backend.name());
    let home = home(agent, backend, "echo be''fore; kill -s STOP 0; echo af''ter; exit 4");
    let mut screen = shell(backend, &home);
    screen.type_keys(&format!("set -o pipefail; \"$CB\" -q start {agent} --yes </dev/null | cat\n"));
    // All of the job stops, its reader too, which shows the rest when it goes on.
    screen.wait_for_text("Stopped");
    assert!(!screen.shows("after"), "it is stopped");
    // The reader may have shown the first word before it was stopped.
    screen.type_keys("fg\n");
    screen.wait_for_text("before");
    screen.wait_for_text("after");
    wait_for_prompt(&screen);
    screen.type_keys("echo code''-$?\n");
    screen.wait_for_text("code-4");
    leave(screen);
    backend.assert_nothing_left(&home, agent);
}

fn the_real_cli_is_suspended_and_comes_back(backend: Backend) {
    let agent = &format!("e2e-cli-ctrl-z-{}", backend.name());
    let api = standin(backend, Script { reply: "Hello from the stand-in.".to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut screen = shell(backend, &home);
    screen.type_keys(&format!("\"$CB\" start {agent} --yes\n"));
    screen.wait_for_text("bypass permissions on");
    screen.type_keys("\u{1a}");
    screen.wait_for_text("Stopped");
    screen.type_keys("clear; echo back''-here\n");
    screen.wait_for_text("back-here");
    screen.type_keys("fg\n");
    screen.wait_for_text("bypass permissions on");
    screen.type_keys("hello");
    screen.wait_for_text("hello");
    screen.type_keys("\r");
    screen.wait_for_text("Hello from the stand-in.");
    screen.type_keys("/exit");
    screen.wait_for_text("/exit");
    screen.type_keys("\r");
    wait_for_prompt(&screen);
    screen.type_keys("echo code''-$?\n");
    screen.wait_for_text("code-0");
    leave(screen);
    backend.assert_nothing_left(&home, agent);
}
