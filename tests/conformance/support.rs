//! What the tests stand on: a home of their own, the built program, the built plug-ins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A home directory of a test's own.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("home-").tempdir().unwrap();
        fs::create_dir(dir.path().join("tmp")).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Calls the program.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Prepares a call of the program in the home directory, with an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claude-bottle"));
        command.args(arguments).env_clear().current_dir(self.path());
        command.env("HOME", self.path()).env("TMPDIR", self.path().join("tmp"));
        // What Podman has to know of this machine; other engines do not read it.
        command.env(
            "CONTAINERS_CONF",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/podman/containers.conf"),
        );
        for passed in ["PATH", "DOCKER_HOST", "CLAUDE_BOTTLE_BASE_IMAGE", "KUBECONFIG"] {
            command.envs(std::env::var_os(passed).map(|value| (passed, value)));
        }
        command
    }

    /// Lists the scratch files that are left.
    pub(crate) fn left_in_tmp(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Returns the file of a plug-in that was built beside the program.
#[track_caller]
pub(crate) fn built(backend: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_claude-bottle")).parent().unwrap();
    let file = directory.join(format!("libclaude_bottle_backend_{backend}.so"));
    let build = format!("cargo build --package claude-bottle-backend-{backend}");
    assert!(file.is_file(), "`{}` is not there: {build}", file.display());
    file
}

/// Returns the names of a report's cases with this outcome; of all of them when it is empty.
pub(crate) fn ids(report: &Value, outcome: &str) -> Vec<String> {
    let cases = report["cases"].as_array().unwrap().iter();
    let wanted = cases.filter(|case| outcome.is_empty() || case["outcome"] == outcome);
    wanted.map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
