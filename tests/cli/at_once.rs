//! `start --apply`: what needs no word of its own is taken at once, and all else is left to the user. On the fake backend.

use std::fs;
use std::process::Output;

use crate::support::{Home, assert_code, assert_says, json, stderr};

fn home() -> Home {
    let home = Home::new();
    home.write("work/edited", "one\n");
    home
}

fn start(home: &Home, script: &str) -> Output {
    home.call(&["start", "shell", "--cwd", "--apply", "--yes", "--", script])
}

fn state(home: &Home) -> String {
    json(&home.call(&["results", "--format", "json"]))[0]["state"].as_str().unwrap().to_owned()
}

fn edited(home: &Home) -> String {
    fs::read_to_string(home.work().join("edited")).unwrap()
}

#[test]
fn what_needs_no_word_is_taken_at_once_and_can_be_taken_back() {
    let home = home();
    let output = start(&home, "echo two >edited; echo new >added; echo s >.env; exit 3");
    assert_code(&output, 3);
    let said = stderr(&output);
    assert_says(
        &said,
        &["3 files changed", "wrote 2 changes to ", "hint: go back: claude-bottle apply shell-"],
    );
    assert!(!said.contains("take them"), "{said}");
    assert_eq!((edited(&home), state(&home)), ("two\n".to_owned(), "applied".to_owned()));
    assert!(home.work().join("added").exists());
    assert!(!home.work().join(".env").exists(), "what the copy leaves out is taken by name alone");
    assert_code(&home.call(&["apply", "--undo", "-y"]), 0);
    assert_eq!(edited(&home), "one\n");
    home.assert_nothing_left();
}

#[test]
fn a_marked_file_leaves_everything_to_the_user() {
    let home = home();
    let output = start(&home, "echo two >edited; echo run >.envrc");
    assert_code(&output, 0);
    assert_says(
        &stderr(&output),
        &[
            "take them: claude-bottle apply shell-",
            "nothing was taken: a word of your own is needed for .envrc",
        ],
    );
    assert_eq!((edited(&home), state(&home)), ("one\n".to_owned(), "new".to_owned()));
    assert!(!home.work().join(".envrc").exists());
    home.assert_nothing_left();
}

#[test]
fn a_conflict_leaves_everything_to_the_user() {
    let home = home();
    // What somebody does here meanwhile.
    let script = format!("echo two >edited; echo new >added; echo mine >{}/edited", home.work().display());
    let output = start(&home, &script);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["nothing was taken: 1 path changed here since"]);
    assert_eq!((edited(&home), state(&home)), ("mine\n".to_owned(), "new".to_owned()));
    assert!(!home.work().join("added").exists());
    for wrong in [&["start", "shell", "--apply"][..], &["start", "shell", "--cwd", "--apply", "--no-save"]] {
        assert_code(&home.call(wrong), 2);
    }
    home.assert_nothing_left();
}
