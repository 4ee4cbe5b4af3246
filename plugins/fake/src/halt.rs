//! The processes of a fake bottle: started with its name in their environment, by which any process finds and ends them.

use std::fs;
use std::process::Command;

use claude_bottle_plugin_api::{Call, ErrorExt, ExitStatus, Failure, FailureKind, Result};
use rustix::process::{Pid, Signal, kill_process};

/// The variable that says which bottle a process is of.
const MARK: &str = "FAKE_BOTTLE";

/// Runs a program of a bottle, unless that is halted.
pub(crate) fn run(
    call: &Call,
    command: &mut Command,
    name: &str,
    is_halted: impl Fn() -> bool,
) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    let gone = || Failure::new(FailureKind::NotFound, format!("bottle `{name}` is halted"));
    if is_halted() {
        return Err(gone());
    }
    let mut child = command
        .env(MARK, name)
        .spawn()
        .failure(FailureKind::Missing, || format!("cannot run `{program}`"))?;
    // It may have been halted between the look and the start.
    if is_halted() {
        child.kill().ok();
        child.wait().ok();
        return Err(gone());
    }
    claude_bottle_kit::wait(call, &mut child)
}

/// Ends every process of a bottle, and returns when there is none.
pub(crate) fn end_all(name: &str) -> Result<()> {
    let mark = format!("{MARK}={name}");
    loop {
        let found: Vec<Pid> = marked(&mark).failure(FailureKind::Internal, || "cannot look for processes")?;
        if found.is_empty() {
            return Ok(());
        }
        for pid in found {
            // One that is gone needs none.
            kill_process(pid, Signal::KILL).ok();
        }
        std::thread::yield_now();
    }
}

/// Returns the processes that have the mark; one that has ended has no environment.
fn marked(mark: &str) -> std::io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
        if environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            found.push(pid);
        }
    }
    Ok(found)
}
