//! What does not come along of the process that asked for a bottle: descriptors, signal settings, mask of modes,
//! niceness and resource limits, all of which a child inherits.

use std::io;
use std::sync::Arc;

use nix::sys::signal::SigSet;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit, umask};
use signal_hook::consts::FORBIDDEN;

use crate::GuestError;
use crate::error::StepExt;

/// What most systems give a thread; <https://man7.org/linux/man-pages/man7/pthreads.7.html>.
const STACK_BYTES: u64 = 8 << 20;

/// Open descriptors that a program of ours may want.
const DESCRIPTORS: u64 = 65_536;

/// Limits that are none on most systems. Others are about shares of the machine, such as locked memory.
const UNLIMITED: [Resource; 7] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Rss,
    Resource::Nproc,
    Resource::As,
    Resource::Locks,
];

/// Gives all of it up, for this process and those it starts. A limit that only root may raise stays for others; the plan
/// says so.
pub(crate) fn forget() -> Result<(), GuestError> {
    close_fds::set_fds_cloexec(3, &[]);
    umask(Mode::from_raw_mode(0o022));
    reset_signals().step(|| "reset signals")?;
    // A lower niceness is root's to take, and so is a higher limit.
    setpriority_process(None, 0).ok();
    UNLIMITED.into_iter().for_each(|resource| raise(resource, None, None));
    raise(Resource::Stack, Some(STACK_BYTES), None);
    let descriptors = getrlimit(Resource::Nofile).maximum.map(|maximum| maximum.max(DESCRIPTORS));
    raise(Resource::Nofile, descriptors, descriptors);
    Ok(())
}

/// Unblocks every signal, and ignores none once this process has become another program.
fn reset_signals() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    for signal in ignored(&std::fs::read_to_string("/proc/self/status")?) {
        // Those of faults end a program although they are ignored, and the C library keeps two for itself.
        if !FORBIDDEN.contains(&signal) {
            // What has a handler has none after `exec`, and is not ignored either.
            signal_hook::flag::register(signal, Arc::default()).ok();
        }
    }
    Ok(())
}

/// Reads which signals are ignored: <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>.
fn ignored(status: &str) -> impl Iterator<Item = i32> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    (1..=64).filter(move |signal| mask & (1 << (signal - 1)) != 0)
}

/// Sets a limit or, where that is not allowed, as much of it as is.
fn raise(resource: Resource, current: Option<u64>, maximum: Option<u64>) {
    if setrlimit(resource, Rlimit { current, maximum }).is_err() {
        let maximum = getrlimit(resource).maximum;
        let current = [current, maximum].into_iter().flatten().min();
        setrlimit(resource, Rlimit { current, maximum }).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read() {
        let check = |status: &str, expected: &[i32]| {
            assert_eq!(ignored(status).collect::<Vec<_>>(), expected, "{status}");
        };
        check("Name:\tx\nSigIgn:\t0000000000001003\nSigCgt:\tffffffffffffffff\n", &[1, 2, 13]);
        check("SigIgn:\t8000000000000000\n", &[64]);
        check("", &[]);
    }
}
