//! Starting the guard in its sandbox.

use std::io::{self, PipeReader, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{Listen, SocketAccess};
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result, Spec};
use rustix::fs::MemfdFlags;

use super::{DIR, PART, program};
use crate::bwrap::{self, Arguments, Bwrap, Process};
use crate::host_files::{give, make_dir, write_new};
use crate::paths::PathExt;
use crate::{Ready, guard_config, guard_secrets, trust};

/// The directory of the socket by which it takes another policy.
const CONTROL_DIR: &str = "control";

/// The guard's files inside its own sandbox.
const CONFIG: &str = "/run/claude-bottle/guard.json";
const SOCKET_DIR: &str = "/run/claude-bottle/egress";
const SOCKET: &str = "/run/claude-bottle/egress/guard.sock";
const CONTROL_INSIDE: &str = "/run/claude-bottle/control";
const CONTROL_SOCKET: &str = "/run/claude-bottle/control/guard.sock";
const LOG_DIR: &str = "/run/claude-bottle/log";
const PROGRAM: &str = "/run/claude-bottle/egress-guard";

/// The log's name; the directory of the run has a link to it under this name too.
const LOG: &str = crate::decisions::NAME;

/// A guard that can be started.
pub struct HostGuard<'a> {
    /// The run it serves.
    pub spec: &'a Spec,
    /// How its sandbox is made.
    pub bwrap: &'a Bwrap,
    /// The bottle's directory on the host, which exists.
    pub dir: &'a Path,
    /// Which users may connect to its socket: `None` as the host says, for a bottle whose programs have the guard's own user.
    pub access: Option<SocketAccess>,
}

/// A guard that was started and does not listen yet.
pub struct Starting {
    /// Its process.
    pub process: Process,
    said: PipeReader,
}

/// The line that a guard writes once it listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listening {
    /// The certificate of its authority, in PEM, when it has one.
    pub authority: Option<String>,
}

impl HostGuard<'_> {
    /// Starts it; [`Starting::await_ready`] waits until it listens.
    ///
    /// The log goes to the run's state directory, which outlives the bottle, and has there the name that the contract says.
    ///
    /// # Errors
    /// Fails when its files cannot be made or its process cannot be started. What was made is in the bottle's directory.
    pub fn start(&self, call: &Call) -> Result<Starting> {
        let owner = self.bwrap.run_as_uid;
        let socket = make_dir(self.dir.join(DIR), 0o755, owner)?;
        if trust::is_needed(self.spec) {
            trust::announce(&socket)?;
        }
        let control = make_dir(self.dir.join(CONTROL_DIR), 0o700, owner)?;
        let secrets = secrets(call, self.spec)?;
        let config = self.dir.join("guard.json");
        write_new(&config, self.config()?.as_bytes(), 0o644)?;
        let log = make_log_dir(&self.spec.state_dir, owner)?;
        let mut arguments = view(self.bwrap)?;
        arguments.bind("--ro-bind", &program(self.spec)?, PROGRAM)?;
        arguments.bind("--ro-bind", &config, CONFIG)?;
        arguments.bind("--bind", &socket, SOCKET_DIR)?;
        arguments.bind("--bind", &log, LOG_DIR)?;
        arguments.bind("--bind", &control, CONTROL_INSIDE)?;
        arguments.helper(self.bwrap, [PROGRAM, "run", "--config", CONFIG, "--control", CONTROL_SOCKET])?;
        let (said, says) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
        let begun = bwrap::begin(self.bwrap, self.dir, PART, secrets, Some(says.into()), &[])?;
        let process = begun.process.clone();
        begun.exec_bwrap(self.bwrap, arguments)?;
        Ok(Starting { process, said })
    }

    /// Returns the host's configuration with the places of the sandbox in it. No configuration lets nothing out.
    fn config(&self) -> Result<String> {
        let listen = Listen::Unix(PathBuf::from(SOCKET));
        let mut config = guard_config(self.spec, listen)
            .failure(FailureKind::Invalid, || "cannot read the guard's configuration")?;
        config.log.stdout = false;
        config.log.file = Some(Path::new(LOG_DIR).join(LOG));
        config.dlp.secrets_file = Some(PathBuf::from("/proc/self/fd/0"));
        config.socket_access = self.access.unwrap_or(config.socket_access);
        config.to_json().failure(FailureKind::Internal, || "cannot write the guard's configuration")
    }
}

impl Starting {
    /// Waits until the guard says that it listens.
    ///
    /// # Errors
    /// Fails when it ends or stays silent, and when the call is cancelled.
    pub fn await_ready(self, call: &Call) -> Result<Listening> {
        let line = bwrap::await_ready(call, PART, self.said, &Ready::Event("listening"))?;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        Ok(Listening { authority: said["ca"].as_str().map(str::to_owned) })
    }
}

/// Returns the arguments of a sandbox with what a guard needs of the host, but for its own files.
fn view(bwrap: &Bwrap) -> Result<Arguments> {
    let mut arguments = Arguments::new(bwrap);
    bwrap::system(&mut arguments)?;
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
    Ok(arguments)
}

/// Returns the bottle's secrets in memory, for the guard to look for in what leaves.
fn secrets(call: &Call, spec: &Spec) -> Result<OwnedFd> {
    let list = guard_secrets(spec, call)?;
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
