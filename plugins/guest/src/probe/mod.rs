//! `bottle-guest probe`: tries from inside what a bottle is to keep from its agent, and says what was not kept.
//!
//! It runs as the agent does, by the backend's `exec`, and reads from its standard input what to try. Each check is a line of
//! JSON on standard output, whether it found something or not, so that a check that is missing is known to be missing. What a
//! finding means is for the host to say.
//!
//! Invariant: it leaves nothing changed where it is refused, and next to nothing where it is not.

mod call;
mod files;
mod limits;
mod names;
mod network;
mod powers;
mod sockets;

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::GuestError;
use crate::error::StepExt;

pub use call::run as call;
pub use limits::{eat, fill};

/// What is to be tried, as the host says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Addresses of the host, on which it listens for TCP and UDP at `port`.
    addresses: Vec<std::net::IpAddr>,
    port: u16,
    /// What a datagram that reaches the host has in it.
    token: String,
    /// A name that no rule allows.
    name: String,
    /// Files of the host, each with a text that is in it.
    files: Vec<(String, String)>,
    /// Values that must be nowhere inside.
    secrets: Vec<String>,
    /// Limits of the bottle; nothing is tried without.
    memory_bytes: Option<u64>,
    processes: Option<u64>,
}

/// What one check found.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The check's name.
    id: &'static str,
    /// How much was tried.
    tries: usize,
    /// What was not kept from the agent, a sentence each.
    broken: Vec<String>,
    /// Why nothing could be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    untried: Option<String>,
}

impl Finding {
    fn new(id: &'static str) -> Self {
        Self { id, tries: 0, broken: Vec::new(), untried: None }
    }

    fn untried(id: &'static str, why: &str) -> Self {
        Self { untried: Some(why.to_owned()), ..Self::new(id) }
    }

    /// Counts a try, and notes what it found.
    fn note(&mut self, found: Option<String>) {
        self.tries += 1;
        self.broken.extend(found);
    }
}

/// Tries all of it.
///
/// # Errors
/// Fails when the request cannot be read, or a finding cannot be written.
pub fn run() -> Result<u8, GuestError> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).step(|| "read what to try")?;
    let request: Request =
        serde_json::from_slice(&text).map_err(std::io::Error::from).step(|| "read what to try")?;
    drop(text);
    // What a limit ends comes last: it may be this program.
    let checks: [fn(&Request) -> Finding; 12] = [
        powers::powers,
        powers::processes,
        call::calls,
        network::direct,
        network::proxy,
        names::names,
        sockets::sockets,
        files::of_the_host,
        files::of_ours,
        files::trust,
        files::secrets,
        limits::processes,
    ];
    for check in checks.into_iter().chain([limits::memory as fn(&Request) -> Finding]) {
        let mut line =
            serde_json::to_vec(&check(&request)).map_err(std::io::Error::from).step(|| "say it")?;
        line.push(b'\n');
        std::io::stdout().write_all(&line).step(|| "say what was found")?;
    }
    Ok(0)
}
