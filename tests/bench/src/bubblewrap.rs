//! What a bottle on bubblewrap costs beyond bare `bwrap`.

use std::process::Command;

use anyhow::Context;

use crate::contender::{Contender, Table, compare, first_byte, whole};
use crate::home::Home;

/// What sandbox-runtime is told: the default allowlist's first host, and to leave the files alone.
const SANDBOX_RUNTIME: &str = r#"{
  "network": { "allowedDomains": ["api.anthropic.com"], "deniedDomains": [] },
  "filesystem": { "denyRead": [], "allowWrite": ["."], "denyWrite": [] }
}"#;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let home = Home::new()?;
    let srt = std::env::var_os("SANDBOX_RUNTIME")
        .context("SANDBOX_RUNTIME names srt: tests/setup/sandbox-runtime.sh")?;
    let scratch = tempfile::tempdir()?;
    let settings = scratch.path().join("settings.json");
    std::fs::write(&settings, SANDBOX_RUNTIME)?;
    let sandbox_runtime = || {
        let mut command = Command::new(&srt);
        command.arg("--settings").arg(&settings).args(["/bin/echo", "x"]);
        command.current_dir(scratch.path()).env("HOME", scratch.path());
        command
    };
    let start = ["--quiet", "start", "bench", "--yes", "--backend", "bubblewrap"];
    let bare = || {
        let mut command = Command::new("bwrap");
        command.args([
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/usr",
            "/usr",
            "--symlink",
            "usr/bin",
            "/bin",
        ]);
        command.args(["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc"]);
        command.args(["--dev", "/dev", "--tmpfs", "/tmp", "true"]);
        command
    };
    compare(
        "A bottle on bubblewrap",
        rounds * 2,
        &[
            Contender::new("bwrap … true", || whole(&mut bare())),
            Contender::new("claude-bottle start, agent's first byte", || {
                first_byte(&mut home.without_image(&start))
            }),
            Contender::new("sandbox-runtime (srt), first byte", || first_byte(&mut sandbox_runtime())),
            Contender::new("claude-bottle start, whole, closed", || whole(&mut home.without_image(&start))),
        ],
    )
}
