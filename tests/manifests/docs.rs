//! The manifest reference: every example in it is loaded, and every key and kind of problem is in it.

use std::collections::BTreeSet;

use claude_bottle::egress::presets::{PRESETS, Preset};
use claude_bottle::manifest::{ProblemKind, schema};
use serde_json::Value;

use crate::fixture::Fixture;

const REFERENCE: &str = include_str!("../../docs/manifest.md");

/// What is said by task, with manifests in it: each of their blocks is one.
const BY_TASK: [&str; 4] = [
    include_str!("../../docs/agents.md"),
    include_str!("../../docs/ci.md"),
    include_str!("../../docs/many-agents.md"),
    include_str!("../../docs/secrets.md"),
];

/// Returns the fenced blocks of the reference as language and text.
fn blocks() -> Vec<(String, String)> {
    blocks_of(REFERENCE)
}

fn blocks_of(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn every_example_loads_and_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut loaded = 0;
    for (language, text) in blocks().into_iter().chain(BY_TASK.into_iter().flat_map(blocks_of)) {
        // The user's own settings, in another file.
        if text.starts_with("token:") {
            continue;
        }
        let value: Value = match language.as_str() {
            "yaml" => serde_yaml::from_str(&text).unwrap(),
            "json" => serde_json::from_str(&text).unwrap(),
            "text" | "sh" => continue,
            other => panic!("a block is in `{other}`"),
        };
        let fixture = Fixture::new();
        fixture.write("home/prompts/review.md", "Review.");
        fixture.write(&format!("home/claude-bottle.{language}"), &text);
        assert_eq!(fixture.report(), "the manifest was accepted", "{text}");
        assert!(validator.is_valid(&value), "{text}");
        loaded += 1;
    }
    assert!(loaded >= 6, "only {loaded} examples are left");
}

#[test]
fn the_files_in_examples_load_and_fit_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        // Not every machine has Go where its makers put it.
        let text = std::fs::read_to_string(&file).unwrap().replace("/usr/local/go", "~/go");
        let fixture = Fixture::new();
        for tool in [".local/share/pnpm/pnpm", ".local/bin/uv", "go/bin/go"] {
            fixture.write(&format!("home/{tool}"), "a program");
        }
        fixture.write("home/claude-bottle.yaml", &text);
        assert_eq!(fixture.report(), "the manifest was accepted", "{}", file.display());
        let value: Value = serde_yaml::from_str(&text).unwrap();
        assert!(validator.is_valid(&value), "{}", file.display());
    }
}

#[test]
fn the_page_of_ci_services_shows_the_example() {
    let example = include_str!("../../examples/ci.yaml").lines();
    let lines: Vec<_> = example.filter(|line| !line.trim_start().starts_with('#')).collect();
    let shown = blocks_of(include_str!("../../docs/ci.md")).remove(0);
    assert_eq!(shown.1.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_shown_message_is_the_real_one() {
    let blocks = blocks();
    let block = |start: &str| &blocks.iter().find(|(_, text)| text.contains(start)).unwrap().1;
    let wrong = block("# wrong on purpose");
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yaml", wrong);
    let report = fixture.load().unwrap_err().report();
    assert!(block("[unknown-key]").contains(&report), "the reference should show:\n{report}");
}

#[test]
fn every_key_is_described() {
    fn keys(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(entries) => {
                if let Some(Value::Object(properties)) = entries.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                entries.values().for_each(|value| keys(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    keys(&schema(), &mut found);
    assert!(found.len() >= 28, "only {} keys were found", found.len());
    let missing: Vec<&String> = found.iter().filter(|key| !REFERENCE.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
}

#[test]
fn the_table_of_presets_is_what_the_program_has() {
    let row = |preset: &Preset| {
        let hosts = preset.hosts.iter().map(|host| format!("[{}]({})", host.rule, host.source));
        format!("| `{}` | {} | {} |", preset.name, preset.about, hosts.collect::<Vec<_>>().join(", "))
    };
    let expected: Vec<String> = PRESETS.iter().map(row).collect();
    let section = REFERENCE.split_once("#### Presets").unwrap().1;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let written: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(written, expected, "docs/manifest.md should have:\n{}", expected.join("\n"));
}

#[test]
fn every_kind_of_problem_is_explained() {
    let missing: Vec<&str> = ProblemKind::ALL
        .iter()
        .map(|kind| kind.code())
        .filter(|code| !REFERENCE.contains(&format!("| `{code}` |")))
        .collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
}
