//! A connection that is lost: it is named, the work is saved as soon as the engine is reached again, and nothing goes on unseen.

use std::fs;

use super::{Far, PATIENCE, home};
use crate::egress::session::Session;
use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine};
use crate::support::{assert_code, engine, run, stderr};

/// Starts a shell that has changed a file.
fn start(far: &Far, home: &Home, agent: &str) -> Session {
    let mut inside = Session::start_by(far.command(home, &["start", agent, "--cwd", "--yes"]), home, agent);
    inside.ok("echo two >edited");
    inside
}

/// Kills the way of the run, and returns what `start` said of it.
fn lose(far: &Far, home: &Home, agent: &str, inside: Session) -> String {
    let ways = far.ways();
    assert_eq!(ways.len(), 1);
    ways[0].kill();
    assert!(ways[0].ends_within(PATIENCE));
    assert_eq!(inside.ended(), Some(125));
    let said = fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(said.contains("the connection to the engine was lost: ssh to `"), "{said}");
    said
}

/// Returns how many results there are.
fn results(home: &Home) -> usize {
    std::fs::read_dir(home.state().join("results")).into_iter().flatten().count()
}

#[test]
fn a_connection_that_is_lost_is_named_and_the_work_is_saved_over_a_new_one() {
    let agent = "e2e-far-lost";
    let far = Far::start(agent, "");
    let home = home(agent);
    let inside = start(&far, &home, agent);
    let said = lose(&far, &home, agent, inside);
    assert!(said.contains("1 file changed"), "{said}");
    assert_eq!(results(&home), 1);
    Backend::Docker.assert_nothing_left(&home, agent);
    far.assert_no_way_is_open();
}

#[test]
fn the_work_on_a_machine_that_is_away_is_kept_and_saved_when_it_is_back() {
    let agent = "e2e-far-away";
    let mut far = Far::start(agent, "");
    let home = home(agent);
    let inside = start(&far, &home, agent);
    far.sshd.stop();
    let said = lose(&far, &home, agent, inside);
    assert!(said.contains("Connection refused") && said.contains("claude-bottle save"), "{said}");
    assert_eq!(results(&home), 0);
    assert!(!engine::resources_of(agent).is_empty(), "the bottle is kept");

    // Another engine has no such bottle, which does not make it gone.
    let other = PrivateEngine::start(&Options::default());
    for arguments in [&["save", agent][..], &["cleanup", "--yes"]] {
        let output = run(home.command(arguments).env("DOCKER_HOST", other.host()));
        let said = stderr(&output);
        match arguments {
            ["save", ..] => {
                assert_code(&output, 1);
                assert!(said.contains(&format!("is on the engine at `{}`", far.host())), "{said}");
                assert!(said.contains("claude-bottle save "), "{said}");
            }
            _ => assert_code(&output, 0),
        }
        assert!(!engine::resources_of(agent).is_empty(), "the bottle is kept");
    }

    far.sshd.start_again();
    assert_code(&run(&mut far.command(&home, &["save", agent])), 0);
    assert_eq!(results(&home), 1);
    Backend::Docker.assert_nothing_left(&home, agent);
    far.assert_no_way_is_open();
}

#[test]
fn the_way_of_a_killed_run_ends_with_it_and_its_watcher_has_its_own() {
    let agent = "e2e-far-killed";
    let far = Far::start(agent, "");
    let home = home(agent);
    let inside = start(&far, &home, agent);
    let ways = far.ways();
    assert_eq!(ways.len(), 1);
    inside.signal(rustix::process::Signal::KILL);
    assert_eq!(inside.ended(), None);
    assert!(ways[0].ends_within(PATIENCE), "its ssh goes on");
    let run = &home.runs()[0];
    for reaper in crate::failure::run::reapers(&home, Some(run)) {
        assert!(reaper.ends_within(PATIENCE));
    }
    assert_eq!(results(&home), 1);
    Backend::Docker.assert_nothing_left(&home, agent);
    far.assert_no_way_is_open();
}
