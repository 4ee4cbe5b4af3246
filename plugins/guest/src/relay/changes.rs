//! What another thread tells the relay: entrances that are new, and those that close.

use std::io::{self, PipeReader, PipeWriter};
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::entrance::Entrance;

/// One of them.
pub(crate) enum Change {
    /// Take connections here as well.
    Open(Entrance),
    /// Take none at this address any more. Those that were taken stay.
    Close(Ipv4Addr),
}

/// The side of the other thread.
pub(crate) struct Changes {
    sender: Sender<Change>,
    waker: PipeWriter,
}

/// The side of the relay.
pub(crate) struct Arrivals {
    receiver: Receiver<Change>,
    pub(super) woken: PipeReader,
}

/// Makes both sides.
pub(super) fn pair() -> io::Result<(Changes, Arrivals)> {
    let (woken, waker) = io::pipe()?;
    rustix::io::ioctl_fionbio(&woken, true)?;
    rustix::io::ioctl_fionbio(&waker, true)?;
    let (sender, receiver) = channel();
    Ok((Changes { sender, waker }, Arrivals { receiver, woken }))
}

impl Changes {
    /// Tells the relay.
    pub(crate) fn send(&mut self, change: Change) {
        // The relay ends with this process. A full pipe wakes it as well as one byte more would.
        self.sender.send(change).ok();
        rustix::io::write(&self.waker, &[0]).ok();
    }
}

impl Arrivals {
    /// Makes the changes that were told.
    pub(super) fn apply(&mut self, entrances: &mut Vec<Entrance>) {
        // Emptied before the changes are taken, so that none is missed.
        rustix::io::read(&self.woken, &mut [0; 4096]).ok();
        for change in self.receiver.try_iter() {
            match change {
                Change::Open(entrance) => entrances.push(entrance),
                Change::Close(address) => entrances.retain(|entrance| !entrance.is_at(address)),
            }
        }
    }
}
