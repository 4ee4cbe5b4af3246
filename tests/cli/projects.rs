//! A project's manifest is found from below it, as a repository is.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::process::Output;

use crate::support::{Home, assert_code, assert_says, json, stderr, stdout};

const AGENTS: &str = "agents:\n  here: { bottle: dev, command: [echo, project] }\n";
const BOTTLES: &str = "bottles:\n  dev: { env: { COLOUR: red } }\n";

/// Calls the program two levels below the working directory.
fn below(home: &Home, arguments: &[&str]) -> Output {
    let directory = home.work().join("deep/below");
    fs::create_dir_all(&directory).unwrap();
    home.command(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn a_manifest_above_counts_and_is_named_by_the_way_to_it() {
    let home = Home::new();
    home.write("work/claude-bottle.yaml", AGENTS);
    let listed = json(&below(&home, &["list", "--format", "json"]));
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|row| row["agent"].clone()).collect();
    assert_eq!(names, ["hello", "here", "shell"]);
    assert_eq!(listed[1]["defined"], "../../claude-bottle.yaml:2");
    assert_eq!(stdout(&below(&home, &["start", "here", "--yes"])), "project\n");
    let output = below(&home, &["start", "here", "--yes", "--no-project"]);
    assert_says(&stderr(&output), &["there is no agent `here`"]);
    // The nearest one counts alone.
    home.write("work/deep/claude-bottle.yaml", "agents:\n  near: { bottle: dev }\n");
    let listed = json(&below(&home, &["list", "--format", "json"]));
    assert_eq!(
        (&listed[1]["agent"], &listed[1]["defined"]),
        (&"near".into(), &"../claude-bottle.yaml:2".into())
    );
    home.write("work/deep/claude-bottle.yaml", "agents: 1\n");
    assert_says(&stderr(&below(&home, &["list"])), &["../claude-bottle.yaml:1:9: "]);
    home.assert_nothing_left();
}

#[test]
fn it_is_trusted_edited_and_taken_back_from_below() {
    let home = Home::new();
    let manifest = home.write("work/claude-bottle.yaml", &format!("{BOTTLES}{AGENTS}"));
    let work = home.work().canonicalize().unwrap();
    let told =
        format!("the manifest of `{}` is left out: it defines bottles and is not trusted", work.display());
    let output = below(&home, &["list"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &[&told]);
    assert_code(&below(&home, &["trust", "--yes"]), 0);
    let output = below(&home, &["list"]);
    assert_says(&stdout(&output), &["here"]);
    assert_eq!(stderr(&output), "");
    let mut edit = home.command(&["edit", "--here"]);
    edit.current_dir(home.work().join("deep/below"))
        .env("EDITOR", "sh -c 'echo \"# edited\" >> \"$1\"' edit");
    assert_code(&edit.output().unwrap(), 0);
    assert!(fs::read_to_string(&manifest).unwrap().ends_with("# edited\n"));
    assert_says(&stderr(&below(&home, &["list"])), &[&told]);
    assert_says(&stderr(&below(&home, &["untrust"])), &["is not trusted any more"]);
    // A new one is for this directory.
    assert_code(&below(&home, &["init", "new", "--here", "--bottle", "dev", "--yes"]), 0);
    assert!(home.work().join("deep/below/claude-bottle.yaml").is_file());
}

/// Where anybody may write, as in `/tmp`, it would otherwise be anybody's agents that are started below.
#[test]
fn a_manifest_above_that_is_another_users_is_left_out_with_a_warning() {
    let home = Home::new();
    let manifest = home.write("work/claude-bottle.yaml", AGENTS);
    if chown(&manifest, Some(65_534), None).is_err() {
        // Only root can give a file away; to any other user this file is another's.
        fs::remove_file(&manifest).unwrap();
        symlink("/etc/passwd", &manifest).unwrap();
    }
    let output = below(&home, &["list"]);
    assert_code(&output, 0);
    assert!(!stdout(&output).contains("here"), "{}", stdout(&output));
    assert_says(&stderr(&output), &["work/claude-bottle.yaml` is left out: it belongs to another user"]);
    assert_eq!(stderr(&below(&home, &["list", "--no-project"])), "");
}

/// Who keeps settings out of the home directory keeps the manifest with them.
#[test]
fn the_users_own_manifest_may_lie_among_the_settings() {
    let home = Home::empty();
    let manifest = home.write(".config/claude-bottle/claude-bottle.yaml", &format!("{BOTTLES}{AGENTS}"));
    let listed = json(&home.call(&["list", "--format", "json"]));
    assert_eq!(listed[0]["defined"], "~/.config/claude-bottle/claude-bottle.yaml:4");
    assert_eq!(stdout(&home.call(&["start", "here", "--yes"])), "project\n");
    // It is the user's own: its bottles count without trust, and what is added to a manifest is added to it.
    assert_code(&home.call(&["init", "other", "--yes"]), 0);
    assert!(fs::read_to_string(&manifest).unwrap().contains("  other:"), "{}", manifest.display());
    assert!(!home.path().join("claude-bottle.yaml").exists());
    // Elsewhere it is shown by its whole path.
    let moved = home.path().join("elsewhere");
    fs::create_dir(&moved).unwrap();
    fs::rename(home.path().join(".config/claude-bottle"), moved.join("claude-bottle")).unwrap();
    let listed = home.command(&["list", "--format", "json"]).env("XDG_CONFIG_HOME", &moved).output().unwrap();
    assert_eq!(json(&listed)[0]["defined"], "~/elsewhere/claude-bottle/claude-bottle.yaml:4");
    home.assert_nothing_left();
}

#[test]
fn one_in_the_home_directory_counts_and_that_among_the_settings_is_said_not_to() {
    let home = Home::new();
    home.write(".config/claude-bottle/claude-bottle.yaml", AGENTS);
    let output = home.call(&["list", "--format", "json"]);
    assert_eq!(json(&output)[0]["agent"], "hello");
    assert_says(&stderr(&output), &["claude-bottle.yaml` is left out: the home directory has a manifest"]);
}
