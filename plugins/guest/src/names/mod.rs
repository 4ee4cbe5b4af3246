//! Names inside a bottle without a network: a name server on 127.0.0.1:53 that knows which names may be reached.
//!
//! It looks nothing up. The guard says at which ports a name may be reached; such a name gets an address of the loopback, where its
//! connections are caught and handed to the guard, which decides them like any other ([`crate::relay`]). Every other name does not
//! exist, and the guard has written down that it was asked for. So programs that know no proxy reach what is allowed.
//!
//! One thread does it, apart from the relay's: a guard that takes its time holds up no connection.

mod ask;
mod message;
mod streams;
mod table;

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use crate::relay::{Changes, PAUSE};
use ask::Verdict;
use message::{Outcome, Question};
use streams::{Client, MAX_CLIENTS};
use table::Table;

/// The port on which names are asked for.
const PORT: u16 = 53;

const STACK: usize = 128 * 1024;

/// For how long a refusal also answers the question for the other kind of address, which clients ask at the same time.
const PAIR: Duration = Duration::from_secs(2);

/// The most refusals that wait for that other question.
const MAX_PAIRS: usize = 64;

/// Starts answering in a thread, at the address where the bottle's `/etc/resolv.conf` says that names are asked for. What is new of
/// the entrances goes to the relay.
///
/// # Errors
/// Fails when the port cannot be had.
pub(crate) fn start(guard: &Path, address: Ipv4Addr, changes: Changes) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("port 53 for names: {error}"));
    let datagrams = UdpSocket::bind((address, PORT)).map_err(named)?;
    let listener = TcpListener::bind((address, PORT)).map_err(named)?;
    serve(guard, datagrams, listener, changes)
}

fn serve(guard: &Path, datagrams: UdpSocket, listener: TcpListener, changes: Changes) -> io::Result<()> {
    datagrams.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;
    let stub = Stub { guard: guard.to_path_buf(), table: Table::new(guard), refused: Vec::new(), changes };
    Builder::new()
        .name("names".to_owned())
        .stack_size(STACK)
        .spawn(move || run(stub, &datagrams, &listener))?;
    Ok(())
}

/// What answers need.
struct Stub {
    guard: PathBuf,
    table: Table,
    /// Names that were refused a moment ago, and the kind of address that was asked for.
    refused: Vec<(String, u16, Instant)>,
    changes: Changes,
}

impl Stub {
    /// Returns the answer to a message, if there is to be one.
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let outcome = match message::parse(message) {
            Ok(question) => self.look_up(&question),
            Err(error) => error?,
        };
        Some(message::answer(message, outcome))
    }

    fn look_up(&mut self, question: &Question) -> Outcome {
        let name = question.name.as_str();
        let found = |address| match question.is_for_address() {
            true => Outcome::Address(address),
            // In particular no IPv6 address.
            false => Outcome::Nothing,
        };
        // <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>
        if name == "localhost" || name.ends_with(".localhost") {
            return found(Ipv4Addr::LOCALHOST);
        }
        // Names of addresses, and the root: they lead nowhere, so the guard has nothing to decide.
        if name.is_empty() || name == "arpa" || name.ends_with(".arpa") {
            return Outcome::NoSuchName;
        }
        let now = Instant::now();
        if let Some(address) = self.table.fresh(name, now) {
            return found(address);
        }
        if self.was_refused(question, now) {
            return Outcome::NoSuchName;
        }
        match ask::ask(&self.guard, name) {
            Verdict::Open(ports) => {
                let (address, changes) = self.table.give(name, &ports, now);
                changes.into_iter().for_each(|change| self.changes.send(change));
                found(address)
            }
            Verdict::Refused => {
                self.table.forget(name).into_iter().for_each(|change| self.changes.send(change));
                self.note_refused(question, now);
                Outcome::NoSuchName
            }
            Verdict::Unknown => Outcome::Failed,
        }
    }

    /// Returns `true` if the name was refused when the other kind of address was asked for. This is forgotten with the answer, so
    /// that each attempt is decided, and is one in the log.
    fn was_refused(&mut self, question: &Question, now: Instant) -> bool {
        self.refused.retain(|(_, _, since)| now.duration_since(*since) < PAIR);
        let is_other =
            |(name, kind, _): &(String, u16, Instant)| *name == question.name && *kind != question.kind;
        self.refused.iter().position(is_other).map(|at| self.refused.swap_remove(at)).is_some()
    }

    fn note_refused(&mut self, question: &Question, now: Instant) {
        if self.refused.len() < MAX_PAIRS {
            self.refused.push((question.name.clone(), question.kind, now));
        }
    }
}

/// Answers for ever.
fn run(mut stub: Stub, datagrams: &UdpSocket, listener: &TcpListener) {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let ready = wait(datagrams, listener, &clients);
        if ready[0] {
            answer_datagram(&mut stub, datagrams);
        }
        for (client, _) in clients.iter_mut().zip(&ready[2..]).filter(|(_, is_ready)| **is_ready) {
            client.turn(|message| stub.answer(message));
        }
        clients.retain(|client| !client.is_over);
        if ready[1] {
            accept(listener, &mut clients);
        }
    }
}

/// Takes a waiting client; when there are too many, the one that came first goes.
fn accept(listener: &TcpListener, clients: &mut Vec<Client>) {
    match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(client) => {
            if clients.len() == MAX_CLIENTS {
                clients.remove(0);
            }
            clients.push(Client::new(client));
        }
        // It was taken back.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
        Err(_) => std::thread::sleep(PAUSE),
    }
}

/// Waits until something can be read; says where, in the order of the arguments.
fn wait(datagrams: &UdpSocket, listener: &TcpListener, clients: &[Client]) -> Vec<bool> {
    let mut fds = vec![PollFd::new(datagrams, PollFlags::IN), PollFd::new(listener, PollFlags::IN)];
    fds.extend(clients.iter().map(Client::waits_for).map(|(fd, flags)| PollFd::new(fd, flags)));
    // Interrupted or short of memory: nothing is ready, and the next round asks again.
    let is_valid = poll(&mut fds, None).is_ok();
    fds.iter().map(|fd| is_valid && !fd.revents().is_empty()).collect()
}

fn answer_datagram(stub: &mut Stub, datagrams: &UdpSocket) {
    let mut message = [0; message::MAX_MESSAGE];
    let Ok((length, from)) = datagrams.recv_from(&mut message) else { return };
    if let Some(answer) = stub.answer(&message[..length]) {
        // The client may be gone.
        datagrams.send_to(&answer, from).ok();
    }
}

#[cfg(test)]
mod tests;
