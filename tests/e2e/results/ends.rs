//! Every end of a run: its work is saved, once, and nothing else is left.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::{CHANGE, PATIENCE, assert_saved, document, home, live, results, sh, start};
use crate::failure::run::{Run, reapers};
use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::process::Process;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(
    what_the_agent_changed_is_saved_when_it_ends,
    the_work_of_an_agent_that_a_limit_ends_is_saved,
    an_interrupted_run_is_saved,
    the_work_on_a_closed_terminal_is_saved,
    a_bottle_that_is_stopped_is_saved_once,
    two_ends_at_once_save_once,
    the_work_of_a_killed_run_is_saved_by_its_watcher,
    work_survives_a_kill_at_any_moment_of_the_end,
    the_work_of_a_run_whose_watcher_died_too_is_saved_by_cleanup,
    when_no_file_changed_nothing_is_written,
    what_an_agent_only_put_into_its_repository_is_kept,
);
on_a_cluster!(
    what_the_agent_changed_is_saved_when_it_ends,
    the_work_of_an_agent_that_a_limit_ends_is_saved,
    an_interrupted_run_is_saved,
    the_work_on_a_closed_terminal_is_saved,
    a_bottle_that_is_stopped_is_saved_once,
    two_ends_at_once_save_once,
    the_work_of_a_killed_run_is_saved_by_its_watcher,
    work_survives_a_kill_at_any_moment_of_the_end,
    the_work_of_a_run_whose_watcher_died_too_is_saved_by_cleanup,
    when_no_file_changed_nothing_is_written,
    what_an_agent_only_put_into_its_repository_is_kept,
);

fn what_the_agent_changed_is_saved_when_it_ends(backend: Backend) {
    for code in [0, 1, 137] {
        let agent = &format!("e2e-saved-{code}-{}", backend.name());
        let home = home(agent);
        let script =
            format!("{CHANGE}; mkdir target; echo built >target/x; echo said by the agent >&2; exit {code}");
        let output = run(&mut start(backend, &home, agent, &script));
        assert_code(&output, code);
        let name = assert_saved(backend, &home, agent);
        let said = stderr(&output);
        let after = said.split_once("said by the agent\n").unwrap().1;
        assert!(after.starts_with("5 files changed"), "{after}");
        assert!(after.contains("left behind: 1 file that git ignores (6 B)\n"), "{after}");
        let hints =
            format!("hint: look: claude-bottle diff {name}\nhint: take them: claude-bottle apply {name}\n");
        assert!(after.ends_with(&hints), "{after}");
        let head = document(&home, &name)["base"].clone();
        assert_eq!((&head["branch"], head["head"].as_str().unwrap().len()), (&"main".into(), 40));
        // Nothing is taken by itself.
        assert_eq!(fs::read_to_string(home.work().join("edited")).unwrap(), "one\n");
    }
}

fn when_no_file_changed_nothing_is_written(backend: Backend) {
    let agent = &format!("e2e-unchanged-{}", backend.name());
    let home = home(agent);
    let output = run(&mut start(backend, &home, agent, "touch kept; git status --porcelain"));
    assert_code(&output, 0);
    assert!(stderr(&output).ends_with("no file changed\n"), "{}", stderr(&output));
    assert_eq!((stdout(&output).as_str(), results(&home).len()), ("", 0));
    backend.assert_nothing_left(&home, agent);
}

fn an_interrupted_run_is_saved(backend: Backend) {
    let agent = &format!("e2e-interrupted-{}", backend.name());
    for signal in [Signal::INT, Signal::TERM] {
        let home = home(agent);
        let run = live(backend, &home, agent);
        run.send(signal);
        let output = run.end();
        assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
        assert_saved(backend, &home, agent);
    }
}

fn the_work_on_a_closed_terminal_is_saved(backend: Backend) {
    let agent = &format!("e2e-closed-terminal-{}", backend.name());
    let home = home(agent);
    let command = start(backend, &home, agent, &format!("{CHANGE}; echo rea''dy; cat"));
    let mut terminal = Run::start(&mut on_terminal(&command));
    terminal.wait_for("ready");
    let watching = reapers(&home, None);
    // As a window does that is closed: the kernel hangs up on what runs there.
    terminal.kill();
    assert!(watching[0].ends_within(PATIENCE));
    assert_saved(backend, &home, agent);
}

