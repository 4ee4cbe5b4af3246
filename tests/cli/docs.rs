//! The documentation names every command, flag, variable, exit code and kind of error that there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle::manifest::ProblemKind;
use claude_bottle_egress_policy::Code;
use regex::Regex;

use crate::support::root;

fn page(name: &str) -> String {
    let path = root().join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all that is not there.
#[track_caller]
fn assert_has_all<'a>(page: &str, text: &str, words: impl IntoIterator<Item = &'a String>) {
    let missing: Vec<_> = words.into_iter().filter(|word| !text.contains(&format!("`{word}"))).collect();
    assert!(missing.is_empty(), "docs/{page} does not name {missing:?}");
}

fn collect(command: &clap::Command, path: &str, words: &mut BTreeSet<String>) {
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        words.extend(
            argument
                .get_long()
                .filter(|long| !matches!(*long, "help" | "version"))
                .map(|long| format!("--{long}")),
        );
        words.extend(
            argument.get_short().filter(|short| !matches!(short, 'h' | 'V')).map(|short| format!("-{short}")),
        );
    }
    for nested in
        command.get_subcommands().filter(|nested| !nested.is_hide_set() && nested.get_name() != "help")
    {
        let path = format!("{path} {}", nested.get_name());
        words.insert(path.trim().to_owned());
        collect(nested, &path, words);
    }
}

#[test]
fn every_command_and_flag() {
    let mut words = BTreeSet::new();
    collect(&claude_bottle::definition(), "", &mut words);
    assert!(words.len() > 40 && words.contains("policy check") && words.contains("--dry-run"), "{words:?}");
    assert_has_all("cli.md", &page("cli.md"), &words);
}

/// Each command's own section names each of its flags.
#[test]
fn every_flag_in_its_commands_section() {
    let text = page("cli.md");
    for command in claude_bottle::definition().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let mut words = BTreeSet::new();
        collect(command, name, &mut words);
        let section = text
            .split("\n### ")
            .find(|section| section.lines().next().unwrap().contains(&format!("`{name}`")))
            .unwrap_or_else(|| panic!("docs/cli.md has no section for `{name}`"));
        let missing: Vec<_> =
            words.iter().filter(|word| word.starts_with("--") && !section.contains(word.as_str())).collect();
        assert!(missing.is_empty(), "the section of `{name}` does not name {missing:?}");
    }
}

#[test]
fn every_kind_of_problem_of_a_manifest() {
    let text = page("manifest.md");
    let codes: Vec<_> = ProblemKind::ALL.iter().map(|kind| kind.code().to_owned()).collect();
    assert_has_all("manifest.md", &text, &codes);
}

/// The codes of a plug-in's file are spread over the types that judge it; they are read from the source.
#[test]
fn every_kind_of_problem_of_a_plugin() {
    let arm = Regex::new(r#"=> "([a-z0-9-]+)""#).unwrap();
    let mut codes = BTreeSet::new();
    for file in ["error.rs", "guard/mod.rs", "preflight.rs", "load.rs"] {
        let text = fs::read_to_string(root().join("host/src/plugins").join(file)).unwrap();
        let body = text.split_once("fn code(&self) -> &'static str {").expect(file).1;
        let body = body.split_once("\n    }\n").unwrap().0;
        codes.extend(arm.captures_iter(body).map(|found| found[1].to_owned()));
    }
    assert!(codes.len() > 30 && codes.contains("not-found") && codes.contains("layout"), "{codes:?}");
    assert_has_all("cli.md", &page("cli.md"), &codes);
}

#[test]
fn every_code_of_the_proxy() {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_has_all("cli.md", &page("cli.md"), &codes);
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_variable() {
    let read = Regex::new(r#"(?:setting|switch|text)\("([A-Z_]+)"\)"#).unwrap();
    let mut files = Vec::new();
    sources(&root().join("host/src"), &mut files);
    for backend in ["docker", "bubblewrap", "podman", "kubernetes", "directory", "kit"] {
        sources(&root().join("plugins").join(backend).join("src"), &mut files);
    }
    let mut names: BTreeSet<String> = ["OAUTH_TOKEN", "PLUGIN_PATH", "LOG"].map(str::to_owned).into();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        names.extend(read.captures_iter(&text).map(|found| found[1].to_owned()));
    }
    // Faults are for the project's own tests.
    names.retain(|name| name != "FAULT");
    assert!(names.len() > 10 && names.contains("DRY_RUN") && names.contains("IMAGE"), "{names:?}");
    let names: Vec<_> = names.into_iter().map(|name| format!("CLAUDE_BOTTLE_{name}`")).collect();
    assert_has_all("cli.md", &page("cli.md"), &names);
}

#[test]
fn every_exit_code() {
    use claude_bottle::error::Exit;
    let text = page("cli.md");
    for exit in [Exit::Failed, Exit::Usage, Exit::Bug, Exit::Start, Exit::Interrupted] {
        assert!(
            text.contains(&format!("| {} |", exit.code())),
            "docs/cli.md does not explain {}",
            exit.code()
        );
    }
}
