//! Processes of the machine: found by their arguments, and waited for without asking again and again.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that need not be a child.
pub(crate) struct Process(OwnedFd);

impl Process {
    /// Finds the processes whose arguments end with these.
    pub(crate) fn with_arguments(last: &[&str]) -> Vec<Self> {
        let wanted: String = last.iter().map(|argument| format!("\0{argument}\0")).collect();
        let wanted = wanted.replace("\0\0", "\0");
        Self::with_line(|line| line.ends_with(&wanted))
    }

    /// Finds the processes that were started by exactly these words.
    pub(crate) fn with_command(words: &[&str]) -> Vec<Self> {
        let wanted: String = words.iter().map(|word| format!("{word}\0")).collect();
        Self::with_line(|line| line == wanted)
    }

    fn with_line(is_wanted: impl Fn(&str) -> bool) -> Vec<Self> {
        let found = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_wanted(&String::from_utf8_lossy(&line))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // One that has ended meanwhile is none.
        let open = |pid| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok();
        pids.filter(found).filter_map(open).map(Self).collect()
    }

    /// Returns whether it ended within this time.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        let time =
            Timespec { tv_sec: time.as_secs().try_into().unwrap(), tv_nsec: time.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&time)).unwrap() > 0
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        pidfd_send_signal(&self.0, Signal::KILL).unwrap();
    }
}

/// Says whether any process has this text among its arguments.
pub(crate) fn is_named(text: &str) -> bool {
    let lines = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains(text))
}
