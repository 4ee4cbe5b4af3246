//! A user's home of a test's own: nothing of the machine's user is seen or changed.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::limit::Limit;

/// The token every test forwards; it is searched for where it must not be.
pub(crate) const TOKEN: &str = "canary-token-5f1e0c9d7b";

/// The lines of a bottle whose guard is in a container of its own.
pub(crate) const SIDECAR: &str = "    options: { docker: { guard: sidecar } }\n";

/// A home directory with a manifest.
pub(crate) struct Home {
    dir: TempDir,
    env: Vec<(String, String)>,
    _limit: Limit,
}

impl Home {
    /// Makes a home without a manifest.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("home-").tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        let limit = Limit::of_this_test(dir.path());
        Self { dir, env: Vec::new(), _limit: limit }
    }

    /// Makes a home whose manifest is this text.
    pub(crate) fn new(manifest: &str) -> Self {
        let home = Self::empty();
        fs::write(home.path().join("claude-bottle.yaml"), under_intercept(manifest)).unwrap();
        home
    }

    /// Makes a home with one agent whose API is the stand-in.
    pub(crate) fn with_agent(agent: &str, api: SocketAddr, more: &str) -> Self {
        let home = Self::new(&manifest(agent, api, more));
        home.skill("greet", "---\nname: greet\ndescription: How to greet people here\n---\nSay hello.\n");
        home
    }

    /// Does the same with the guard in a container of its own on docker.
    pub(crate) fn with_sidecar(agent: &str, api: SocketAddr, more: &str) -> Self {
        let home = Self::with_agent(agent, api, more);
        let own = manifest(agent, api, more).replacen("  dev:\n", &format!("  dev:\n{SIDECAR}"), 1);
        fs::write(home.path().join("claude-bottle.yaml"), under_intercept(&own)).unwrap();
        home
    }

    /// Returns what is left of guards that were processes of this machine.
    pub(crate) fn guards(&self) -> Vec<String> {
        let dir = self.path().join(".local/share/claude-bottle/backends/docker/bottles");
        let left = fs::read_dir(dir).into_iter().flatten();
        left.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }

    /// Writes the manifest of one agent whose API is the stand-in.
    pub(crate) fn write_manifest(&self, agent: &str, api: SocketAddr) {
        let manifest = under_intercept(&manifest(agent, api, ""));
        fs::write(self.path().join("claude-bottle.yaml"), manifest).unwrap();
        self.skill("greet", "---\nname: greet\ndescription: How to greet people here\n---\nSay hello.\n");
    }

    /// Adds a variable to the environment of each call.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a skill.
    pub(crate) fn skill(&self, name: &str, text: &str) {
        let dir = self.path().join(".claude/skills").join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("SKILL.md"), text).unwrap();
    }

    /// Returns the home directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Returns where the program keeps its records.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join(".local/state/claude-bottle")
    }

    /// Lists the runs there are records of.
    pub(crate) fn runs(&self) -> Vec<String> {
        names_in(&self.state().join("bottles"))
    }

    /// Lists the files kept of a run.
    pub(crate) fn files_of(&self, run: &str) -> Vec<String> {
        names_in(&self.state().join("bottles").join(run))
    }

    /// Reads the record of a run.
    pub(crate) fn record(&self, run: &str) -> Value {
        self.record_so_far(run).unwrap_or_else(|| panic!("run `{run}` has no record"))
    }

    /// Reads the record of a run that may have none yet.
    pub(crate) fn record_so_far(&self, run: &str) -> Option<Value> {
        let path = self.state().join("bottles").join(run).join("record.json");
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }

    /// Reads the decision logs of all runs.
    pub(crate) fn decisions(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        for run in fs::read_dir(self.state().join("bottles")).unwrap() {
            let log = fs::read_to_string(run.unwrap().path().join("egress.jsonl")).unwrap_or_default();
            lines.extend(log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
        lines
    }

    /// Prepares a call of the program, with an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claude-bottle"));
        command.args(arguments).env_clear().current_dir(self.work());
        command.env("HOME", self.path()).env("TMPDIR", self.tmp()).env("TERM", "xterm-256color");
        command.env("CONTAINER_HOST", super::podman::NOWHERE);
        // An engine may see other files than this process: then the guest program is named where both have it.
        for passed in ["PATH", "DOCKER_HOST", "CLAUDE_BOTTLE_BASE_IMAGE", "CLAUDE_BOTTLE_GUEST"] {
            command.envs(std::env::var_os(passed).map(|value| (passed, value)));
        }
        command.envs(self.env.iter().cloned());
        command
    }

    /// Returns the directory in which stage directories are made.
    pub(crate) fn tmp(&self) -> PathBuf {
        let tmp = self.path().join("tmp");
        fs::create_dir_all(&tmp).unwrap();
        tmp
    }

    /// Lists what is left in the directory of stage directories.
    pub(crate) fn left_in_tmp(&self) -> Vec<String> {
        names_in(&self.tmp())
    }
}

/// Returns a manifest whose bottles say nothing about HTTPS, with the value of `CLAUDE_BOTTLE_TEST_INTERCEPT`: `make test-intercept` runs tests
/// under what is not the default. A bottle with a value of its own, or with pipelock, keeps what it has.
fn under_intercept(manifest: &str) -> String {
    let Ok(value) = std::env::var("CLAUDE_BOTTLE_TEST_INTERCEPT") else { return manifest.to_owned() };
    let mut whole: Value = serde_yaml::from_str(manifest).unwrap();
    let bottles = whole["bottles"].as_object_mut().into_iter().flat_map(|bottles| bottles.values_mut());
    for bottle in bottles.filter(|bottle| bottle.is_object() && bottle["proxy"] != "pipelock") {
        let egress = &mut bottle["egress"];
        if egress["intercept"].is_null() {
            egress["intercept"] = value.as_str().into();
        }
    }
    serde_yaml::to_string(&whole).unwrap()
}

/// Lists a directory; one that does not exist is empty.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Writes a manifest with one bottle that reaches the stand-in and one agent in it.
pub(crate) fn manifest(agent: &str, api: SocketAddr, more: &str) -> String {
    let (address, port) = (api.ip(), api.port());
    format!(
        "\
bottles:
  dev:
    env:
      ANTHROPIC_BASE_URL: http://api.standin.test:{port}
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'
    egress:
      allowlist: ['api.standin.test:{port}']
      hosts: {{ api.standin.test: {address} }}
      private: [{{ host: api.standin.test, range: {address}/32 }}]
agents:
  {agent}:
    bottle: dev
    skills: [greet]
    prompt: The password of the day is xyzzy-42.
{more}"
    )
}
