//! What git sees of a repository, a worktree and a submodule that came through an archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_bottle_plugin_api::{AgentSpec, Owner};

use super::*;

const HOME: &str = "/home/node";

/// Runs the host's git, for fixtures alone.
fn run_git(dir: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"];
    let mut command = Command::new("git");
    command.args(identity).args(words).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Puts the files together as the bottle would see them, and returns where the workspace is.
fn unpacked(source: &Path, into: &Path) -> PathBuf {
    let mut spec = Spec::new("dev-1", AgentSpec::new("dev", Vec::new()), Owner::new("h", 1, 1));
    spec.workspace = Some(Workspace::new(source));
    survey(&spec).unwrap();
    let place = Place::of(&spec, HOME, |_| true);
    let owner = (1000, 1000);
    let contents = Contents {
        spec: &spec,
        home: HOME,
        owner,
        skills_dir: "/home/node/.claude/skills",
        place: &place,
        has_place: true,
    };
    let mut files = Files::of(owner);
    contents.workspace(&mut files).unwrap();
    contents.git(&mut files).unwrap();
    let mut archive = Vec::new();
    files.write_to(&mut archive).unwrap();
    tar::Archive::new(archive.as_slice()).unpack(into).unwrap();
    into.join("home/node/workspace")
}

#[test]
fn repository_worktree_and_submodule_are_as_clean_inside_as_on_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    fs::create_dir(&repo).unwrap();
    run_git(&repo, &["init", "-q", "-b", "main"]);
    fs::write(repo.join("file"), "one\n").unwrap();
    run_git(&repo, &["add", "."]);
    run_git(&repo, &["commit", "-qm", "first"]);
    run_git(&repo, &["worktree", "add", "-q", "-b", "side", "../tree"]);
    let outer = dir.path().join("outer");
    fs::create_dir(&outer).unwrap();
    run_git(&outer, &["init", "-q"]);
    run_git(&outer, &["submodule", "--quiet", "add", "../repo", "sub"]);
    for (n, (source, branch)) in
        [(repo, "main"), (dir.path().join("tree"), "side"), (outer.join("sub"), "main")]
            .into_iter()
            .enumerate()
    {
        fs::write(source.join("new"), "uncommitted").unwrap();
        let inside = unpacked(&source, &dir.path().join(format!("bottle-{n}")));
        let said = |words: &[&str]| {
            let output = Command::new("git").args(words).current_dir(&inside).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(said(&["status", "--porcelain"]), "?? new\n", "{}", source.display());
        assert_eq!(said(&["branch", "--show-current"]), format!("{branch}\n"));
        assert!(said(&["log", "--oneline"]).ends_with("first\n"));
    }
}
