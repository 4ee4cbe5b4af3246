//! Process 1's duty: takes the exit status of every child and orphan, and tells whoever waits for one.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

/// Starts children and knows when they end.
#[derive(Clone, Default)]
pub(crate) struct Reaper {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<Pid, Sender<i32>>>,
    started: Condvar,
}

impl Reaper {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Pid, Sender<i32>>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program; its exit code comes through the channel.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Pid, Receiver<i32>)> {
        // The lock is held over start and entry, so that the end of a quick child finds its entry.
        let mut waiting = self.waiting();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the system gave a strange process number"))?;
        let (sender, receiver) = channel();
        waiting.insert(pid, sender);
        self.shared.started.notify_one();
        Ok((pid, receiver))
    }

    /// Reaps for ever.
    pub(crate) fn run(&self) -> io::Result<()> {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::CHILD) => self.wait_for_a_child(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ended(&self, pid: Pid, status: WaitStatus) {
        let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        if let (Some(code), Some(sender)) = (code, self.waiting().remove(&pid)) {
            // Nobody listens any more when the backend has gone away.
            sender.send(code).ok();
        }
    }

    fn wait_for_a_child(&self) {
        let waiting = self.waiting();
        drop(self.shared.started.wait_while(waiting, |waiting| waiting.is_empty()));
    }
}
