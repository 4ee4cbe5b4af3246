//! What is too much to come along with `--cwd`, and who commits are by.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Home, assert_code, assert_says, stderr, stdout};

/// Makes a repository by the host's git.
fn repository(at: &Path) {
    fs::create_dir_all(at).unwrap();
    let mut git = Command::new("git");
    git.args(["init", "-q"]).current_dir(at).env_clear().env("PATH", "/usr/bin:/bin");
    assert!(git.status().unwrap().success());
}

fn plan(home: &Home, directory: &Path) -> Output {
    home.command(&["start", "hello", "--dry-run"]).current_dir(directory).output().unwrap()
}

/// Returns the plan with all that was said of it.
fn text(output: &Output) -> String {
    stdout(output) + &stderr(output)
}

#[test]
fn what_is_too_much_to_be_meant_is_refused_by_name() {
    let home = Home::new();
    let refused = |directory: &Path, cwd: &str, expected: &str| {
        for arguments in [&["--dry-run", cwd][..], &["--yes", cwd]] {
            let mut words = vec!["start", "hello"];
            words.extend(arguments);
            let output = home.command(&words).current_dir(directory).output().unwrap();
            assert_code(&output, 125);
            assert_says(&stderr(&output), &[expected, "hint: change to a project's directory, or name it"]);
        }
        home.assert_nothing_left();
    };
    refused(home.path(), "--cwd", "is your home directory");
    refused(&home.work(), "--cwd=..", "is your home directory");
    refused(Path::new("/"), "--cwd", "a whole machine cannot be copied");
    refused(home.path().parent().unwrap(), "--cwd", "contains your home directory");
    let state = home.path().join(".local/state");
    fs::create_dir_all(state.join("claude-bottle")).unwrap();
    refused(&state, "--cwd", "contains files of claude-bottle's own");
    let missing = home.call(&["start", "hello", "--dry-run", "--cwd=nowhere"]);
    assert_code(&missing, 125);
    assert_says(&stderr(&missing), &["find the directory", "nowhere"]);
}

/// Runs a git command in a repository of a home.
fn git(home: &Home, at: &Path, words: &[&str]) {
    let mut git = Command::new("git");
    git.args(words).current_dir(at).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path());
    assert!(git.status().unwrap().success());
}

#[test]
fn commits_are_by_whom_the_hosts_git_names_in_that_directory() {
    let home = Home::new();
    let by = |directory: &Path| {
        let text = text(&plan(&home, directory));
        let row = text.lines().find_map(|line| line.trim().strip_prefix("commits by"));
        row.map(|row| row.trim().to_owned())
    };
    let (own, work) = (home.work().join("own"), home.work().join("job/work"));
    repository(&own);
    repository(&work);
    assert_eq!(by(&own), None);
    let include =
        format!("[includeIf \"gitdir:{}/job/\"]\n\tpath = ~/job.gitconfig\n", home.work().display());
    home.write(".gitconfig", &format!("[user]\n\tname = Ada\n\temail = ada@example.com\n{include}"));
    home.write("job.gitconfig", "[user]\n\temail = ada@job.example\n");
    assert_eq!(by(&own).as_deref(), Some("Ada <ada@example.com>"));
    assert_eq!(by(&work).as_deref(), Some("Ada <ada@job.example>"));
    // What the repository says itself travels with it.
    git(&home, &own, &["config", "user.name", "Somebody"]);
    assert_eq!(by(&own).as_deref(), Some("Ada <ada@example.com>"));
    // A program of that name in the directory is not git.
    fs::write(own.join("git"), "#!/bin/sh\ntouch ran\n").unwrap();
    Command::new("chmod").arg("755").arg(own.join("git")).status().unwrap();
    let mut command = home.command(&["start", "hello", "--dry-run"]);
    let output = command.current_dir(&own).env("PATH", ".::/usr/bin:/bin").output().unwrap();
    assert_says(&text(&output), &["commits by", "Ada <ada@example.com>"]);
    assert!(!own.join("ran").exists());
}

#[test]
fn the_manifest_has_the_last_word_on_who_commits_are_by() {
    let manifest = |identity: &str| {
        format!(
            "bottles:\n  dev:\n    git_identity: {identity}\nagents:\n  hello:\n    bottle: dev\n    command: [echo]\n"
        )
    };
    let home = Home::with(&manifest("{name: Bob, email: bob@example.com}"));
    home.write(".gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.com\n");
    assert_says(&text(&plan(&home, &home.work())), &["Bob <bob@example.com>"]);
    fs::write(home.manifest(), manifest("none")).unwrap();
    assert!(!text(&plan(&home, &home.work())).contains("commits by"));
}
