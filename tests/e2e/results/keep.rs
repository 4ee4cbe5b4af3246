//! A bottle whose files are kept: they cost room on the disk alone, come along when one goes on, and go when they are discarded.

use std::fs;
use std::process::Output;

use super::{PATIENCE, home, results};
use crate::failure::run::{Run, reapers};
use crate::support::backend::{Backend, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(
    what_is_kept_comes_along_here_and_on_the_other_backend_until_it_is_discarded,
    a_bottle_that_is_stopped_can_be_kept,
    a_killed_run_that_was_to_be_kept_is_kept_by_its_watcher,
);

/// What the agents of these tests do: a change, and what git ignores, with a second name, a link and nothing that may be read.
const BUILD: &str = "echo two >edited; mkdir -p target/deep; echo built >target/deep/x; ln target/deep/x target/twin; \
                     ln -s deep/x target/link; chmod +x target/twin; rm target/old; echo shut >target/shut; chmod 0 target/shut";
/// Shows it again.
const LOOK: &str = "cat edited target/deep/x target/twin target/link target/here target/shut; test -x target/twin; \
                    test ! -e target/old; git status --porcelain";
const ALL: &str = "two\nbuilt\nbuilt\nbuilt\nhere\nshut\n M edited\n";

/// A home whose directory has files that git ignores.
fn built(agent: &str) -> Home {
    let home = home(agent);
    fs::create_dir(home.work().join("target")).unwrap();
    for name in ["old", "here"] {
        fs::write(home.work().join("target").join(name), format!("{name}\n")).unwrap();
    }
    home
}

fn resume(backend: Backend, home: &Home, run_id: &str) -> Output {
    run(&mut backend.command(home, &["resume", run_id, "--yes", "--", LOOK]))
}

/// Fails unless of a bottle that is kept there are files alone.
#[track_caller]
fn assert_only_files(backend: Backend, home: &Home, agent: &str) {
    let left = backend.left(home, agent);
    match backend {
        Backend::Docker => {
            assert!(left.len() == 2 && left.iter().all(|thing| thing.starts_with("volume ")), "{left:?}");
        }
        Backend::Bubblewrap | Backend::Podman | Backend::Kubernetes => assert_eq!(left.len(), 1, "{left:?}"),
    }
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}

/// Fails unless a run's bottle is kept, is gone on from with all that was there, and goes at last.
#[track_caller]
fn assert_kept(backend: Backend, home: &Home, agent: &str) {
    let rows = results(home);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let run_id = rows[0]["run"].as_str().unwrap().to_owned();
    assert!(rows[0]["kept_bytes"].as_u64().unwrap() > 0, "{rows:?}");
    assert_eq!(home.record(&run_id)["phase"], "kept");
    assert_only_files(backend, home, agent);
    assert_code(&run(&mut backend.cleanup(home)), 0);
    assert_only_files(backend, home, agent);
    let output = resume(backend, home, &run_id);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), ALL, "{}", stderr(&output));
    assert_code(&run(&mut backend.command(home, &["discard", &run_id, "--yes"])), 0);
    backend.assert_nothing_left(home, agent);
}

fn what_is_kept_comes_along_here_and_on_the_other_backend_until_it_is_discarded(backend: Backend) {
    let agent = &format!("e2e-keep-{}", backend.name());
    let home = built(agent);
    let output = run(&mut backend.command(&home, &["start", agent, "--cwd", "--keep", "--yes", "--", BUILD]));
    assert_code(&output, 0);
    let run_id = results(&home)[0]["run"].as_str().unwrap().to_owned();
    for part in [
        "the bottle's files are kept (",
        &format!("hint: go on with them: claude-bottle resume {run_id}\n"),
        &format!("hint: remove them, and what is saved: claude-bottle discard {run_id}\n"),
    ] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    let other = match backend {
        Backend::Docker => Backend::Bubblewrap,
        Backend::Bubblewrap | Backend::Podman | Backend::Kubernetes => Backend::Docker,
    };
    let output =
        run(&mut other.command(&home, &["resume", &run_id, "--backend", other.name(), "--yes", "--", LOOK]));
    assert_code(&output, 0);
    assert_eq!(stdout(&output), ALL, "{}", stderr(&output));
    // What another bottle made of it is its own; the one that is kept is as it was.
    let second = results(&home).into_iter().find(|row| row["run"] != run_id.as_str()).unwrap();
    let second = second["run"].as_str().unwrap();
    assert_code(&run(&mut home.command(&["discard", second, "--yes"])), 0);
    assert_kept(backend, &home, agent);
}

fn a_bottle_that_is_stopped_can_be_kept(backend: Backend) {
    let agent = &format!("e2e-stop-keep-{}", backend.name());
    let home = built(agent);
    let script = format!("{BUILD}; echo ready; cat");
    let mut live =
        Run::start(&mut backend.command(&home, &["start", agent, "--cwd", "--yes", "--", &script]));
    live.wait_for("ready");
    let output = run(&mut backend.command(&home, &["stop", agent, "--keep"]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("the bottle's files are kept ("), "{}", stderr(&output));
    assert_code(&live.end(), 125);
    assert_kept(backend, &home, agent);
}

fn a_killed_run_that_was_to_be_kept_is_kept_by_its_watcher(backend: Backend) {
    let agent = &format!("e2e-kill-keep-{}", backend.name());
    let home = built(agent);
    let script = format!("{BUILD}; echo ready; cat");
    let words = ["start", agent, "--cwd", "--keep", "--yes", "--", &script];
    let mut live = Run::start(&mut backend.command(&home, &words));
    live.wait_for("ready");
    let watching = reapers(&home, None);
    live.kill();
    assert!(watching[0].ends_within(PATIENCE));
    assert_kept(backend, &home, agent);
}
