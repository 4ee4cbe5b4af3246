//! What of the process that called this program does not decide what it does: blocked signals, an ignored end of
//! children, open descriptors, a mask of modes that shuts the owner out or lets everybody in, few descriptors.
//!
//! What a bottle inherits is the backend's to reset; here is what this program itself needs.

use std::io;
use std::sync::Arc;

use anyhow::Context;
use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use signal_hook::consts::SIGCHLD;

/// Makes this process one like any other. To be called before there is a second thread, and before anything is opened.
pub(crate) fn forget() -> anyhow::Result<()> {
    // A process that watches a run would keep them, and with them somebody's pipe.
    close_fds::set_fds_cloexec(3, &[]);
    SigSet::empty().thread_set_mask().context("cannot unblock signals")?;
    hear_of_children().context("cannot reset the signal of children that end")?;
    let mask = umask(Mode::from_raw_mode(0o077));
    umask((mask & Mode::from_raw_mode(0o077)) | Mode::from_raw_mode(0o022));
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "raise the limit on descriptors");
    }
    Ok(())
}

/// Where the end of children is ignored nobody can wait for one. A handler of no effect is enough to undo that.
fn hear_of_children() -> io::Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    if ignored & (1 << (SIGCHLD - 1)) != 0 {
        signal_hook::flag::register(SIGCHLD, Arc::default())?;
    }
    Ok(())
}
