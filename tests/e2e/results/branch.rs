//! The agent's own commits, as a branch of the user's repository: the same commits, and nothing that is not a plain history.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{document, home, results, sh};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(the_agents_own_commits_come_as_a_branch, hostile_commits_are_left_out_and_said);

fn start(backend: Backend, home: &Home, agent: &str, script: &str) -> Command {
    fs::write(home.path().join(".gitconfig"), "[user]\nname = Ada\nemail = ada@example.test\n").unwrap();
    backend.command(home, &["start", agent, "--cwd", "--commits", "--yes", "--", script])
}

fn the_agents_own_commits_come_as_a_branch(backend: Backend) {
    let agent = &format!("e2e-commits-{}", backend.name());
    let home = home(agent);
    let script = "git checkout -q -b fix; echo run >.envrc; echo a >>edited; git add -A; git commit -qm 'First change'; \
                  git rm -q gone .envrc; git commit -qm 'Second change'; git rev-parse HEAD; echo loose >loose";
    let output = run(&mut start(backend, &home, agent, script));
    assert_code(&output, 0);
    let id = stdout(&output).trim().to_owned();
    let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(document(&home, &name)["commits"]["count"], 2);
    assert_code(&run(&mut home.command(&["results", "verify", &name])), 0);
    let hook = home.work().join(".git/hooks/reference-transaction");
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", home.path().join("canary").display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    let apply = |code: i32, more: &[&str]| {
        let arguments = [&["apply", &name, "-y", "--branch", "agent/fix", "--commits"][..], more].concat();
        let output = run(&mut backend.command(&home, &arguments));
        assert_code(&output, code);
        stdout(&output) + &stderr(&output)
    };
    // A file that is in none of the files of the result, since a later commit took it away.
    assert!(apply(1, &[]).contains(".envrc"));
    let said = apply(0, &["--accept", "runs"]);
    assert!(said.contains(&format!("2 commits of the agent's: {id}")), "{said}");
    assert!(said.contains("1 paths are not the same there as in the result: loose"), "{said}");
    sh(
        &home,
        &format!(
            "test \"$(git rev-parse agent/fix)\" = {id}; test \"$(git log --format=%an:%s main..agent/fix | tr '\\n' ' ')\" = \
             'Ada:Second change Ada:First change '; test -z \"$(git status --porcelain)\"; git fsck --strict 2>&1; test ! -e ../canary"
        ),
    );
    assert!(apply(1, &["--accept", "runs"]).contains("the branch `agent/fix` exists"));
    backend.assert_nothing_left(&home, agent);
}

fn hostile_commits_are_left_out_and_said(backend: Backend) {
    let agent = &format!("e2e-hostile-commits-{}", backend.name());
    for (script, says) in [
        (
            "blob=$(echo evil | git hash-object -w --stdin); tree=$(printf '100644 blob %s\\tconfig\\n' $blob | git mktree); \
             top=$(printf '040000 tree %s\\t.git\\n' $tree | git mktree); \
             git update-ref HEAD $(git commit-tree -p HEAD -m evil $top)",
            "cannot be in a repository",
        ),
        (
            "git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),sub; git commit -qm sub",
            "a kind of file that is not taken",
        ),
        (
            "printf 'x\\033]52;c;eA==\\007' | git commit -q --allow-empty -F -",
            "a message has what a terminal obeys",
        ),
        // The git inside is the agent's.
        (
            "mkdir ~/bin; git() { :; }; git config alias.x y; git commit -q --allow-empty -m x; rm -rf .git",
            "ended with",
        ),
    ] {
        let home = home(agent);
        let output = run(&mut start(backend, &home, agent, &format!("echo two >edited; {script}")));
        assert_code(&output, 0);
        let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
        let document = document(&home, &name);
        assert!(document["commits"].is_null(), "{script}");
        let skipped = document["left_out"]["skipped"].to_string();
        assert!(skipped.contains("the agent's commits: ") && skipped.contains(says), "{script}: {skipped}");
        assert!(stderr(&output).contains("left behind: the agent's commits: "), "{}", stderr(&output));
        let arguments = ["apply", &name, "-y", "--branch", "x", "--commits"];
        let output = run(&mut backend.command(&home, &arguments));
        assert_code(&output, 1);
        assert!(stderr(&output).contains("has no commits of the agent's"), "{}", stderr(&output));
        // The files come all the same.
        assert_code(&run(&mut backend.command(&home, &["apply", &name, "-y"])), 0);
        assert_eq!(fs::read_to_string(home.work().join("edited")).unwrap(), "two\n");
        backend.assert_nothing_left(&home, agent);
    }
}