/// Prepares a command on a terminal that ends with the program that has it.
fn on_terminal(command: &Command) -> Command {
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"));
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", &format!("exec {}", words.join(" ")), "/dev/null"]);
    script.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.current_dir(command.get_current_dir().unwrap());
    script
}

fn a_bottle_that_is_stopped_is_saved_once(backend: Backend) {
    let agent = &format!("e2e-stopped-{}", backend.name());
    let home = home(agent);
    let live = live(backend, &home, agent);
    let output = run(&mut backend.command(&home, &["stop", agent]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
    assert_code(&live.end(), 125);
    assert_saved(backend, &home, agent);
}

fn the_work_of_a_killed_run_is_saved_by_its_watcher(backend: Backend) {
    let agent = &format!("e2e-killed-{}", backend.name());
    let home = home(agent);
    let run = live(backend, &home, agent);
    let watching = reapers(&home, None);
    run.kill();
    assert!(watching[0].ends_within(PATIENCE));
    let name = assert_saved(backend, &home, agent);
    assert_eq!(document(&home, &name)["secrets_checked"], true, "it had no secrets to be searched for");
}

fn the_work_of_a_run_whose_watcher_died_too_is_saved_by_cleanup(backend: Backend) {
    let agent = &format!("e2e-orphaned-{}", backend.name());
    let home = home(agent);
    let killed = live(backend, &home, agent);
    reapers(&home, None).iter().for_each(Process::kill);
    killed.kill();
    let output = run(&mut backend.cleanup(&home));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
    assert_saved(backend, &home, agent);
}

fn the_work_of_an_agent_that_a_limit_ends_is_saved(backend: Backend) {
    let agent = &format!("e2e-limit-{}", backend.name());
    let home = home(agent);
    let manifest = fs::read_to_string(home.path().join("claude-bottle.yaml")).unwrap();
    let limited = manifest.replace("allowlist: [] }", "allowlist: [] }, limits: { memory: 128MiB }");
    fs::write(home.path().join("claude-bottle.yaml"), limited).unwrap();
    // The program that is to end is the agent itself.
    let script = format!("{CHANGE}; exec tail /dev/zero");
    let output = run(&mut start(backend, &home, agent, &script));
    assert_ne!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
    assert_saved(backend, &home, agent);
}

fn two_ends_at_once_save_once(backend: Backend) {
    let agent = &format!("e2e-two-ends-{}", backend.name());
    let home = home(agent);
    let live = live(backend, &home, agent);
    let stops: Vec<_> = (0..2).map(|_| Run::start(&mut backend.command(&home, &["stop", agent]))).collect();
    live.send(Signal::TERM);
    let said: Vec<_> = stops.into_iter().map(|stop| stderr(&stop.end())).collect();
    assert!(said.iter().all(|said| !said.contains("is not saved")), "{said:?}");
    live.end();
    assert_saved(backend, &home, agent);
}

fn work_survives_a_kill_at_any_moment_of_the_end(backend: Backend) {
    let agent = &format!("e2e-any-moment-{}", backend.name());
    for round in 0..6 {
        let home = home(agent);
        let mut run = live(backend, &home, agent);
        let watching = reapers(&home, None);
        run.close_stdin();
        // Between the agent's end and the bottle's.
        thread::sleep(Duration::from_millis(round * 60));
        run.kill();
        assert!(watching[0].ends_within(PATIENCE), "round {round}");
        assert_saved(backend, &home, agent);
    }
}

/// A stash, a commit without a file: no file of the tree is another one, and it is work.
fn what_an_agent_only_put_into_its_repository_is_kept(backend: Backend) {
    let agent = &format!("e2e-stash-{}", backend.name());
    let home = home(agent);
    let output =
        run(&mut start(backend, &home, agent, "echo precious >kept; git stash -q; git status --short"));
    assert_code(&output, 0);
    assert!(
        stderr(&output).contains("no file changed; what the agent did in its repository"),
        "{}",
        stderr(&output)
    );
    let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
    let document = document(&home, &name);
    assert_eq!(
        (document["files"].as_array().unwrap().len(), &document["sealed"][0]["name"]),
        (0, &"git.tar".into())
    );
    let output = run(&mut backend.command(&home, &["apply", &name, "--yes"]));
    assert_code(&output, 0);
    sh(&home, "test \"$(cat kept)\" = kept");
    backend.assert_nothing_left(&home, agent);
}
