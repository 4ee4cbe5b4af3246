//! Process 1's duty: takes the exit status of every child and orphan, and reports those of programs it has started.

use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

/// What has become of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has stopped: by itself, or by a signal.
    Stopped,
    /// It has ended with this code, 128 + n for signal n.
    Ended(i32),
}

/// Starts children and knows when they stop and end.
#[derive(Clone, Default)]
pub(crate) struct Reaper {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<Pid, Sender<Change>>>,
    started: Condvar,
}

impl Reaper {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Pid, Sender<Change>>> {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a program; its stops and its end come through the channel.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Pid, Receiver<Change>)> {
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
            match wait(WaitOptions::UNTRACED) {
                Ok(Some((pid, status))) => self.changed(pid, status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::CHILD) => self.wait_for_a_child(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn changed(&self, pid: Pid, status: WaitStatus) {
        if status.stopped() {
            if let Some(sender) = self.waiting().get(&pid) {
                sender.send(Change::Stopped).ok();
            }
            return;
        }
        let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        if let (Some(code), Some(sender)) = (code, self.waiting().remove(&pid)) {
            // Nobody listens any more when the backend has gone away.
            sender.send(Change::Ended(code)).ok();
        }
    }

    fn wait_for_a_child(&self) {
        let waiting = self.waiting();
        drop(self.shared.started.wait_while(waiting, |waiting| waiting.is_empty()));
    }
}
