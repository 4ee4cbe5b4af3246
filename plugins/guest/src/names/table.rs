//! Which name has which address, and at which ports connections to it are caught.
//!
//! Each name has an address of its own out of 127.64.0.0/10, which is the loopback's as all of 127.0.0.0/8 is. A listener is made for
//! each port when the name is first asked for: the bottle's own programs have every other address and port for themselves.
//!
//! Invariant: names and listeners are bounded; the name that was not asked for the longest goes first. An address is given to
//! another name only when all others have had their turn, so that what a client still remembers leads nowhere, and never elsewhere.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::relay::{Change, Entrance, Opening};

/// The first address, and how many there are: the host part of 127.64.0.0/10 without its first and last.
const FIRST: u32 = Ipv4Addr::new(127, 64, 0, 1).to_bits();
const ADDRESSES: u32 = (1 << 22) - 2;

/// The most names that have an address at a time.
const MAX_NAMES: usize = 256;
/// The most listeners of all of them.
const MAX_LISTENERS: usize = 1024;

/// How long the ports of a name are taken for what they were, so that a policy that has changed is asked again.
const FRESH: Duration = Duration::from_secs(1);

/// A name with its address.
struct Entry {
    address: Ipv4Addr,
    ports: Vec<u16>,
    told: Instant,
    /// When it was last asked for, by a count of questions.
    asked: u64,
}

/// All names that have an address.
pub(super) struct Table {
    guard: PathBuf,
    entries: HashMap<String, Entry>,
    /// How many addresses were given out.
    given: u32,
    questions: u64,
}

impl Table {
    pub(super) fn new(guard: &Path) -> Self {
        Self { guard: guard.to_path_buf(), entries: HashMap::new(), given: 0, questions: 0 }
    }

    /// Returns the address of a name of which the guard was asked a moment ago.
    pub(super) fn fresh(&mut self, name: &str, now: Instant) -> Option<Ipv4Addr> {
        self.questions += 1;
        let entry = self.entries.get_mut(name).filter(|entry| now.duration_since(entry.told) < FRESH)?;
        entry.asked = self.questions;
        Some(entry.address)
    }

    /// Gives a name an address at which connections to these ports are caught. Returns it with what is new of that.
    pub(super) fn give(&mut self, name: &str, ports: &[u16], now: Instant) -> (Ipv4Addr, Vec<Change>) {
        self.questions += 1;
        let mut changes = Vec::new();
        if !self.entries.contains_key(name) {
            self.make_room(ports.len(), &mut changes);
            let address = self.next_address();
            let entry = Entry { address, ports: Vec::new(), told: now, asked: 0 };
            self.entries.insert(name.to_owned(), entry);
        }
        let guard = &self.guard;
        let Some(entry) = self.entries.get_mut(name) else { return (Ipv4Addr::UNSPECIFIED, changes) };
        (entry.told, entry.asked) = (now, self.questions);
        for port in ports {
            if entry.ports.contains(port) {
                continue;
            }
            // A program of the bottle's may have the port on every address; it is then the one that is reached.
            let Ok(listener) = TcpListener::bind((entry.address, *port)) else { continue };
            let opening = Opening::Caught(format!("{name}:{port}"));
            let Ok(entrance) = Entrance::new(listener, guard, opening) else { continue };
            changes.push(Change::Open(entrance.at(entry.address)));
            entry.ports.push(*port);
        }
        (entry.address, changes)
    }

    /// Takes a name's address back.
    pub(super) fn forget(&mut self, name: &str) -> Option<Change> {
        self.entries.remove(name).map(|entry| Change::Close(entry.address))
    }

    fn make_room(&mut self, listeners: usize, changes: &mut Vec<Change>) {
        let is_full = |entries: &HashMap<String, Entry>| {
            let open: usize = entries.values().map(|entry| entry.ports.len()).sum();
            entries.len() >= MAX_NAMES || open + listeners > MAX_LISTENERS
        };
        while is_full(&self.entries) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.asked);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return };
            changes.extend(self.forget(&oldest));
        }
    }

    fn next_address(&mut self) -> Ipv4Addr {
        loop {
            let address = Ipv4Addr::from_bits(FIRST + self.given % ADDRESSES);
            self.given = self.given.wrapping_add(1);
            if self.entries.values().all(|entry| entry.address != address) {
                return address;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nothing else on this machine's loopback is likely to have.
    fn port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn table() -> Table {
        Table::new(Path::new("/nowhere"))
    }

    fn closed(changes: &[Change]) -> usize {
        changes.iter().filter(|change| matches!(change, Change::Close(_))).count()
    }

    #[test]
    fn a_name_keeps_its_address_and_has_it_alone() {
        let (mut table, now, port) = (table(), Instant::now(), port());
        assert_eq!(table.fresh("a.test", now), None);
        let (first, changes) = table.give("a.test", &[port], now);
        assert_eq!((first, changes.len()), (Ipv4Addr::new(127, 64, 0, 1), 1));
        let (second, _) = table.give("b.test", &[port], now);
        assert_eq!(second, Ipv4Addr::new(127, 64, 0, 2));
        assert_eq!(table.fresh("a.test", now), Some(first));
        assert_eq!(table.fresh("a.test", now + FRESH), None);
        let (again, changes) = table.give("a.test", &[port], now);
        assert_eq!((again, changes.len()), (first, 0));
    }

    #[test]
    fn ten_thousand_names_leave_no_more_than_fit_and_the_oldest_goes_first() {
        let (mut table, now, port) = (table(), Instant::now(), port());
        let mut open = Vec::new();
        let mut addresses = std::collections::HashSet::new();
        for n in 0..10_000 {
            let (address, changes) = table.give(&format!("n{n}.test"), &[port], now);
            assert!(addresses.insert(address), "{address} is given to another name");
            // One that is asked for now and then stays.
            table.fresh("n0.test", now);
            let over = closed(&changes);
            open.drain(..over);
            open.extend(changes.into_iter().filter(|change| matches!(change, Change::Open(_))));
            assert!(table.entries.len() <= MAX_NAMES && open.len() <= MAX_NAMES);
        }
        assert_eq!(table.fresh("n0.test", now), Some(Ipv4Addr::new(127, 64, 0, 1)));
        assert_eq!(table.fresh("n1.test", now), None);
    }

    #[test]
    fn listeners_are_bounded_as_well_as_names() {
        let (mut table, now) = (table(), Instant::now());
        let ports: Vec<u16> = (0..16).map(|_| port()).collect();
        let mut names = 0;
        while table
            .give(&format!("n{names}.test"), &ports, now)
            .1
            .iter()
            .all(|change| matches!(change, Change::Open(_)))
        {
            names += 1;
        }
        let open: usize = table.entries.values().map(|entry| entry.ports.len()).sum();
        assert!(open <= MAX_LISTENERS && names <= MAX_NAMES, "{names} names with {open} listeners");
    }

    #[test]
    fn an_address_that_is_taken_is_not_given_again() {
        let (mut table, now) = (table(), Instant::now());
        let (first, _) = table.give("a.test", &[], now);
        table.given = ADDRESSES;
        assert_ne!(table.give("b.test", &[], now).0, first);
    }
}
