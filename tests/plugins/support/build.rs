//! Builds plug-ins with cargo, once a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use claude_bottle_standin::as_by_hand;
use serde_json::Value;

/// Returns the project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns a directory that is kept between runs.
pub(crate) fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Returns the fake backend, built by the workspace.
pub(crate) fn fake() -> &'static Path {
    static FAKE: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut cargo = cargo("build");
        cargo.args(["--package", "claude-bottle-backend-fake", "--locked"]).current_dir(root());
        library(&mut cargo)
    });
    &FAKE
}

/// Makes a cargo command that is not led astray by the cargo that runs the tests.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.arg(verb);
    as_by_hand(&mut command);
    command
}

/// Makes a cargo command for a crate outside the workspace; such crates share one target directory.
pub(crate) fn cargo_in(directory: &Path, verb: &str) -> Command {
    let mut command = cargo(verb);
    command.current_dir(directory).env("CARGO_TARGET_DIR", kept("fixtures"));
    command
}

/// Runs a build and returns the shared library it made.
pub(crate) fn library(cargo: &mut Command) -> PathBuf {
    artefacts(cargo)
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "so"))
        .unwrap_or_else(|| panic!("{cargo:?} made no shared library"))
}

/// Runs a build and returns the files of the last crate it built.
pub(crate) fn artefacts(cargo: &mut Command) -> Vec<PathBuf> {
    // One build at a time: two would only wait for each other's lock, and say so.
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = cargo.arg("--message-format=json-render-diagnostics").output().unwrap();
    drop(turn);
    assert!(output.status.success(), "{cargo:?}\n{}", String::from_utf8_lossy(&output.stderr));
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let mut parsed = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built = parsed.rfind(|message| message["reason"] == "compiler-artifact").unwrap();
    let files = built["filenames"].as_array().unwrap();
    files.iter().map(|file| PathBuf::from(file.as_str().unwrap())).collect()
}
