//! The guard as a process of the host: a bottle's only way out, in a sandbox that has the network and nothing else.
//!
//! It is what the bubblewrap backend always has, and what a backend of containers has in place of a second container where its engine
//! is on this machine. It sees the programs and libraries of the system, its configuration and three directories: its socket's, its
//! log's, and that of the socket by which it takes another policy. Of these the bottle gets the first, for reading.
//! It dies with the process that started it, and the bottle then has no way out.

mod guards;
mod start;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Call, Failure, FailureKind, ReloadRequest, Reloaded, Result, Spec};

use crate::GuardChange;
use crate::companions::{is_program, missing};
use crate::host_files::with_short_path;

pub use guards::{HostGuards, KIND, Launched};
pub use start::{HostGuard, Listening, Starting};

/// What a record calls its process.
pub const PART: &str = "guard";

/// The directory of its socket, in the bottle's directory. Nothing is in it but the socket and what makes a bottle trust the guard.
pub const DIR: &str = "egress";

/// The name of its socket there.
pub const SOCKET: &str = "guard.sock";

/// The socket by which it takes another policy, in the bottle's directory. The bottle does not have it.
const CONTROL: &str = "control/guard.sock";

/// Returns the guard's program, which the host names.
///
/// # Errors
/// Fails when it is missing.
pub fn program(spec: &Spec) -> Result<PathBuf> {
    let named = spec.bottle.egress.guard.clone().filter(|guard| is_program(guard));
    named.ok_or_else(|| missing("egress-guard"))
}

/// Gives the guard of a bottle that runs another policy. `dir` is the bottle's directory on the host.
///
/// # Errors
/// Fails when the guard is gone or keeps its policy.
pub fn reload(call: &Call, dir: &Path, name: &str, request: &ReloadRequest) -> Result<Reloaded> {
    let change = GuardChange::new(call, request)?;
    let stream = with_short_path(dir, CONTROL, UnixStream::connect).map_err(|failure| {
        let message = format!("the guard of `{name}` takes no other policy");
        Failure::new(FailureKind::Unreachable, message).caused_by(&failure).hint("start the bottle again")
    })?;
    change.send(call, &stream)
}
