//! The relay as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::binary;

/// A running relay. Killed when dropped.
pub(crate) struct Relay(Child);

impl Relay {
    /// Starts one on a free port of loopback, and returns where it listens.
    pub(crate) fn start(to: &str) -> (Self, SocketAddr) {
        let args = ["relay", "--listen", "127.0.0.1:0", "--to", to];
        let mut relay = Self(Command::new(binary()).args(args).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").unwrap().parse().unwrap();
        (relay, address)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
