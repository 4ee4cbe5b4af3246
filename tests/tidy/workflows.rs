//! The files that a forge runs: each of their jobs is a make target, so that all of it runs by hand too.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;

use super::root;

/// Returns the targets that the Makefile has a rule for.
fn targets() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("Makefile")).unwrap();
    let rule = Regex::new(r"(?m)^([a-z][a-z-]*):").unwrap();
    rule.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// Returns the targets that a text calls, where each line is read from its `make` on.
fn called(text: &str, before: &str) -> BTreeSet<String> {
    let call = Regex::new(&format!(r"(?m){before}make ((?:[A-Z_]+=\S+ )*[a-z][a-z-]*)")).unwrap();
    let last = |words: &str| words.rsplit(' ').next().unwrap().to_owned();
    call.captures_iter(text).map(|found| last(&found[1])).collect()
}

fn workflows() -> Vec<(String, String)> {
    let directory = root().join(".github/workflows");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| (file.display().to_string(), fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn a_workflow_calls_make_targets_that_there_are() {
    let targets = targets();
    let mut all = BTreeSet::new();
    for (file, text) in workflows() {
        let called = called(&text, r"(?:run: |&& |^\s+)");
        let missing: Vec<_> = called.difference(&targets).collect();
        assert!(missing.is_empty(), "{file} calls `make` for {missing:?}");
        all.extend(called);
    }
    // What a change has to pass, and what is looked at each night.
    for wanted in ["check", "lint", "deny", "typos", "unused", "semver", "crates", "test", "book", "release"]
    {
        assert!(all.contains(wanted), "no workflow calls `make {wanted}`");
    }
    for wanted in ["fuzz", "outdated", "reproducible", "bench"] {
        assert!(all.contains(wanted), "no workflow calls `make {wanted}`");
    }
}

/// A job that does more than a target does is one that a contributor cannot repeat.
#[test]
fn a_workflow_runs_nothing_but_targets_and_what_installs_their_tools() {
    let run = Regex::new(r"(?m)^\s+(?:- )?run: (.*)$").unwrap();
    let known = Regex::new(
        r"^(make [a-z-]+( [A-Z_]+=\S+| [a-z]+)*|cargo \+stable install --locked [a-z0-9 .-]+|rustup toolchain install .*|cargo check --locked .*)$",
    );
    let known = known.unwrap();
    for (file, text) in workflows() {
        for step in run
            .captures_iter(&text)
            .flat_map(|found| found[1].split(" && ").map(str::to_owned).collect::<Vec<_>>())
        {
            assert!(known.is_match(&step), "{file} runs `{step}`");
        }
    }
}

#[test]
fn the_documents_call_make_targets_that_there_are() {
    let targets = targets();
    let mut called_at_all = 0;
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "tests/README.md",
        "docs/install.md",
        "docs/testing.md",
        "docs/performance.md",
    ] {
        let called = called(&fs::read_to_string(root().join(file)).unwrap(), r"(?:`|^    )");
        let missing: Vec<_> = called.difference(&targets).collect();
        assert!(missing.is_empty(), "{file} names `make` with {missing:?}");
        called_at_all += called.len();
    }
    assert!(called_at_all > 15, "the search found {called_at_all} only");
}
