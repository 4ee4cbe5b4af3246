//! Signals for a program and all that it has started: its jobs may have process groups of their own, and the session is theirs.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::stat::Stat;

/// How often those that were killed are looked for again: one may have been starting another.
const ROUNDS: u32 = 20;

/// Sends a signal to what a session's leader has started. SIGCONT goes to the leader, which passes it on; SIGKILL to all. What
/// is gone already needs none.
pub(crate) fn signal(leader: Pid, signal: Signal) {
    if signal == Signal::CONT {
        kill_process(leader, signal).ok();
        return;
    }
    let rounds = if signal == Signal::KILL { ROUNDS } else { 1 };
    for _ in 0..rounds {
        let mut members = members(leader).filter(|pid| *pid != leader).peekable();
        if members.peek().is_none() {
            break;
        }
        for pid in members {
            kill_process(pid, signal).ok();
        }
    }
    if signal == Signal::KILL {
        kill_process(leader, signal).ok();
    }
}

/// Lists the processes of the session that are not just waiting to be reaped.
fn members(leader: Pid) -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    pids.filter(move |pid| Stat::of(*pid).is_some_and(|stat| stat.session == Some(leader)))
}
