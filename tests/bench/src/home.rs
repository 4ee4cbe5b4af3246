//! A home with a manifest, and the installed program: what is measured is what a user runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

/// The home of a measured user.
pub(crate) struct Home {
    dir: TempDir,
    program: PathBuf,
}

impl Home {
    /// Makes a home whose agent `bench` writes one byte; so does `sidecar`, whose guard is in a container of its own on docker.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::with(
            "bottles: { bench: {}, sidecar: { options: { docker: { guard: sidecar } } } }\n\
             agents:\n  bench: { bottle: bench, command: [/bin/echo, x] }\n  \
             sidecar: { bottle: sidecar, command: [/bin/echo, x] }\n",
        )
    }

    /// Makes a home with this manifest.
    pub(crate) fn with(manifest: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("claude-bottle.yaml"), manifest)?;
        std::fs::create_dir(dir.path().join("work"))?;
        let program = std::env::current_exe()?.with_file_name("claude-bottle");
        Ok(Self { dir, program: program.canonicalize().context("find claude-bottle beside this program")? })
    }

    /// Returns where the programs are that run beside the agent.
    pub(crate) fn libexec(&self) -> PathBuf {
        self.program.with_file_name("../libexec/claude-bottle")
    }

    /// Returns the home's directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Prepares a call of the program.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.dir.path().join("work"))
            .env("HOME", self.dir.path());
        for passed in ["PATH", "DOCKER_HOST", "CLAUDE_BOTTLE_BASE_IMAGE", "KUBECONFIG"] {
            command.envs(std::env::var_os(passed).map(|value| (passed, value)));
        }
        command
    }

    /// Prepares a call for a backend that has no base image: a setting of another backend has that one loaded too.
    pub(crate) fn without_image(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env_remove("CLAUDE_BOTTLE_BASE_IMAGE");
        command
    }
}
