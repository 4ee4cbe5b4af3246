//! The guard: the bottle's only way out, in a sandbox that has the network and nothing else.

use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{Effect, GuardConfig, GuardSecret, GuardSecrets, Listen, Policy};
use claude_bottle_plugin_api::{Call, EnvValue, ErrorExt, FailureKind, Result};
use rustix::fs::MemfdFlags;

use crate::error::PathExt;
use crate::guest::{GUARD_DIR, GUARD_SOCKET};
use crate::outer::{self, Arguments};
use crate::plan::PlanState;
use crate::process::Process;
use crate::rundir::{RunDir, give};
use crate::sandbox;

pub(crate) const PART: &str = "guard";

/// The directory of its socket, in the bottle's directory. Nothing else is in it.
pub(crate) const DIR: &str = "egress";

/// The guard's files inside its own sandbox.
const CONFIG: &str = "/run/claude-bottle/guard.yaml";
const LOG_DIR: &str = "/run/claude-bottle/log";
const PROGRAM: &str = "/run/claude-bottle/egress-guard";

/// The log's name; the directory of the run has a link to it under this name too.
const LOG: &str = "egress.jsonl";

/// Starts a guard; [`await_ready`] waits for it.
pub(crate) fn start(call: &Call, state: &PlanState, dir: &RunDir) -> Result<(Process, io::PipeReader)> {
    dir.make_dir(DIR, 0o755, state.drop_to)?;
    let secrets = secrets(call, state)?;
    let config = dir.write("guard.yaml", config(state)?.as_bytes(), 0o644)?;
    let log_dir = make_log_dir(&state.spec.state_dir, state.drop_to)?;
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
    arguments.add(["--remount-ro", "/", "--chdir", "/", "--", PROGRAM, "run", "--config", CONFIG]);
    let (ready, said) = io::pipe().failure(FailureKind::Internal, || "make a pipe")?;
    let begun = outer::begin(state, dir, PART, secrets, Some(said.into()), &[])?;
    let process = begun.process.clone();
    begun.become_bwrap(state, arguments)?;
    Ok((process, ready))
}

/// Waits until the guard says that it listens.
pub(crate) fn await_ready(call: &Call, ready: io::PipeReader) -> Result<()> {
    outer::await_word(call, PART, ready, "\"listening\"")
}

/// Returns the host's configuration with this backend's places in it. No configuration lets nothing out.
fn config(state: &PlanState) -> Result<String> {
    let text = &state.spec.bottle.egress.config;
    let listen = Listen::Unix(PathBuf::from(GUARD_SOCKET));
    let mut config = match text.trim().is_empty() {
        true => GuardConfig::new(&state.spec.id, listen.clone(), Policy::default()),
        false => {
            GuardConfig::from_yaml(text).failure(FailureKind::Invalid, || "read the guard's configuration")?
        }
    };
    config.listen = listen;
    config.log.stdout = false;
    config.log.file = Some(Path::new(LOG_DIR).join(LOG));
    config.dlp.secrets_env = None;
    config.dlp.secrets_file = Some(PathBuf::from("/proc/self/fd/0"));
    config.to_yaml().failure(FailureKind::Internal, || "write the guard's configuration")
}

/// Returns the bottle's secrets in memory, for the guard to look for in what leaves.
///
/// A secret may go in a credential header to any host that is allowed; anywhere else it is a leak.
fn secrets(call: &Call, state: &PlanState) -> Result<OwnedFd> {
    let text = &state.spec.bottle.egress.config;
    let rules = GuardConfig::from_yaml(text).map(|config| config.policy.rules).unwrap_or_default();
    let allowed = rules.iter().filter(|rule| rule.effect() == Effect::Allow);
    let hosts: Vec<_> = allowed.map(|rule| rule.pattern().clone()).collect();
    let mut secrets = GuardSecrets::default();
    for variable in state.spec.bottle.env.iter().filter(|variable| variable.value == EnvValue::Secret) {
        let value = call.secret(&variable.name)?;
        let value = String::from_utf8_lossy(value.expose()).into_owned();
        secrets.entries.push(GuardSecret { name: variable.name.clone(), value, hosts: hosts.clone() });
    }
    let text = secrets.to_json().failure(FailureKind::Internal, || "write the guard's secrets")?;
    let make = || -> io::Result<OwnedFd> {
        let mut file =
            std::fs::File::from(rustix::fs::memfd_create("claude-bottle-guard", MemfdFlags::CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file.into())
    };
    make().failure(FailureKind::Internal, || "hold the guard's secrets")
}

/// Makes the log's directory, which outlives the bottle, and the link the host reads it by.
///
/// The guard gets a directory of its own, because it renames a log that grows too long.
fn make_log_dir(state_dir: &Path, owner: Option<u32>) -> Result<PathBuf> {
    let dir = state_dir.join("egress");
    std::fs::create_dir_all(&dir).at("create", &dir)?;
    give(&dir, owner)?;
    let link = state_dir.join(LOG);
    match std::os::unix::fs::symlink(Path::new("egress").join(LOG), &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).at("create", &link)?,
        _ => {}
    }
    Ok(dir)
}
