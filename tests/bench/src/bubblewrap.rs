//! What a bottle on bubblewrap costs beyond bare `bwrap`.

use std::process::Command;

use crate::contender::{Contender, Table, compare, first_byte, whole};
use crate::home::Home;

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let home = Home::new()?;
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
                first_byte(&mut home.command(&start))
            }),
            Contender::new("claude-bottle start, whole, closed", || whole(&mut home.command(&start))),
        ],
    )
}
