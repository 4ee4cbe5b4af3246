//! The standard streams a program in a bottle gets.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, RawFd};

use crate::ui::output;

/// The streams of one exec, open as long as this value lives.
pub struct Streams {
    nothing: Option<File>,
}

impl Streams {
    /// Uses this process's own streams; a headless program does not wait for a person at the terminal.
    pub fn new(headless: bool) -> io::Result<Self> {
        let nothing =
            if headless && io::stdin().is_terminal() { Some(File::open("/dev/null")?) } else { None };
        Ok(Self { nothing })
    }

    /// Returns the descriptors of standard input, output and error.
    pub fn numbers(&self) -> [RawFd; 3] {
        [self.nothing.as_ref().map_or(0, AsRawFd::as_raw_fd), output::stdout().as_raw_fd(), 2]
    }
}
