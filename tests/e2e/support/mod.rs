//! What the end-to-end tests stand on: a home of their own, the built program, a real engine, the stand-in API.

pub(crate) mod backend;
pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod home;
mod limit;
pub(crate) mod podman;
pub(crate) mod private_engine;
pub(crate) mod process;
pub(crate) mod screen;
pub(crate) mod sshd;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use backend::Backend;
use claude_bottle_standin::{Config, Script, Standin};

/// Starts a stand-in API on an address of this machine that the proxy of a bottle can reach.
pub(crate) fn standin(backend: Backend, script: Script) -> Standin {
    let address = SocketAddr::new(backend.host_address(), 0);
    Standin::start(Config { listen: address, script, ..Config::default() }).expect("start the stand-in API")
}

/// Returns where the clients of the registries are.
pub(crate) fn clients() -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/clients");
    place.canonicalize().expect("the clients are below .cache; make them: tests/setup/clients.sh")
}

/// Runs a command to its end; its failure is the test's.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("run {command:?}: {error}"))
}

/// Returns what a command printed, as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what a command said, as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with everything the command said unless it ended with this code.
#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) {
    let got = output.status.code();
    assert_eq!(got, Some(code), "stdout:\n{}\nstderr:\n{}", stdout(output), stderr(output));
}
