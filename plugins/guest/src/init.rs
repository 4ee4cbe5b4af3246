//! Process 1 of a bottle.

use std::os::fd::AsFd;
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
    // The agent has this process's user: it must be able neither to trace it nor to take its descriptors.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "shut process 1 to tracers")?;
    let door = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).step(|| "take the door over")?;
    let null = std::fs::File::open("/dev/null").step(|| "open `/dev/null`")?;
    rustix::stdio::dup2_stdin(null).step(|| "let go of standard input")?;
    let (bottle, door) = (Bottle::default(), UnixListener::from(door));
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
    reaper.run().step(|| "wait for children")
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
    let again = || std::io::Error::other("the bottle is set up already");
    bottle.setup.set(setup).map_err(|_| again()).step(|| "set the bottle up")
}
