//! A session that survives its terminal: `start` runs on a pseudo-terminal of its own, and a process holds that terminal.
//!
//! Three processes take part. The *holder* has the pseudo-terminal, a model of its screen and a socket in the run's directory.
//! On that terminal runs the same `start` as ever, with its own watcher: whichever of the two is killed, the other ends the
//! run as it would without a holder. The *client* is what the user sees: it carries keys, the screen and the size.

pub mod client;
pub mod frames;
pub mod keys;
mod line;
mod notify;
mod pty;
mod screen;
mod server;
pub mod socket;
pub mod told;
mod transcript;

pub use notify::Notify;
pub use server::serve;
pub use transcript::{FILE as TRANSCRIPT, MOST_BYTES as MOST_TRANSCRIPT};

use std::ffi::OsString;

use rustix::termios::Winsize;
use serde::{Deserialize, Serialize};

/// The size of a terminal that does not say it.
const USUAL: Size = Size { rows: 24, columns: 80 };
/// No terminal is larger: the model of its screen takes memory for each cell.
const MOST: u16 = 1000;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Size {
    /// Returns the size of the terminal on a descriptor, else the usual one.
    pub fn of(terminal: impl std::os::fd::AsFd) -> Self {
        rustix::termios::tcgetwinsize(terminal)
            .map_or(USUAL, |size| Self { rows: size.ws_row, columns: size.ws_col })
            .bounded()
    }

    /// Returns a size that a screen can have.
    fn bounded(self) -> Self {
        let within = |value: u16, usual| if value == 0 { usual } else { value.min(MOST) };
        Self { rows: within(self.rows, USUAL.rows), columns: within(self.columns, USUAL.columns) }
    }

    fn to_window(self) -> Winsize {
        Winsize { ws_row: self.rows, ws_col: self.columns, ws_xpixel: 0, ws_ypixel: 0 }
    }
}

/// What a holder is to run. It comes over its first connection: the environment may have secrets, and the holder's own has none.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The arguments of `start`, as they were typed.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The terminal's size.
    pub size: Size,
    /// Whether there is a person who can answer questions.
    pub attended: bool,
    /// Whether the agent goes on when its client is gone.
    pub survive: bool,
    /// Whether all that the terminal shows is written down.
    pub record: bool,
    /// What tells the user that the agent waits or has ended.
    pub notify: Option<String>,
}

/// A run whose session is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The run's identifier.
    pub run: String,
    /// What the bottle is called.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_one_that_a_screen_can_have() {
        let bounded = |rows, columns| Size { rows, columns }.bounded();
        assert_eq!(bounded(0, 0), USUAL);
        assert_eq!(bounded(50, u16::MAX), Size { rows: 50, columns: MOST });
    }
}
