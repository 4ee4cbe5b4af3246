//! Signals: a request to end becomes a flag and a readable descriptor, never a jump out of the program.
//!
//! Handlers are installed before the first call into a plug-in. The first signal asks the running verb to end,
//! the third gives up on everything: it restores the terminal and ends the program.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::terminal;

/// Whether the user or the system asked the program to end.
pub struct Interrupt {
    count: AtomicUsize,
    /// Readable once `count` is not zero.
    readable: OwnedFd,
    writable: OwnedFd,
    /// A byte for each change of the terminal's size.
    resized: OwnedFd,
    resized_writable: OwnedFd,
}

/// How many requests to end are as good as SIGKILL.
const GIVE_UP: usize = 3;

impl Interrupt {
    /// Makes one without handlers: it is only ever triggered by the program itself.
    pub fn silent() -> io::Result<Arc<Self>> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (readable, writable) = pipe_with(flags)?;
        let (resized, resized_writable) = pipe_with(flags)?;
        Ok(Arc::new(Self { count: AtomicUsize::new(0), readable, writable, resized, resized_writable }))
    }

    /// Installs the handlers, and a thread that acts on them.
    pub fn install() -> anyhow::Result<Arc<Self>> {
        let interrupt = Self::silent()?;
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP, SIGWINCH]).context("install signal handlers")?;
        let shared = Arc::clone(&interrupt);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    if signal == SIGWINCH { shared.note_resize() } else { shared.trigger() }
                }
            })
            .context("start the signal thread")?;
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
