//! The guard: the bottle's only way out, in a sandbox that has the network and nothing else.

use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::Listen;
use claude_bottle_kit::{PolicyChange, Ready, guard_config, guard_secrets};
use claude_bottle_plugin_api::{
    Bottle, Call, ErrorExt, Failure, FailureKind, ReloadRequest, Reloaded, Result,
};
use rustix::fs::MemfdFlags;

use crate::error::PathExt;
use crate::guest::{GUARD_DIR, GUARD_SOCKET};
use crate::launcher::{self, Arguments};
use crate::plan::Planned;
use crate::process::Process;
use crate::rundir::{RunDir, Store, give};
use crate::{close, control, sandbox};

pub(crate) const PART: &str = "guard";

/// The directory of its socket, in the bottle's directory. Nothing else is in it.
pub(crate) const DIR: &str = "egress";

/// The directory of the socket by which it takes another policy, and the socket. The agent's sandbox has neither.
const CONTROL_DIR: &str = "control";
const CONTROL: &str = "control/guard.sock";

/// The guard's files inside its own sandbox.
const CONFIG: &str = "/run/claude-bottle/guard.yaml";
const CONTROL_INSIDE: &str = "/run/claude-bottle/control";
const CONTROL_SOCKET: &str = "/run/claude-bottle/control/guard.sock";
const LOG_DIR: &str = "/run/claude-bottle/log";
const PROGRAM: &str = "/run/claude-bottle/egress-guard";

/// The log's name; the directory of the run has a link to it under this name too.
const LOG: &str = "egress.jsonl";

/// Starts a guard; [`await_ready`] waits for it.
pub(crate) fn start(call: &Call, state: &Planned, dir: &RunDir) -> Result<(Process, io::PipeReader)> {
    dir.make_dir(DIR, 0o755, state.run_as_uid)?;
    let control = dir.make_dir(CONTROL_DIR, 0o700, state.run_as_uid)?;
    let secrets = secrets(call, state)?;
    let config = dir.write("guard.yaml", config(state)?.as_bytes(), 0o644)?;
    let log_dir = make_log_dir(&state.spec.state_dir, state.run_as_uid)?;
    let mut arguments = Arguments::new(state);
    sandbox::system(&mut arguments)?;
    arguments.add(["--proc", "/proc", "--dir", "/tmp"]);
    // A static program may have its random numbers from the file.
    for device in ["/dev/null", "/dev/random", "/dev/urandom"] {
        arguments.add(["--dev-bind", device, device]);
    }
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        // A link to a file of the resolver's daemon is bound as that file.
        if let Ok(source) = Path::new(file).canonicalize() {
            arguments.bind("--ro-bind", &source, file)?;
        }
    }
    arguments.bind("--ro-bind", &state.tools.guard, PROGRAM)?;
    arguments.bind("--ro-bind", &config, CONFIG)?;
    arguments.bind("--bind", &dir.join(DIR), GUARD_DIR)?;
    arguments.bind("--bind", &log_dir, LOG_DIR)?;
    arguments.bind("--bind", &control, CONTROL_INSIDE)?;
    arguments.helper(state, [PROGRAM, "run", "--config", CONFIG, "--control", CONTROL_SOCKET])?;
    let (ready, said) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let begun = launcher::begin(state, dir, PART, secrets, Some(said.into()), &[])?;
    let process = begun.process.clone();
    begun.exec_bwrap(state, arguments)?;
    Ok((process, ready))
}

/// Waits until the guard says that it listens.
pub(crate) fn await_ready(call: &Call, ready: io::PipeReader) -> Result<()> {
    launcher::await_ready(call, PART, ready, &Ready::Event("listening"))
}

/// Gives the guard of a bottle that runs another policy.
pub(crate) fn reload(
    call: &Call,
    bottles: &Store,
    bottle: &Bottle,
    request: &ReloadRequest,
) -> Result<Reloaded> {
    let change = PolicyChange::new(request)?;
    let (dir, record) = close::existing(bottles, bottle)?;
    let stream = control::with_short_path(&dir, CONTROL, UnixStream::connect).map_err(|failure| {
        let message = format!("the guard of `{}` takes no other policy", record.name);
        Failure::new(FailureKind::Unreachable, message).caused_by(&failure).hint("start the bottle again")
    })?;
    change.send(call, &stream)
}

/// Returns the host's configuration with this backend's places in it. No configuration lets nothing out.
fn config(state: &Planned) -> Result<String> {
    let listen = Listen::Unix(PathBuf::from(GUARD_SOCKET));
    let mut config = guard_config(&state.spec, listen)
        .failure(FailureKind::Invalid, || "cannot read the guard's configuration")?;
    config.log.stdout = false;
    config.log.file = Some(Path::new(LOG_DIR).join(LOG));
    config.dlp.secrets_file = Some(PathBuf::from("/proc/self/fd/0"));
    config.to_yaml().failure(FailureKind::Internal, || "cannot write the guard's configuration")
}

/// Returns the bottle's secrets in memory, for the guard to look for in what leaves.
fn secrets(call: &Call, state: &Planned) -> Result<OwnedFd> {
    let list = guard_secrets(&state.spec, call)?;
    let make = || -> io::Result<OwnedFd> {
        let mut file =
            std::fs::File::from(rustix::fs::memfd_create("claude-bottle-guard", MemfdFlags::CLOEXEC)?);
        file.write_all(&list)?;
        file.rewind()?;
        Ok(file.into())
    };
    make().failure(FailureKind::Internal, || "cannot keep the guard's secrets in memory")
}

/// Makes the log's directory, which outlives the bottle, and the link the host reads it by.
///
/// The guard gets a directory of its own, because it renames a log that grows too long.
fn make_log_dir(state_dir: &Path, owner: Option<u32>) -> Result<PathBuf> {
    let dir = state_dir.join("egress");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).at("create", &dir)?;
    give(&dir, owner)?;
    let link = state_dir.join(LOG);
    match std::os::unix::fs::symlink(Path::new("egress").join(LOG), &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).at("create", &link)?,
        _ => {}
    }
    Ok(dir)
}
