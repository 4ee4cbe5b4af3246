//! Process 1 of the agent's container in a Pod.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::server::{Channel, Serve, Server};
use super::verbs::{Outcome, Verb, Wall};
use super::{GUARD_GONE, LINK, NO_WALL, door, files, program, wall};
use crate::error::StepExt;
use crate::protocol::{Exec, Setup};
use crate::reaper::Reaper;
use crate::{GuestError, caller, relay, stat};

const STACK: usize = 128 * 1024;

/// How often it is looked whether all programs have ended, and how long each time is waited.
const LOOKS: (u32, Duration) = (1000, Duration::from_millis(5));

/// What answers the host.
struct Bottle {
    wall: Wall,
    reaper: Reaper,
    setup: OnceLock<Setup>,
    is_halted: AtomicBool,
}

/// Runs until the guard is gone, and returns the exit code. The volume is another than usual in tests alone.
///
/// # Errors
/// Fails when the bottle cannot be served.
pub fn run(link: Option<&OsStr>) -> Result<u8, GuestError> {
    caller::forget()?;
    let wall = match wall::build() {
        Ok(wall) => wall,
        Err(error) => {
            // There is nothing left to tell when this fails.
            writeln!(io::stderr(), "bottle-guest: {}", error.chain()).ok();
            return Ok(NO_WALL);
        }
    };
    wall::seal()?;
    let guard = door::enter(Path::new(link.unwrap_or(OsStr::new(LINK))));
    let reaper = Reaper::default();
    let bottle =
        Bottle { wall, reaper: reaper.clone(), setup: OnceLock::new(), is_halted: AtomicBool::new(false) };
    let server = Server::new(bottle).step(|| "start a thread")?;
    Builder::new().stack_size(STACK).spawn(move || reaper.run()).step(|| "start a thread")?;
    while let Some(connection) = door::next(&guard) {
        // Without a thread to be had the connection closes, which the host sees.
        server.show(connection).ok();
    }
    server.close_all();
    // With this process all others end.
    Ok(GUARD_GONE)
}

impl Serve for Bottle {
    fn serve(&self, verb: Verb, channel: &Arc<Channel>) -> Outcome {
        let done = match verb {
            Verb::Wall => Ok(Outcome::Wall(self.wall.clone())),
            Verb::Try { targets } => wall::try_targets(&targets).map(Outcome::Tried),
            Verb::Setup => self.set_up(channel).map_err(|error| error.chain()),
            Verb::Put { path } => files::put(Path::new(&path), channel),
            Verb::Get { path } => files::get(Path::new(&path), channel),
            Verb::Exec { exec, .. } => match (self.setup.get(), self.is_halted.load(Ordering::Acquire)) {
                (_, true) => Err("the bottle is halted".to_owned()),
                (None, _) => Err("the bottle is not set up".to_owned()),
                (Some(setup), _) => program::run(&self.reaper, setup, with_image(exec), channel),
            },
            Verb::Halt => self.halt(),
            Verb::Policy | Verb::Reload | Verb::Log { .. } | Verb::Prove { .. } => {
                Err("this is for the guard to do".to_owned())
            }
        };
        done.unwrap_or_else(|message| Outcome::Failed { message })
    }
}

/// Adds the image's variables, which are this process's, but for those that tell of the cluster. All others win.
fn with_image(mut exec: Exec) -> Exec {
    let of_cluster = |name: &str| name == "HOSTNAME" || name.starts_with("KUBERNETES_");
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    exec.env.splice(0..0, all.filter(|(name, _)| !of_cluster(name)));
    exec
}

impl Bottle {
    fn set_up(&self, channel: &Channel) -> Result<Outcome, GuestError> {
        let mut document = zeroize::Zeroizing::new(Vec::with_capacity(64 * 1024));
        channel.input().read_to_end(&mut document).step(|| "read what the bottle is")?;
        let setup: Setup =
            serde_json::from_slice(&document).map_err(io::Error::from).step(|| "read what the bottle is")?;
        if self.setup.get().is_some() {
            return Err(io::Error::other("it is set up already")).step(|| "set the bottle up");
        }
        files::write_own(&setup.files).step(|| "write the agent's files")?;
        if let Some(to_guard) = &setup.relay {
            relay::start_at(to_guard, Ipv4Addr::UNSPECIFIED).step(|| "open the way to the guard")?;
        }
        let again = || io::Error::other("it is set up already");
        self.setup.set(setup).map_err(|_| again()).step(|| "set the bottle up")?;
        Ok(Outcome::Done)
    }

    /// Ends every program. What one of them starts meanwhile ends with it.
    fn halt(&self) -> Result<Outcome, String> {
        self.is_halted.store(true, Ordering::Release);
        let (looks, pause) = LOOKS;
        for _ in 0..looks {
            // All processes but this one: <https://man7.org/linux/man-pages/man2/kill.2.html>. There may be none.
            kill(Pid::from_raw(-1), Signal::SIGKILL).ok();
            if stat::others() == 0 {
                return Ok(Outcome::Done);
            }
            std::thread::sleep(pause);
        }
        Err("programs of the bottle do not end".to_owned())
    }
}
