//! Where the host knocks, and the door through which its connections are handed on.
//!
//! Invariant: the door is open until process 1 of the agent's container has come, which is before any code of the agent's runs, and
//! then it is gone. Where the host knocks the agent cannot reach.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use bottle_guest::pod::server::Server;
use bottle_guest::pod::{DOOR, EGRESS, KNOCK, door};
use rustix::process::getuid;

use super::End;
use super::control::Control;
use crate::error::GuardError;

/// Both sockets.
pub(super) struct Hub {
    server: Server<Arc<Control>>,
    door: Mutex<Door>,
    ends: Sender<End>,
}

/// Where connections for the bottle go.
enum Door {
    /// They wait for process 1.
    Open(Vec<UnixStream>),
    Taken(UnixStream),
}

impl Hub {
    /// Opens both in a directory, and serves them in threads.
    pub(super) fn open(
        link: &Path,
        visitor: u32,
        server: Server<Arc<Control>>,
        ends: Sender<End>,
    ) -> Result<(), GuardError> {
        let hub = Arc::new(Self { server, door: Mutex::new(Door::Open(Vec::new())), ends });
        // A mask of the image's would decide otherwise.
        let directory = |place: &str, mode| {
            let path = link.join(place).parent().unwrap_or(link).to_owned();
            made(&path, mode).map_err(|source| GuardError::Knock { path, source })
        };
        directory(KNOCK, 0o700)?;
        directory(DOOR, 0o755)?;
        made(&link.join(EGRESS), 0o755)
            .map_err(|source| GuardError::Knock { path: link.join(EGRESS), source })?;
        let (knocks, _) = listen(link.join(KNOCK), 0o600)?;
        let (visits, door) = listen(link.join(DOOR), 0o666)?;
        let wrap = |source| GuardError::Process { source };
        let of_thread = Arc::clone(&hub);
        let visit = move || of_thread.await_visitor(&visits, &door, visitor);
        Builder::new().name("door".to_owned()).spawn(visit).map_err(wrap)?;
        Builder::new().name("knocks".to_owned()).spawn(move || hub.take_knocks(&knocks)).map_err(wrap)?;
        Ok(())
    }

    /// Lets process 1 in, hands it what waits, and stays until it is gone.
    fn await_visitor(&self, visits: &UnixListener, door: &Path, visitor: u32) {
        for visit in visits.incoming() {
            let Ok(visit) = visit else { continue };
            if !is_of(&visit, visitor) {
                continue;
            }
            // Another that connected already is not heard, and ends with this socket.
            fs::remove_file(door).ok();
            let Ok(stays) = visit.try_clone() else { break };
            self.take_in(visit);
            self.server.serves().note_bottle();
            io::copy(&mut &stays, &mut io::sink()).ok();
            break;
        }
        self.ends.send(End::BottleGone).ok();
    }

    fn take_in(&self, visit: UnixStream) {
        let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if let Door::Open(waiting) = &*door {
            waiting.iter().for_each(|connection| drop(door::hand_over(&visit, connection.as_fd())));
        }
        *door = Door::Taken(visit);
    }

    /// Serves the host's connections, of this container's own user alone.
    fn take_knocks(&self, knocks: &UnixListener) {
        for knock in knocks.incoming().flatten() {
            if is_of(&knock, getuid().as_raw()) {
                // One that cannot be served is closed.
                self.connect(knock).ok();
            }
        }
    }

    /// Gives a connection of the host's one of the bottle's as well.
    fn connect(&self, knock: UnixStream) -> io::Result<()> {
        let (host, bottle) = UnixStream::pair()?;
        door::hand_over(&knock, host.as_fd())?;
        match &mut *self.door.lock().unwrap_or_else(PoisonError::into_inner) {
            Door::Open(waiting) => waiting.push(bottle),
            Door::Taken(visitor) => door::hand_over(visitor, bottle.as_fd())?,
        }
        self.server.show(knock)
    }
}

/// Returns `true` if the other side has this user. Its process number is of no use: it is that of another container.
fn is_of(stream: &UnixStream, user: u32) -> bool {
    door::user_of(stream).is_ok_and(|found| found == user)
}

fn made(path: &Path, mode: u32) -> io::Result<()> {
    // What a guard of before has left: the volume outlives a container.
    fs::remove_dir_all(path).or_else(missing_is_well)?;
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn missing_is_well(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn listen(path: PathBuf, mode: u32) -> Result<(UnixListener, PathBuf), GuardError> {
    let listen = || {
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        Ok(listener)
    };
    match listen() {
        Ok(listener) => Ok((listener, path)),
        Err(source) => Err(GuardError::Knock { path, source }),
    }
}
