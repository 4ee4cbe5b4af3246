//! The wall: what keeps every program of a bottle from the network of its Pod.
//!
//! It is there before the door is looked for, and before anything of the agent's can run.
//!
//! Invariant: a wall that is not as it is to be ends the container.

mod netlink;
mod netns;
mod seal;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::verbs::{Tried, Wall};
use crate::GuestError;

pub(super) use seal::seal;

/// How long a place may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most places that are tried at once.
const MOST_TARGETS: usize = 64;

/// Puts this process and all that it starts behind a wall, and returns how that looks from inside.
///
/// # Errors
/// Fails when there can be no wall, or it is not whole.
pub(super) fn build() -> Result<Wall, GuestError> {
    netns::build()
}

/// Tries to reach each place.
pub(super) fn try_targets(targets: &[SocketAddr]) -> Result<Vec<Tried>, String> {
    if targets.len() > MOST_TARGETS {
        return Err(format!("{} places are too many to try", targets.len()));
    }
    let reached = reach(targets);
    let tried = targets.iter().zip(reached).map(|(target, error)| Tried { target: *target, error });
    Ok(tried.collect())
}

/// Connects to each of them at once; the reasons of those that do not answer.
pub fn reach(targets: &[SocketAddr]) -> Vec<Option<String>> {
    std::thread::scope(|scope| {
        let connect = |target| move || TcpStream::connect_timeout(target, PATIENCE).err();
        let tries: Vec<_> = targets.iter().map(|target| scope.spawn(connect(target))).collect();
        let reason = |error: std::io::Error| error.to_string();
        // One that panicked has reached it for all that is known.
        tries.into_iter().map(|tried| tried.join().ok().flatten().map(reason)).collect()
    })
}
