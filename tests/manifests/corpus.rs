//! Each bad manifest has its message beside it. `UPDATE_EXPECT=1` writes the messages again; read them before a commit.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use claude_bottle::manifest::{ManifestErrors, ProblemKind, schema};

use crate::fixture::{BASE, Fixture, files, shown};

/// Kinds that the schema can see too: what it accepts may not fail with one of these.
const SEEN_BY_SCHEMA: &[ProblemKind] =
    &[ProblemKind::UnknownKey, ProblemKind::RuntimeKey, ProblemKind::MissingKey, ProblemKind::WrongType];

/// Loads a case where it belongs: `project-…` in the working directory, the rest at home.
fn errors_of(case: &Path) -> ManifestErrors {
    let fixture = Fixture::new();
    let name = case.file_name().unwrap().to_str().unwrap();
    let extension = case.extension().unwrap().to_str().unwrap();
    let content = fs::read(case).unwrap();
    if name.starts_with("project-") {
        fixture.write("home/claude-bottle.yaml", BASE);
        fixture.write(&format!("project/claude-bottle.{extension}"), content);
    } else {
        fixture.write(&format!("home/claude-bottle.{extension}"), content);
    }
    match fixture.load() {
        Ok(_) => panic!("{name} was accepted"),
        Err(errors) => errors,
    }
}

#[test]
fn every_bad_manifest_has_its_message() {
    let cases = files("bad");
    assert!(cases.len() >= 60, "only {} cases are left", cases.len());
    let update = is_asked_to_update(std::env::var_os("UPDATE_EXPECT").as_deref());
    let mut wrong = Vec::new();
    for case in &cases {
        let got = shown(&errors_of(case));
        let mut expected_file = case.clone().into_os_string();
        expected_file.push(".expected");
        if update {
            fs::write(&expected_file, &got).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap_or_default();
        if got != expected {
            wrong.push(format!("=== {}\n--- expected\n{expected}--- got\n{got}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {} differ", wrong.join("\n"), wrong.len(), cases.len());
}

/// Returns `true` if the messages are to be written again: only `1` says so.
fn is_asked_to_update(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| value == "1")
}

#[test]
fn only_1_writes_the_messages_again() {
    assert!(is_asked_to_update(Some(OsStr::new("1"))));
    for value in [None, Some(""), Some("0"), Some("no")] {
        assert!(!is_asked_to_update(value.map(OsStr::new)), "{value:?}");
    }
}

#[test]
fn every_kind_of_problem_has_a_case() {
    // These are about a directory or a size, and have their tests in `hostile`.
    let elsewhere =
        [ProblemKind::NoFile, ProblemKind::TwoFiles, ProblemKind::ReadFile, ProblemKind::FileTooLarge];
    let mut codes: BTreeSet<&str> = elsewhere.iter().map(|kind| kind.code()).collect();
    for case in files("bad") {
        codes.extend(errors_of(&case).problems().iter().map(|problem| problem.kind().code()));
    }
    let all: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(codes, all);
}

#[test]
fn no_message_shows_the_value_of_a_variable() {
    let mut planted = 0;
    for case in files("bad") {
        let text = fs::read(&case).unwrap();
        planted += usize::from(String::from_utf8_lossy(&text).contains("canary"));
        let errors = errors_of(&case);
        let all = format!("{} {errors:?}", shown(&errors));
        assert!(!all.contains("canary"), "{}: {all}", case.display());
    }
    assert!(planted >= 5, "the canaries are gone");
}

#[test]
fn no_message_steers_the_terminal() {
    for case in files("bad") {
        let text = shown(&errors_of(&case));
        let odd =
            text.chars().find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(odd, None, "{}", case.display());
    }
}

#[test]
fn the_schema_refuses_what_the_load_refuses_for_its_shape() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut compared = 0;
    for case in files("bad") {
        let errors = errors_of(&case);
        if !errors.problems().iter().any(|problem| SEEN_BY_SCHEMA.contains(&problem.kind())) {
            continue;
        }
        // What no YAML parser reads has no shape.
        let text = fs::read_to_string(&case).unwrap();
        let Ok(value) = serde_yaml::from_str::<serde_json::Value>(&text) else { continue };
        compared += 1;
        assert!(!validator.is_valid(&value), "the schema accepts {}", case.display());
    }
    assert!(compared >= 20, "only {compared} cases were compared");
}
