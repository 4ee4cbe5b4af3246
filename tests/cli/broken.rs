//! An agent that has a problem blocks itself and no other.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, stderr, stdout};

const MANIFEST: &str = "\
bottles:
  dev: {}
agents:
  good: { bottle: dev, command: [echo, good] }
  skilled: { bottle: dev, skills: [nope] }
  lost: { bottle: gone }
  odd: { bottle: dev, promt: x }
";

#[test]
fn the_others_start_and_it_says_what_is_wrong_with_it() {
    let home = Home::with(MANIFEST);
    assert_eq!(stdout(&home.call(&["start", "good", "--yes", "-q"])), "good\n");
    assert_snapshot!(home.shown(&["start", "skilled", "--yes"]), @"
    exit 125
    --- stderr
    error: the manifest has a problem

    ~/claude-bottle.yaml:5:36: the skill `nope` is not installed [missing-skill]
        5 |   skilled: { bottle: dev, skills: [nope] }
          |                                    ^^^^
        = skills are directories in ~/.claude/skills; there: none
    ");
    for (agent, kind) in [("lost", "[undefined-bottle]"), ("odd", "[unknown-key]")] {
        let output = home.call(&["info", agent]);
        assert_code(&output, 1);
        assert_says(&stderr(&output), &["error: the manifest has a problem", kind]);
    }
    let output = home.call(&["list"]);
    assert_code(&output, 0);
    assert!(stdout(&output).contains("good") && !stdout(&output).contains("odd"), "{}", stdout(&output));
    for agent in ["skilled", "lost", "odd"] {
        let told =
            format!("warning: agent `{agent}` has a problem and cannot be used: claude-bottle info {agent}");
        assert_says(&stderr(&output), &[&told]);
    }
    home.assert_nothing_left();
}

#[test]
fn a_doctor_names_it_and_an_editor_is_told_at_once() {
    let home = Home::with(MANIFEST);
    let output = home.call(&["doctor", "--format", "json"]);
    assert_code(&output, 1);
    let agents: Vec<_> =
        json(&output)[0]["agents"].as_array().unwrap().iter().map(|row| row["agent"].clone()).collect();
    assert_eq!(agents, ["lost", "odd", "skilled"]);
    // What is saved by a command is whole.
    let output = home.call(&["init", "new", "--bottle", "dev", "--yes"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["the manifest has 3 problems"]);
}

/// What is wrong elsewhere may be about any agent: a bottle, a file, a key of the whole.
#[test]
fn what_is_wrong_with_a_bottle_or_the_file_blocks_all() {
    for manifest in [
        MANIFEST.replace("dev: {}", "dev: { limits: { cpus: none } }"),
        format!("{MANIFEST}agent: {{}}\n"),
        MANIFEST.replace("odd:", "Odd Name:"),
    ] {
        let home = Home::with(&manifest);
        assert_code(&home.call(&["start", "good", "--yes"]), 125);
        assert_code(&home.call(&["list"]), 1);
    }
}

/// An agent of the project that has a problem stands in the place of the user's own of that name.
#[test]
fn it_does_not_give_way_to_another_of_its_name() {
    let home = Home::with("bottles:\n  dev: {}\nagents:\n  mine: { bottle: dev, command: [echo, own] }\n");
    home.write("work/claude-bottle.yaml", "agents:\n  mine: { bottle: dev, skills: [nope] }\n");
    let output = home.call(&["start", "mine", "--yes"]);
    assert_code(&output, 125);
    assert_says(&stderr(&output), &["the skill `nope` is not installed"]);
    assert_eq!(stdout(&home.call(&["start", "mine", "--yes", "-q", "--no-project"])), "own\n");
    // The other way round the project's is a good one.
    home.write("claude-bottle.yaml", "bottles:\n  dev: {}\nagents:\n  mine: { bottle: gone }\n");
    home.write("work/claude-bottle.yaml", "agents:\n  mine: { bottle: dev, command: [echo, project] }\n");
    assert_eq!(stdout(&home.call(&["start", "mine", "--yes", "-q"])), "project\n");
}
