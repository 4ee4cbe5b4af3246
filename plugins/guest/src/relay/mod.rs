//! `127.0.0.1:PORT` in the bottle, which is the guard's Unix socket outside; and the bridge to an ssh-agent.
//!
//! One thread carries all connections: a bottle's processes are counted, and threads are processes to the kernel. It decides
//! nothing: what it carries is decided by the guard behind the socket.

mod carry;
mod changes;
mod entrance;
mod flow;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::thread::Builder;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::error::StepExt;
use crate::protocol::Relay;
use crate::{GuestError, names};
use carry::Connection;
use changes::Arrivals;

pub(crate) use changes::{Change, Changes};
pub(crate) use entrance::{Entrance, Opening, reach};

/// Connections at once; the guard has a limit of its own.
const MAX_CONNECTIONS: usize = 1024;

/// The stack of the thread, which holds one buffer on the heap.
const STACK: usize = 128 * 1024;

/// How long to pause when a connection cannot be taken, for want of descriptors or memory: nothing tells when it can.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// Starts relaying in a thread and, where that is wanted, answering for names in another. The ports accept connections when this returns.
///
/// # Errors
/// Fails when a port cannot be had.
pub fn start(relay: &Relay) -> io::Result<()> {
    start_at(relay, Ipv4Addr::LOCALHOST)
}

/// The same, with another address where names are asked for: every one, in a network that has nothing but a loopback.
///
/// # Errors
/// Fails when a port cannot be had.
pub(crate) fn start_at(relay: &Relay, names: Ipv4Addr) -> io::Result<()> {
    let entrances = entrances(relay)?;
    let arrivals = match relay.names {
        true => {
            let (changes, arrivals) = changes::pair()?;
            names::start(&relay.guard, names, changes)?;
            Some(arrivals)
        }
        false => None,
    };
    let carry = move || run(entrances, arrivals);
    Builder::new().name("relay".to_owned()).stack_size(STACK).spawn(carry)?;
    Ok(())
}

/// Relays until this process is ended. A line on standard output says when the ports are there.
///
/// Each of `forward` is a port and the place to which it leads through the guard, written `PORT=HOST:PORT`.
///
/// # Errors
/// Fails when a port cannot be had, or is not one.
pub fn serve(port: &OsStr, guard: &OsStr, forward: &[OsString]) -> Result<u8, GuestError> {
    let number = |text: &str| text.parse::<u16>().ok();
    let leads = |forward: &OsString| {
        let (port, place) = forward.to_str()?.split_once('=')?;
        Some((number(port)?, place.to_owned()))
    };
    let port = port.to_str().and_then(number).ok_or(GuestError::ReadCommandLine)?;
    let forward = forward.iter().map(leads).collect::<Option<_>>().ok_or(GuestError::ReadCommandLine)?;
    let entrances = entrances(&Relay { port, guard: guard.into(), forward, names: false, proves: false });
    let entrances = entrances.step(|| format!("listen on the port {port} and those that lead elsewhere"))?;
    writeln!(io::stdout(), "listening 127.0.0.1:{port}").step(|| "say that the ports are there")?;
    run(entrances, None);
    Ok(0)
}

fn entrances(relay: &Relay) -> io::Result<Vec<Entrance>> {
    let mut entrances = vec![Entrance::on_port(relay.port, &relay.guard, Opening::Plain)?];
    for (port, place) in &relay.forward {
        let entrance = Entrance::on_port(*port, &relay.guard, Opening::Tunnel(place.clone()));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("port {port}: {error}"));
        entrances.push(entrance.map_err(named)?);
    }
    Ok(entrances)
}

/// Carries for ever.
pub(crate) fn run(mut entrances: Vec<Entrance>, mut arrivals: Option<Arrivals>) {
    let mut connections: Vec<Connection> = Vec::new();
    let mut buffer = vec![0; flow::BUFFER];
    loop {
        let ready = wait(&entrances, arrivals.as_ref(), &connections);
        for index in ready.connections {
            connections[index].turn(&mut buffer);
        }
        connections.retain(|connection| !connection.is_over());
        for entrance in ready.entrances {
            match entrances[entrance].accept() {
                Ok(connection) => connections.extend(connection),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
        if let Some(arrivals) = arrivals.as_mut().filter(|_| ready.is_woken) {
            arrivals.apply(&mut entrances);
        }
    }
}

/// What can be done: at which entrances a client waits, which connections can go on, and whether there are changes.
#[derive(Default)]
struct Ready {
    entrances: Vec<usize>,
    connections: Vec<usize>,
    is_woken: bool,
}

/// Waits until something can be done.
fn wait(entrances: &[Entrance], arrivals: Option<&Arrivals>, connections: &[Connection]) -> Ready {
    let open = if connections.len() < MAX_CONNECTIONS { entrances } else { &[] };
    let mut fds: Vec<_> =
        open.iter().map(|entrance| PollFd::new(entrance.listener(), PollFlags::IN)).collect();
    fds.extend(arrivals.map(|arrivals| PollFd::new(&arrivals.woken, PollFlags::IN)));
    let before = fds.len();
    let mut owners = Vec::with_capacity(2 * connections.len());
    for (index, connection) in connections.iter().enumerate() {
        for (fd, flags) in connection.waits_for() {
            fds.push(PollFd::new(fd, flags));
            owners.push(index);
        }
    }
    // Interrupted or short of memory: nothing is ready, and the next round asks again.
    if poll(&mut fds, None).is_err() {
        return Ready::default();
    }
    let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
    let mut connections: Vec<_> =
        (0..owners.len()).filter(|place| is_ready(before + place)).map(|place| owners[place]).collect();
    connections.dedup();
    Ready {
        entrances: (0..open.len()).filter(|index| is_ready(*index)).collect(),
        connections,
        is_woken: before > open.len() && is_ready(open.len()),
    }
}

/// Returns the side of a thread whose relay takes what it is told and carries nothing.
#[cfg(test)]
pub(crate) fn changes_for_tests() -> Changes {
    let (changes, arrivals) = changes::pair().expect("a pipe");
    Builder::new().spawn(move || run(Vec::new(), Some(arrivals))).expect("a thread");
    changes
}

#[cfg(test)]
mod tests;
