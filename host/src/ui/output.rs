//! The process's real standard output, out of reach of plug-ins.
//!
//! A plug-in shares this process's descriptors, and one that prints would get into data that another program reads. So
//! before the first plug-in is loaded standard output moves to a descriptor that nobody knows, and descriptor 1
//! becomes standard error.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

/// The first descriptor that is none of the standard streams.
const FIRST_FREE: i32 = 3;

/// Standard output, once it has moved.
static MOVED: OnceLock<File> = OnceLock::new();

/// Moves standard output out of reach; again is nothing. Plug-ins are loaded on the main thread, after this.
pub(crate) fn keep_from_plugins() -> io::Result<()> {
    if MOVED.get().is_none() {
        // Closed in every program that is started: only who is given it by its number has it.
        let kept = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), FIRST_FREE)?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
        MOVED.get_or_init(|| kept.into());
    }
    Ok(())
}

/// Returns the descriptor of standard output, wherever it is.
pub(crate) fn stdout() -> BorrowedFd<'static> {
    MOVED.get().map_or_else(rustix::stdio::stdout, AsFd::as_fd)
}

/// Writes to standard output, wherever it is.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    match MOVED.get() {
        Some(mut file) => file.write_all(bytes),
        None => crate::ui::write_to_stdout(bytes),
    }
}

/// Standard output as a stream of bytes, wherever it is.
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
