//! A container's part of the program: process 1, and what the engine's exec starts.
//!
//! Programs in a container are started by its engine and not by process 1. Each is started through [`exec`], which tells
//! process 1 of itself and is given the bottle's variables; whoever is to steer it, a `bottle-guest` that the engine starts
//! too, asks process 1. They meet at a socket without a file, which no program in the bottle can take away, and nothing is
//! kept in files: no variable, and no process number.

pub mod ask;
pub mod exec;
pub mod init;
mod programs;
mod words;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

pub use exec::{Start, stop_marker};

/// Where process 1 listens: a name that each network namespace has for itself.
/// <https://man7.org/linux/man-pages/man7/unix.7.html>, "abstract"
fn address() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(b"claude-bottle")
}
