//! Docker's engine goes away while an agent works, or its halted container does: the work is still there.

use std::fs;

use rustix::process::Signal;

use super::{CHANGE, CHANGED, changes, document, home, live, start};
use crate::failure::run::reapers;
use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine, small_image};
use crate::support::process::Process;
use crate::support::{assert_code, run, stderr, stdout};

const BACKEND: Backend = Backend::Docker;

/// Starts an engine, and makes a home that uses it.
fn on_its_own_engine(agent: &str, live_restore: bool) -> (PrivateEngine, Home) {
    let engine = PrivateEngine::start(&Options { live_restore, ..Options::default() });
    engine.load(&small_image());
    let home = home(agent).env("DOCKER_HOST", &engine.host()).env("CLAUDE_BOTTLE_IMAGE", &small_image());
    (engine, home)
}

/// Starts a bottle, and kills its run and the process that watches it.
fn kill_with_its_watcher(home: &Home, agent: &str) {
    let killed = live(BACKEND, home, agent);
    reapers(home, None).iter().for_each(Process::kill);
    killed.kill();
}

/// Fails unless the work of the only run is saved, and nothing else is left of it in the engine.
#[track_caller]
fn assert_saved_on(engine: &PrivateEngine, home: &Home, agent: &str) {
    let name = home.runs().remove(0);
    assert_eq!(changes(&document(home, &name)), CHANGED);
    assert_code(&run(&mut home.command(&["results", "verify", &name])), 0);
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
    assert_eq!(home.record(&name)["phase"], "ended");
}

#[test]
fn the_work_of_a_bottle_whose_engine_restarts_is_kept_and_saved() {
    let agent = "e2e-results-restart";
    for (live_restore, signal) in [(false, Signal::TERM), (true, Signal::KILL)] {
        let (mut engine, home) = on_its_own_engine(agent, live_restore);
        let live = live(BACKEND, &home, agent);
        engine.stop(signal);
        // The run ends without its engine, and so without having saved.
        let output = live.end();
        assert_code(&output, 125);
        let name = home.runs().remove(0);
        assert_eq!(home.record(&name)["phase"], "unsaved", "{}", stderr(&output));
        assert!(stderr(&output).contains(&format!("claude-bottle save {name}")), "{}", stderr(&output));
        engine.start_again();
        // What takes leftovers away does not take this.
        assert_code(&run(&mut BACKEND.command(&home, &["cleanup", "--yes", "--all"])), 0);
        let output = run(&mut BACKEND.command(&home, &["save", &name]));
        assert_code(&output, 0);
        assert_saved_on(&engine, &home, agent);
    }
}

/// `docker container prune` takes every container that has ended, a halted bottle's too. Its volumes have the work.
#[test]
fn the_work_of_a_halted_bottle_whose_containers_were_pruned_is_saved_from_its_volumes() {
    let agent = "e2e-results-pruned";
    let (engine, home) = on_its_own_engine(agent, false);
    fs::create_dir_all(home.state()).unwrap();
    let store = home.state().join("results");
    fs::write(&store, "").unwrap();
    assert_code(&run(&mut start(BACKEND, &home, agent, CHANGE)), 125);
    let name = home.runs().remove(0);
    assert_eq!(home.record(&name)["phase"], "unsaved");
    engine.docker(&["container", "prune", "--force"]);
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"]), "");
    let output = run(&mut BACKEND.command(&home, &["cleanup", "--yes", "--all"]));
    assert!(stderr(&output).contains(&format!("claude-bottle discard {name}")), "{}", stderr(&output));
    assert_eq!(home.record(&name)["phase"], "unsaved");
    fs::remove_file(&store).unwrap();
    let output = run(&mut BACKEND.command(&home, &["save", &name]));
    assert_code(&output, 0);
    assert_saved_on(&engine, &home, agent);
}

/// The same, of a run that was killed with its watcher: nothing has saved it yet, and `cleanup` takes the volumes for leftovers.
#[test]
fn the_work_of_a_killed_run_whose_containers_were_pruned_is_saved_by_cleanup() {
    let agent = "e2e-results-killed-pruned";
    let (engine, home) = on_its_own_engine(agent, false);
    kill_with_its_watcher(&home, agent);
    let running = engine.docker(&["ps", "--quiet"]);
    running.split_whitespace().for_each(|id| drop(engine.docker(&["kill", id])));
    engine.docker(&["container", "prune", "--force"]);
    let output = run(&mut BACKEND.command(&home, &["cleanup", "--yes"]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
    assert_saved_on(&engine, &home, agent);
}

/// Only the home of a run knows what its bottle began with. Another, with the same engine, keeps the bottle and names that home.
#[test]
fn cleanup_in_another_home_keeps_what_is_not_saved() {
    let agent = "e2e-results-other-home";
    let (engine, theirs) = on_its_own_engine(agent, false);
    kill_with_its_watcher(&theirs, agent);
    let left = engine.client().resources_of(agent);
    let ours = home(agent).env("DOCKER_HOST", &engine.host());
    let output = run(&mut BACKEND.command(&ours, &["cleanup", "--yes"]));
    assert_code(&output, 0);
    let state = theirs.state();
    let hint = format!("XDG_STATE_HOME={} claude-bottle cleanup", state.parent().unwrap().display());
    let told = stderr(&output) + &stdout(&output);
    assert_eq!(told.matches(&hint).count(), left.len(), "{told}");
    assert_eq!(engine.client().resources_of(agent), left);
    let output = run(&mut BACKEND.command(&theirs, &["cleanup", "--yes"]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("5 files changed"), "{}", stderr(&output));
    assert_saved_on(&engine, &theirs, agent);
}
