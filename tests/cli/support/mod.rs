//! What the tests stand on: a home of their own, the installed program, and its answer as one text.

pub(crate) mod home;
pub(crate) mod live;
#[path = "../../results/made.rs"]
pub(crate) mod made;
pub(crate) mod terminal;
pub(crate) mod tree;

use std::path::{Path, PathBuf};
use std::process::Output;

pub(crate) use home::Home;
pub(crate) use live::Live;
pub(crate) use terminal::Terminal;

/// Returns the project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns what a command printed, as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns what a command said, as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Returns what a command printed, as JSON.
#[track_caller]
pub(crate) fn json(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in:\n{text}\n{}", stderr(output)))
}

/// Fails with everything the command said unless it ended with this code.
#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) {
    let got = output.status.code();
    assert_eq!(got, Some(code), "stdout:\n{}\nstderr:\n{}", stdout(output), stderr(output));
}

#[track_caller]
pub(crate) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// Returns the sorted keys of a JSON object.
#[track_caller]
pub(crate) fn keys(value: &serde_json::Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
