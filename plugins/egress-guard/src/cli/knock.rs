//! `knock`: joins standard input and output to the guard of this container and to the bottle behind it.
//!
//! Frames go to the side that their channel leads to. What comes from a side must be of a channel of its own; the bottle's frames
//! are looked at here, in a process that holds nothing, and never by the guard.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use bottle_guest::pod::frame::{self, Frame};
use bottle_guest::pod::verbs::Side;
use bottle_guest::pod::{KNOCK, LINK, door};

use crate::error::GuardError;

/// Join standard input and output to the guard and the bottle of a Pod
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the volume that both containers have
    #[arg(long, value_name = "DIR", default_value = LINK)]
    link: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let place = args.link.join(KNOCK);
    let connect = || {
        let guard = UnixStream::connect(&place)?;
        Ok((door::take(&guard)?, guard))
    };
    let (bottle, guard) =
        connect().map_err(|source: io::Error| GuardError::Knock { path: place.clone(), source })?;
    join(guard, bottle).map_err(|source| GuardError::Process { source })?;
    Ok(ExitCode::SUCCESS)
}

/// Joins until one of the three ends.
fn join(guard: UnixStream, bottle: UnixStream) -> io::Result<()> {
    let (ended, end) = channel();
    let output = Arc::new(Mutex::new(io::stdout().as_fd().try_clone_to_owned()?.into()));
    for (side, stream) in [(Side::Guard, guard.try_clone()?), (Side::Bottle, bottle.try_clone()?)] {
        let (output, ended) = (Arc::clone(&output), ended.clone());
        Builder::new().name("down".to_owned()).spawn(move || down(side, &stream, &output, &ended))?;
    }
    Builder::new().name("up".to_owned()).spawn(move || up(&guard, &bottle, &ended))?;
    // With this process all of it ends.
    end.recv().map_err(io::Error::other)
}

/// Carries frames of the host to where they lead.
fn up(mut guard: &UnixStream, mut bottle: &UnixStream, ended: &Sender<()>) {
    // Standard input that is buffered holds what a secret was.
    let Ok(input) = io::stdin().as_fd().try_clone_to_owned() else { return };
    let mut input = std::fs::File::from(input);
    while let Ok(Some(frame)) = frame::read(&mut input) {
        let sent = match Side::of(frame.channel) {
            Side::Guard => frame::write(&mut guard, &frame),
            Side::Bottle => frame::write(&mut bottle, &frame),
        };
        if sent.is_err() {
            break;
        }
    }
    ended.send(()).ok();
}

/// Carries frames of one side to the host.
fn down(side: Side, mut stream: &UnixStream, output: &Mutex<std::fs::File>, ended: &Sender<()>) {
    while let Ok(Some(frame)) = frame::read(&mut stream) {
        if !is_of(side, &frame) || write(output, &frame).is_err() {
            break;
        }
    }
    ended.send(()).ok();
}

/// Returns `true` if a frame is of a channel of this side.
fn is_of(side: Side, frame: &Frame) -> bool {
    Side::of(frame.channel) == side
}

fn write(output: &Mutex<impl Write>, frame: &Frame) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    frame::write(&mut *output, frame)
}
