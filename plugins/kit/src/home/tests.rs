//! What documents of a home become.

use claude_bottle_plugin_api::{AgentProfile, EnvVar, FileFormat, Owner};
use serde_json::json;

use super::*;

const KEY: &str = "ANTHROPIC_API_KEY";

fn spec(files: Vec<HomeFile>) -> Spec {
    let mut agent = AgentSpec::new("a", vec!["claude".to_owned()]);
    let mut profile = AgentProfile::new("claude");
    profile.files = files;
    agent.profile = Some(profile);
    Spec::new("id", agent, Owner::new("here", 1, 1))
}

fn place() -> Place {
    Place { root: "/w".to_owned(), start: "/w/sub".to_owned(), refused: None }
}

fn written(spec: &Spec) -> Result<String> {
    files(spec, &Call::detached(), &place()).map(|files| files[0].1.to_string())
}

#[test]
fn texts_stand_for_what_the_backend_knows() {
    let content =
        json!({ "p": { "${workspace}": { "t": true }, "${start}": "${start}", "x": "a ${start}" } });
    let text = written(&spec(vec![HomeFile::new(".a.json", FileFormat::Json, content)])).unwrap();
    assert_eq!(text, r#"{"p":{"/w":{"t":true},"/w/sub":"/w/sub","x":"a ${start}"}}"#);
}

#[test]
fn toml_is_written_on_a_line_a_key() {
    let content = json!({ "a": { "/w \"q\"": { "l": [1, "x\u{7f}\n", true] } }, "b": "c" });
    let text = written(&spec(vec![HomeFile::new("c.toml", FileFormat::Toml, content)])).unwrap();
    assert_eq!(text, "\"a\" = {\"/w \\\"q\\\"\" = {\"l\" = [1, \"x\\u007f\\n\", true]}}\n\"b\" = \"c\"\n");
    let without = HomeFile::new("c.toml", FileFormat::Toml, json!({ "a": null }));
    assert!(written(&spec(vec![without])).is_err());
}

#[test]
fn only_the_end_of_a_key_is_written() {
    let check = |key: &str, expected: Option<&str>| {
        let content = json!({ "approved": ["${end:ANTHROPIC_API_KEY}"], "other": ["${end:NOT_GRANTED}"] });
        let mut spec = spec(vec![HomeFile::new(".a", FileFormat::Json, content)]);
        spec.bottle.env.push(EnvVar::literal(KEY, key));
        let text = written(&spec).unwrap();
        let expected = json!({ "approved": expected.into_iter().collect::<Vec<_>>(), "other": [] });
        assert_eq!(text, expected.to_string(), "{key}");
        assert!(!text.contains(key) || key.is_empty());
    };
    check("sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz", Some("ghijklmnopqrstuvwxyz"));
    // The whole of it, or nearly.
    check("sk-ant-short", None);
    check("0123456789abcdefghij", None);
    check("", None);
    check("sk-ant-api03-0123456789abcdefghijklmnop\"rstuvwxyz", None);
}

#[test]
fn a_place_out_of_the_home_and_an_unknown_format_are_refused() {
    let text = |path: &str| HomeFile::new(path, FileFormat::Text, json!("x"));
    for path in ["/etc/x", "../x", "a/../../x", "", "a'b", "a b"] {
        assert!(check(&spec(vec![text(path)]).agent).is_err(), "{path}");
    }
    let right = spec(vec![text(".codex/AGENTS.md")]);
    check(&right.agent).unwrap();
    assert_eq!(written(&right).unwrap(), "x");
    let unknown: HomeFile =
        serde_json::from_value(json!({ "path": "a", "format": "ini", "content": {} })).unwrap();
    assert!(written(&spec(vec![unknown])).is_err());
}

#[test]
fn what_is_laid_over_a_document_wins_and_mappings_are_merged() {
    let object = |value: Value| value.as_object().cloned().unwrap();
    let mut under = object(json!({ "a": { "x": 1, "y": 2 }, "b": [1], "c": "kept" }));
    lay(object(json!({ "a": { "y": 3 }, "b": [2], "d": null })), &mut under);
    assert_eq!(Value::Object(under), json!({ "a": { "x": 1, "y": 3 }, "b": [2], "c": "kept", "d": null }));
}
