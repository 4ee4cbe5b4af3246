//! What cannot be saved keeps its bottle, which is named, until it is saved or given up.

use std::fs;
use std::process::Command;

use super::{CHANGE, assert_saved, document, home, results, start};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr};

on_each_backend!(
    a_bottle_that_cannot_be_saved_is_kept_and_named,
    a_full_disk_of_results_keeps_the_bottle_until_there_is_room,
    more_changes_than_a_result_has_are_kept_until_the_user_takes_them,
    a_store_over_its_bound_warns_and_lets_go_of_what_was_taken_alone,
);

fn a_bottle_that_cannot_be_saved_is_kept_and_named(backend: Backend) {
    let agent = &format!("e2e-unsaved-{}", backend.name());
    let home = home(agent);
    let store = home.state().join("results");
    fs::create_dir_all(home.state()).unwrap();
    fs::write(&store, "").unwrap();
    let output = run(&mut start(backend, &home, agent, CHANGE));
    assert_code(&output, 125);
    let name = home.runs().remove(0);
    for part in [
        "its bottle is kept: ",
        &format!("claude-bottle save {name}"),
        &format!("claude-bottle discard {name}"),
    ] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert_eq!(home.record(&name)["phase"], "unsaved");
    // With `--all` it would take what other tests have in this engine; `engine.rs` does that on one of its own.
    assert_code(&run(&mut backend.cleanup(&home)), 0);
    assert!(!backend.left(&home, agent).is_empty());
    // Nothing of it runs.
    let output = run(&mut backend.command(&home, &["exec", agent, "--", "true"]));
    assert_code(&output, 125);
    fs::remove_file(&store).unwrap();
    let output = run(&mut backend.command(&home, &["save", &name]));
    assert_code(&output, 0);
    assert_saved(backend, &home, agent);
}

/// Runs a command with another file system in place of the directory of results.
fn on_small_disk(home: &Home, command: &Command, size: &str) -> Command {
    let store = home.state().join("results");
    fs::create_dir_all(&store).unwrap();
    let mut small = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o mode=700,size={size} none '{}' && exec \"$@\"", store.display());
    small.args(["--mount", "sh", "-c", &mount, "sh"]).arg(command.get_program()).args(command.get_args());
    small.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    small.current_dir(command.get_current_dir().unwrap());
    small
}

fn a_full_disk_of_results_keeps_the_bottle_until_there_is_room(backend: Backend) {
    let agent = &format!("e2e-full-store-{}", backend.name());
    let home = home(agent);
    let script = format!("head -c 3000000 /dev/urandom >target.bin; {CHANGE}; exit 3");
    let output = run(&mut on_small_disk(&home, &start(backend, &home, agent, &script), "1m"));
    assert_code(&output, 3);
    let name = home.runs().remove(0);
    for part in ["No space left on device", "its bottle is kept: ", &format!("claude-bottle save {name}")] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert_eq!(home.record(&name)["phase"], "unsaved");
    assert_eq!(results(&home)[0]["state"], "unsaved");
    assert!(!backend.left(&home, agent).is_empty());
    // Still no room: it stays.
    let output = run(&mut on_small_disk(&home, &backend.command(&home, &["save", &name]), "1m"));
    assert_code(&output, 1);
    assert!(stderr(&output).contains("No space left on device"), "{}", stderr(&output));
    let output = run(&mut backend.command(&home, &["save", &name]));
    assert_code(&output, 0);
    assert_eq!(document(&home, &name)["files"].as_array().unwrap().len(), 6);
    assert_code(&run(&mut home.command(&["results", "verify", &name])), 0);
    backend.assert_nothing_left(&home, agent);
}

fn more_changes_than_a_result_has_are_kept_until_the_user_takes_them(backend: Backend) {
    let agent = &format!("e2e-over-bound-{}", backend.name());
    let home = home(agent);
    let script = "mkdir many; cd many; seq 100000 | xargs touch";
    let output = run(&mut start(backend, &home, agent, script));
    assert_code(&output, 125);
    let name = home.runs().remove(0);
    for part in
        ["more than 100000 files changed", &format!("claude-bottle save {name} --max SIZE"), "discard"]
    {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert_eq!(home.record(&name)["phase"], "unsaved");
    let output = run(&mut backend.command(&home, &["save", &name, "--max", "3GiB"]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("100,001 files changed"), "{}", stderr(&output));
    backend.assert_nothing_left(&home, agent);
}

/// Makes a result larger than all results may be together, without a byte on the disk.
fn swell(home: &Home, run: &str) {
    let file = home.state().join("results").join(run).join("files/swollen");
    fs::File::create(file).unwrap().set_len(6 << 30).unwrap();
}

fn a_store_over_its_bound_warns_and_lets_go_of_what_was_taken_alone(backend: Backend) {
    let agent = &format!("e2e-store-bound-{}", backend.name());
    let home = home(agent);
    let mut known = Vec::new();
    let mut changed = |script: &str| {
        let output = run(&mut start(backend, &home, agent, script));
        assert_code(&output, 0);
        let all: Vec<_> = results(&home).iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect();
        let name = all.iter().find(|name| !known.contains(*name)).unwrap().clone();
        known.push(name.clone());
        (name, stderr(&output), all)
    };
    let (taken, said, _) = changed("echo a >>edited");
    assert!(!said.contains("saved results take"), "{said}");
    assert_code(&run(&mut home.command(&["apply", &taken, "--yes"])), 0);
    let (new, ..) = changed("echo b >>kept");
    swell(&home, &new);
    // Nothing that is new goes: what is saved now, and what takes all the room.
    let (third, said, left) = changed("echo c >third");
    for part in [
        &format!("saved results take 6.0 GiB; the largest is `{new}` with 6.0 GiB"),
        &format!("claude-bottle discard {new}"),
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(left.len() == 2 && !left.contains(&taken), "what was applied goes, and nothing else: {left:?}");
    assert_code(&run(&mut home.command(&["results", "verify", &third])), 0);
    assert_code(&run(&mut home.command(&["discard", &new, "--yes"])), 0);
    let (_, said, left) = changed("echo d >fourth");
    assert!(!said.contains("saved results take"), "{said}");
    assert_eq!(left.len(), 2);
    backend.assert_nothing_left(&home, agent);
}
