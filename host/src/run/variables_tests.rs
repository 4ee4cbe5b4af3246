//! Tests of the environment: where values come from, and that no message or debug output has one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;

use super::*;
use crate::manifest::{Locations, Manifest};
use crate::trust::Trust;

const CANARY: &str = "canary-5f1d\nsecond line \u{e9} \u{7f}";

/// Answers every question with one value, and counts them.
struct Asker {
    answer: Result<Vec<u8>, AskError>,
    questions: Vec<String>,
}

impl Asker {
    fn with(answer: &[u8]) -> Self {
        Self { answer: Ok(answer.to_vec()), questions: Vec::new() }
    }
}

impl AskSecret for Asker {
    fn ask(&mut self, question: &Question<'_>) -> Result<Secret, AskError> {
        self.questions.push(format!("{}: {}", question.name, question.message.unwrap_or("-")));
        self.answer.clone().map(Secret::new)
    }
}

/// Returns the entries of a manifest's only bottle.
fn entries(env: &str) -> Vec<EnvEntry> {
    let home = tempfile::tempdir().unwrap();
    let text = format!("bottles:\n  b:\n    env:\n{env}");
    std::fs::write(home.path().join("claude-bottle.yaml"), text).unwrap();
    let locations = Locations {
        home: home.path().into(),
        own: home.path().into(),
        cwd: home.path().into(),
        above: 0,
        profiles: Default::default(),
    };
    let trust = Trust::open(home.path().join("state")).unwrap();
    let manifest = Manifest::load(&locations, &trust).unwrap_or_else(|errors| panic!("{}", errors.report()));
    manifest.bottle("b").unwrap().env.clone()
}

fn host(variables: &[(&str, OsString)]) -> impl Fn(&str) -> Option<OsString> {
    let variables: BTreeMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    move |name| variables.get(name).cloned()
}

#[test]
fn each_value_comes_from_where_the_manifest_says() {
    let entries = entries(
        "      PLAIN: \"line one\\nline two\"\n      DOLLAR: a${HOME}\n      EMPTY: ''\n      ASKED: \"?the key\"\n      \
         BARE: \"?\"\n      TAKEN: ${HOST_VALUE}\n",
    );
    let bytes = OsString::from_vec(b"\xff\n\x01 end".to_vec());
    let mut asker = Asker::with(CANARY.as_bytes());
    let resolved = resolve(&entries, host(&[("HOST_VALUE", bytes)]), &mut asker).unwrap();
    let literals: Vec<(&str, &str)> =
        resolved.literals.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(literals, [("DOLLAR", "a${HOME}"), ("EMPTY", ""), ("PLAIN", "line one\nline two")]);
    let secrets: Vec<(&str, &[u8])> =
        resolved.secrets.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let canary = CANARY.as_bytes();
    assert_eq!(secrets, [("ASKED", canary), ("BARE", canary), ("TAKEN", b"\xff\n\x01 end".as_slice())]);
    assert_eq!(asker.questions, ["ASKED: the key", "BARE: -"]);
}

#[test]
fn nothing_is_asked_while_something_is_missing() {
    let entries = entries("      A: \"?\"\n      B: ${NOT_THERE}\n      C: ${NOR_THIS}\n");
    let mut asker = Asker::with(b"x");
    let error = resolve(&entries, host(&[]), &mut asker).unwrap_err();
    assert!(asker.questions.is_empty());
    assert_eq!(
        error.to_string(),
        "`NOT_THERE`, which `B` is taken from, is not set; `NOR_THIS`, which `C` is taken from, is not set"
    );
    assert_eq!(error.hint().unwrap(), "set it before the start: `export NOT_THERE=…`");
    assert_eq!(check_host_variables(&entries, |_| false).unwrap_err(), error);
    assert!(check_host_variables(&entries, |_| true).is_ok());
}

#[test]
fn what_is_no_value_is_refused() {
    let entries = entries("      A: \"?\"\n");
    let check = |answer: Result<Vec<u8>, AskError>, expected: &str| {
        let mut asker = Asker { answer, questions: Vec::new() };
        let error = resolve(&entries, host(&[]), &mut asker).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    };
    check(Ok(Vec::new()), "no value was given for the secret `A`");
    check(Ok(b"canary\0".to_vec()), "the value of `A` holds a NUL character");
    let long = "the value of `A` is longer than a variable can be, 128 KiB with its name";
    check(Ok(vec![b'x'; MAX_LENGTH - 2]), long);
    check(Err(AskError::NoTerminal), "cannot ask for the secret `A`");
    let fits = Asker::with(&vec![b'x'; MAX_LENGTH - 3]);
    assert!(resolve(&entries, host(&[]), &mut { fits }).is_ok());
}

#[test]
fn debug_output_has_names_only() {
    let quoted = serde_json::to_string(CANARY).unwrap();
    let entries = entries(&format!("      A: {quoted}\n      B: \"?\"\n      C: ${{H}}\n"));
    let mut asker = Asker::with(CANARY.as_bytes());
    let resolved = resolve(&entries, host(&[("H", CANARY.into())]), &mut asker).unwrap();
    let shown = format!("{resolved:?} {entries:?}");
    assert!(shown.contains("\"A\"") && shown.contains("\"B\""), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_variable_that_vanishes_is_an_error() {
    let entries = entries("      A: ${H}\n");
    let looks = Cell::new(0);
    let lookup = |_: &str| {
        looks.set(looks.get() + 1);
        (looks.get() == 1).then(|| OsString::from("x"))
    };
    let error = resolve(&entries, lookup, &mut Asker::with(b"x")).unwrap_err();
    assert!(matches!(error, EnvError::MissingHostVariables { .. }), "{error}");
}
