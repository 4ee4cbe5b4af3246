//! What the end-to-end tests stand on: a home of their own, the built program, a real engine, the stand-in API.

pub mod engine;
pub mod home;
pub mod screen;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claude_bottle_standin::{Config, Script, Standin};

/// Returns the directory that cargo built into; the plug-ins and the guard are there.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_claude-bottle")).parent().unwrap().to_owned()
}

/// Starts a stand-in API on an address that the engine's containers can reach, in any network.
///
/// That is the address of the engine's default bridge, which belongs to this machine.
pub fn standin(script: Script) -> Standin {
    let address = SocketAddr::new(engine::bridge_address(), 0);
    Standin::start(Config { listen: address, record: None, script, tls: None })
        .expect("start the stand-in API")
}

/// Runs a command to its end; its failure is the test's.
pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"))
}

/// Returns what a command printed, as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what a command said, as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with everything the command said unless it ended with this code.
#[track_caller]
pub fn assert_code(output: &Output, code: i32) {
    let got = output.status.code();
    assert_eq!(got, Some(code), "stdout:\n{}\nstderr:\n{}", stdout(output), stderr(output));
}
