//! Process 1 of a bottle: in a sandbox of `bwrap`, or in a container whose files and guard are the host's.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::GuestError;
use crate::error::StepExt;
use crate::protocol::{Reply, Request, Setup, receive, send};
use crate::reaper::Reaper;
use crate::{accept, exec, parent, relay};

const STACK: usize = 128 * 1024;

/// The lowest port that takes no privilege, of this network namespace:
/// <https://docs.kernel.org/networking/ip-sysctl.html>, `ip_unprivileged_port_start`.
const LOW_PORTS: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// What every connection needs.
#[derive(Clone, Default)]
struct Bottle {
    reaper: Reaper,
    setup: Arc<OnceLock<Setup>>,
}

/// Serves the door, which is standard input, until the bottle ends.
///
/// # Errors
/// Fails when standard input is not a listening socket, or the `bwrap` outside is gone.
pub fn run() -> Result<(), GuestError> {
    parent::check()?;
    shut()?;
    let door = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).step(|| "take the door over")?;
    let null = std::fs::File::open("/dev/null").step(|| "open `/dev/null`")?;
    rustix::stdio::dup2_stdin(null).step(|| "let go of standard input")?;
    serve_door(door)?.run().step(|| "wait for children")
}

/// Serves a door that the backend hands over at a socket, until the backend is gone.
///
/// A container's process 1 inherits nothing from the backend. The name of the socket leads nowhere afterwards, and the door has
/// none inside. The connection stays: the kernel ends it with the backend's process, however that ends.
///
/// # Errors
/// Fails when no door is handed over, or the bottle cannot be served.
pub fn handed(socket: &OsStr) -> Result<(), GuestError> {
    shut()?;
    let (mut backend, door) = take_door(socket)?;
    let reaper = serve_door(door)?;
    Builder::new().stack_size(STACK).spawn(move || reaper.run()).step(|| "start a thread")?;
    // It says nothing more; this ends when it is gone, and the container with it.
    backend.read(&mut [0]).step(|| "wait for the backend's end").map(drop)
}

/// Takes a door over, and returns the connection by which it came.
fn take_door(socket: &OsStr) -> Result<(UnixStream, OwnedFd), GuestError> {
    let backend = UnixStream::connect(socket).step(|| "reach the backend")?;
    let door = receive::<()>(&backend).step(|| "be handed the door")?;
    let door = door.and_then(|(_, fds)| fds.into_iter().next());
    let missing = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    Ok((backend, door.ok_or_else(missing).step(|| "be handed the door")?))
}

/// Takes a door over and answers at it, for a bottle that is set up already. The container does not end with the backend.
pub(crate) fn serve_handed(socket: &OsStr, setup: Setup) -> Result<Reaper, GuestError> {
    let (_, door) = take_door(socket)?;
    let bottle = Bottle::default();
    set_once(&bottle, setup)?;
    serve_at(bottle, door)
}

/// Shuts this process to the agent, which has the same user and must be able neither to trace it nor to take its descriptors.
fn shut() -> Result<(), GuestError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "shut process 1 to tracers")
}

/// Answers at the door in a thread of its own, and returns what is to be run to take exit statuses.
fn serve_door(door: OwnedFd) -> Result<Reaper, GuestError> {
    serve_at(Bottle::default(), door)
}

fn serve_at(bottle: Bottle, door: OwnedFd) -> Result<Reaper, GuestError> {
    let door = UnixListener::from(door);
    let reaper = bottle.reaper.clone();
    let accept = move || {
        accept::each(door.incoming(), |connection| {
            let bottle = bottle.clone();
            let served = Builder::new().stack_size(STACK).spawn(move || serve(&bottle, &connection));
            // Without a thread to be had the connection closes, which the backend reports.
            drop(served);
        });
    };
    Builder::new().name("door".to_owned()).stack_size(STACK).spawn(accept).step(|| "start a thread")?;
    Ok(reaper)
}

fn serve(bottle: &Bottle, connection: &UnixStream) {
    let outcome = match receive::<Request>(connection) {
        Ok(Some((Request::LowPorts, _))) => hand_out_low_ports(connection).map(|()| None),
        Ok(Some((Request::Setup(setup), _))) => set_up(bottle, setup).map(|()| Some(Reply::Ready)),
        Ok(Some((Request::Exec(request), fds))) => match bottle.setup.get() {
            Some(setup) => exec::run(&bottle.reaper, setup, &request, fds, connection).map(|()| None),
            None => Ok(Some(Reply::Failed("the bottle is not set up".to_owned()))),
        },
        Ok(Some((Request::Signal(_), _))) => Ok(Some(Reply::Failed("there is no program yet".to_owned()))),
        Ok(None) => return,
        Err(error) => Ok(Some(Reply::Failed(error.to_string()))),
    };
    let reply = outcome.unwrap_or_else(|error| Some(Reply::Failed(error.chain())));
    if let Some(reply) = reply {
        send(connection, &reply, &[]).ok();
    }
}

/// Hands the setting out unopened. This process may not write it, but the user outside to whom the namespaces belong.
fn hand_out_low_ports(connection: &UnixStream) -> Result<(), GuestError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let setting = open(LOW_PORTS, flags, Mode::empty()).step(|| format!("find `{LOW_PORTS}`"))?;
    send(connection, &Reply::Ready, &[setting.as_fd()]).step(|| "answer")
}

fn set_up(bottle: &Bottle, setup: Setup) -> Result<(), GuestError> {
    if let Some(to_guard) = &setup.relay {
        relay::start(to_guard).step(|| "open the way to the guard")?;
    }
    set_once(bottle, setup)
}

fn set_once(bottle: &Bottle, setup: Setup) -> Result<(), GuestError> {
    let again = || std::io::Error::other("the bottle is set up already");
    bottle.setup.set(setup).map_err(|_| again()).step(|| "set the bottle up")
}
