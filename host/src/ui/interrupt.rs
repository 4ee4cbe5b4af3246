//! Signals: a request to end becomes a flag and a readable descriptor, never a jump out of the program.
//!
//! Handlers are installed before the first call into a plug-in. The first signal asks the running verb to end,
//! the third gives up on everything: it restores the terminal and ends the program.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::ui::terminal;

/// Whether the user or the system asked the program to end.
pub struct Interrupt {
    count: AtomicUsize,
    /// Readable once `count` is not zero.
    readable: OwnedFd,
    writable: OwnedFd,
    /// A byte for each change of the terminal's size.
    resized: OwnedFd,
    resized_writable: OwnedFd,
    /// How often the program was continued.
    continued: Mutex<u64>,
    continued_again: Condvar,
}

/// How many requests to end are as good as SIGKILL.
const GIVE_UP: usize = 3;

impl Interrupt {
    /// Makes one without handlers: it is only ever triggered by the program itself.
    pub fn silent() -> io::Result<Arc<Self>> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (readable, writable) = pipe_with(flags)?;
        let (resized, resized_writable) = pipe_with(flags)?;
        Ok(Arc::new(Self {
            count: AtomicUsize::new(0),
            readable,
            writable,
            resized,
            resized_writable,
            continued: Mutex::default(),
            continued_again: Condvar::new(),
        }))
    }

    /// Installs the handlers, and a thread that acts on them.
    pub fn install() -> anyhow::Result<Arc<Self>> {
        let interrupt = Self::silent()?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGCONT])
            .context("cannot install signal handlers")?;
        let shared = Arc::clone(&interrupt);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    match signal {
                        SIGWINCH => shared.note_resize(),
                        SIGCONT => shared.note_continued(),
                        _ => shared.trigger(),
                    }
                }
            })
            .context("cannot start the signal thread")?;
        Ok(interrupt)
    }

    /// Asks the running verb to end.
    pub fn trigger(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        // A full pipe is readable all the same.
        let _ = rustix::io::write(&self.writable, b"!");
        if count >= GIVE_UP {
            give_up();
        }
    }

    fn note_resize(&self) {
        let _ = rustix::io::write(&self.resized_writable, b"w");
    }

    fn note_continued(&self) {
        // The size may have changed meanwhile, and a program that goes on is to have it before what is typed.
        self.note_resize();
        *self.continued.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.continued_again.notify_all();
    }

    /// Returns `true` if `stop` was followed by SIGCONT; waits for it no longer than `patience`.
    pub fn continued_after<E>(
        &self,
        stop: impl FnOnce() -> Result<(), E>,
        patience: Duration,
    ) -> Result<bool, E> {
        let before = *self.continued.lock().unwrap_or_else(PoisonError::into_inner);
        stop()?;
        let now = self.continued.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.continued_again.wait_timeout_while(now, patience, |now| *now == before);
        Ok(*waited.unwrap_or_else(PoisonError::into_inner).0 != before)
    }

    /// Returns whether the program was asked to end.
    pub fn triggered(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Returns a descriptor that is readable once [`Self::triggered`].
    pub fn descriptor(&self) -> RawFd {
        self.readable.as_fd().as_raw_fd()
    }

    /// Waits until there is something to read; returns false when the program was asked to end instead.
    pub fn wait_for_input(&self, input: impl AsFd) -> io::Result<bool> {
        loop {
            let mut ready = [PollFd::new(&self.readable, PollFlags::IN), PollFd::new(&input, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            return Ok(ready[0].revents().is_empty());
        }
    }

    /// The same descriptor, for this program itself.
    pub fn resizes(&self) -> BorrowedFd<'_> {
        self.resized.as_fd()
    }

    /// Returns a descriptor with a byte for each change of the terminal's size.
    pub fn resized(&self) -> RawFd {
        self.resized.as_fd().as_raw_fd()
    }
}

/// Readable once the program was asked to end.
impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

#[expect(clippy::exit, reason = "the user insists, and a verb may hang; the reaper closes the bottle")]
fn give_up() {
    terminal::restore();
    std::process::exit(i32::from(crate::error::Exit::Interrupted.code()));
}
