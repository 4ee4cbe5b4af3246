//! The working directory's manifest: what it may do by itself, what it may do once trusted, and which of two wins.

use std::fs;

use claude_bottle::manifest::{ProblemKind, ProjectFile, Role};

use crate::fixture::{BASE, Fixture};

const PROJECT: &str = "bottles:\n  base:\n    egress:\n      allowlist: [evil.example]\n  extra: {}\nagents:\n  shared:\n    bottle: extra\n";

/// A fixture with a manifest at home and one in the project.
fn fixture(project: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yaml", BASE);
    fixture.write("project/claude-bottle.yaml", project);
    fixture
}

/// Trusts what the project's file holds now.
fn trust(fixture: &Fixture) {
    let file = ProjectFile::inspect(&fixture.locations()).unwrap().unwrap();
    fixture.trust().trust(&file.path, &file.content).unwrap();
}

#[test]
fn agents_need_no_trust_and_win_by_name() {
    let fixture = fixture(include_str!("good/project-agents.yaml"));
    let manifest = fixture.load().unwrap();
    let names: Vec<&str> = manifest.agents().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["helper", "shared"]);
    assert_eq!(manifest.agent("shared").unwrap().agent.prompt, "from the project");
    assert_eq!(manifest.agent("helper").unwrap().agent.prompt, "A prompt of the project.\n");
    assert_eq!(manifest.agent("shared").unwrap().agent.origin.to_string(), "claude-bottle.yaml:6");
    let roles: Vec<(Role, bool)> = manifest.files().iter().map(|file| (file.role, file.trusted)).collect();
    assert_eq!(roles, [(Role::Home, true), (Role::Project, false)]);
}

#[test]
fn bottles_count_once_trusted_and_until_a_change() {
    let fixture = fixture(PROJECT);
    assert!(fixture.load().unwrap_err().has(ProblemKind::Untrusted));

    trust(&fixture);
    let manifest = fixture.load().unwrap();
    assert_eq!(manifest.bottle("base").unwrap().egress.rules.len(), 1);
    assert_eq!(manifest.agent("shared").unwrap().bottle.name.as_str(), "extra");

    fixture.write("project/claude-bottle.yaml", format!("{PROJECT}# a comment is a change\n"));
    assert!(fixture.load().unwrap_err().has(ProblemKind::Untrusted));

    fixture.write("project/claude-bottle.yaml", PROJECT);
    assert!(fixture.load().is_ok());
    let file = ProjectFile::inspect(&fixture.locations()).unwrap().unwrap();
    assert!(fixture.trust().untrust(&file.path).unwrap());
    assert!(fixture.load().unwrap_err().has(ProblemKind::Untrusted));
}

#[test]
fn trust_is_about_the_real_path() {
    let fixture = fixture(PROJECT);
    trust(&fixture);
    // The same content elsewhere is not trusted, and neither is the trusted file's name with other content behind it.
    let elsewhere = Fixture::new();
    elsewhere.write("home/claude-bottle.yaml", BASE);
    elsewhere.write("project/claude-bottle.yaml", PROJECT);
    assert!(elsewhere.load().unwrap_err().has(ProblemKind::Untrusted));

    let link = fixture.home().join("by-link");
    std::os::unix::fs::symlink(fixture.cwd(), &link).unwrap();
    let mut locations = fixture.locations();
    locations.cwd = link;
    let manifest = claude_bottle::manifest::Manifest::load(&locations, &fixture.trust());
    assert!(manifest.is_ok(), "the same file by another way is the same file");
}

#[test]
fn what_trust_would_grant_is_shown_first() {
    let fixture = fixture(PROJECT);
    let file = ProjectFile::inspect(&fixture.locations()).unwrap().unwrap();
    assert_eq!(file.path, fs::canonicalize(fixture.cwd().join("claude-bottle.yaml")).unwrap());
    assert_eq!(file.content, PROJECT.as_bytes());
    let bottles: Vec<&str> = file.bottles.iter().map(|bottle| bottle.name.as_str()).collect();
    assert_eq!(bottles, ["base", "extra"]);
    assert_eq!(file.bottles[0].egress.rules[0].to_string(), "evil.example");
    let replaces: Vec<&str> = file.replaces.iter().map(|name| name.as_str()).collect();
    assert_eq!(replaces, ["base"]);
    assert_eq!(file.agents.len(), 1);
}

#[test]
fn there_may_be_nothing_to_trust() {
    let fixture = Fixture::new();
    assert!(ProjectFile::inspect(&fixture.locations()).unwrap().is_none());
    fixture.write("home/claude-bottle.yaml", BASE);
    assert!(ProjectFile::inspect(&fixture.locations()).unwrap().is_none());
    fixture.write("project/claude-bottle.yaml", "bottles: 1\n");
    assert!(ProjectFile::inspect(&fixture.locations()).unwrap_err().has(ProblemKind::WrongType));
}

#[test]
fn the_home_directory_as_working_directory_is_the_users_own() {
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yaml", BASE);
    let mut locations = fixture.locations();
    locations.cwd = fixture.home().join("../home/./");
    let manifest = claude_bottle::manifest::Manifest::load(&locations, &fixture.trust()).unwrap();
    assert_eq!(manifest.files().len(), 1);
    assert_eq!(manifest.files()[0].role, Role::Home);
}

#[test]
fn an_edited_file_is_judged_before_it_is_written() {
    let fixture = fixture("agents: {}\n");
    let path = fixture.cwd().join("claude-bottle.yaml");
    let check = |text: &str| {
        let (locations, trust) = (fixture.locations(), fixture.trust());
        claude_bottle::manifest::Manifest::check_candidate(&locations, &trust, &path, text.as_bytes())
    };
    assert!(check(PROJECT).is_ok());
    let errors = check("agents:\n  a:\n    bottle: bse\n").unwrap_err();
    assert!(errors.report().starts_with("claude-bottle.yaml:3:13: "), "{}", errors.report());
    assert!(errors.report().contains("did you mean `base`?"), "{}", errors.report());
    let new = fixture.home().join("claude-bottle.json");
    fs::remove_file(fixture.home().join("claude-bottle.yaml")).unwrap();
    let (locations, trust) = (fixture.locations(), fixture.trust());
    let candidate = claude_bottle::manifest::Manifest::check_candidate(
        &locations,
        &trust,
        &new,
        b"{\"bottles\": {\"base\": {}}, \"agents\": {}}",
    );
    assert!(candidate.is_ok(), "a file that is not there yet");
}
