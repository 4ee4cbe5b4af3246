//! exec: a program in the bottle, and this process's streams joined to its.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bottle_guest::protocol::{Exec, Reply, Request};
use claude_bottle_plugin_api::{Call, ErrorExt, ExecIo, ExecRequest, ExecRole, Failure, FailureKind, Result};
use rustix::fs::OFlags;

use crate::attach::{self, Pump, Session};
use crate::{DoorError, control};

/// The size of a terminal of unknown size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// The exit code of a program that is not there, as a shell has it.
const NOT_FOUND: i32 = 127;

/// A bottle, as a program that is started in it needs it.
#[derive(Debug, Clone, Copy)]
pub struct Inside<'a> {
    /// The bottle's directory on the host.
    pub dir: &'a Path,
    /// Its name, for messages.
    pub name: &'a str,
    /// Where programs start; where process 1 does when it is empty.
    pub directory: &'a str,
}

/// What became of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ended with this code, 128 + n for signal n.
    Code(i32),
    /// It is the agent's, and is not in the bottle. Of any other the user is told here.
    Missing,
}

/// Runs a program and waits for its end. `env` is said to be its own, besides what the bottle has.
///
/// # Errors
/// Fails when the bottle does not run, and when the call is cancelled; the program has ended then.
pub fn exec(
    call: &Call,
    inside: Inside<'_>,
    request: &ExecRequest,
    command: Vec<String>,
    env: Vec<(String, String)>,
) -> Result<Ended> {
    let io = request.io()?;
    let Some(program) = command.first().cloned() else {
        return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
    };
    let told = if request.tty { &io.stdout } else { &io.stderr };
    let told = told.try_clone().failure(FailureKind::Internal, || "cannot use a stream")?;
    let terminal = request.tty.then(|| io.terminal_size().unwrap_or(USUAL_SIZE));
    let message = Exec { command, env, directory: inside.directory.to_owned(), terminal };
    let code = match request.tty {
        true => with_terminal(call, inside, (message, &program), io)?,
        false => with_pipes(call, inside, (message, &program), io)?,
    };
    match (code, request.role) {
        (Some(code), _) => Ok(Ended::Code(code)),
        (None, ExecRole::Agent) => Ok(Ended::Missing),
        (None, _) => {
            let said = format!("error: the program `{program}` is not in this bottle\n");
            // Its exit code says it too.
            std::fs::File::from(told).write_all(said.as_bytes()).ok();
            Ok(Ended::Code(NOT_FOUND))
        }
    }
}

fn with_terminal(
    call: &Call,
    inside: Inside<'_>,
    (message, program): (Exec, &str),
    io: ExecIo,
) -> Result<Option<i32>> {
    let Some((stream, mut fds)) = begin(call, inside, message, &[])? else { return Ok(None) };
    let controller =
        fds.pop().ok_or_else(|| Failure::new(FailureKind::Internal, "the bottle sent no terminal"))?;
    set_nonblocking(&controller)?;
    let copy = controller.try_clone().failure(FailureKind::Internal, || "cannot use the terminal")?;
    let pumps = vec![Pump::input(io.stdin, copy), Pump::output(controller, io.stdout)];
    let program = program.to_owned();
    let session = Session { stream, program, pumps, resized: io.resized, is_terminal: true };
    attach::run(call, session).map(Some)
}

fn with_pipes(
    call: &Call,
    inside: Inside<'_>,
    (message, program): (Exec, &str),
    io: ExecIo,
) -> Result<Option<i32>> {
    let pipe = || io::pipe().failure(FailureKind::Internal, || "cannot make a pipe");
    let ((their_in, our_out), (our_in, their_out), (our_err, their_err)) = (pipe()?, pipe()?, pipe()?);
    let fds = [their_in.as_fd(), their_out.as_fd(), their_err.as_fd()];
    let Some((stream, _)) = begin(call, inside, message, &fds)? else { return Ok(None) };
    drop((their_in, their_out, their_err));
    set_nonblocking(&our_out)?;
    let pumps = vec![
        Pump::input(io.stdin, our_out.into()),
        Pump::output(our_in.into(), io.stdout),
        Pump::output(our_err.into(), io.stderr),
    ];
    let session = Session { stream, program: program.to_owned(), pumps, resized: None, is_terminal: false };
    attach::run(call, session).map(Some)
}

/// Asks for a program; `None` when there is none of this name.
fn begin(
    call: &Call,
    inside: Inside<'_>,
    message: Exec,
    fds: &[BorrowedFd<'_>],
) -> Result<Option<(UnixStream, Vec<OwnedFd>)>> {
    let stream = control::send_request(inside.dir, inside.name, &Request::Exec(message), fds)?;
    match control::answer(call, &stream)? {
        Some((Reply::Started, fds)) => Ok(Some((stream, fds))),
        Some((Reply::Missing, _)) => Ok(None),
        _ => Err(DoorError::ReachBottle { name: inside.name.to_owned() }.into()),
    }
}

fn set_nonblocking(fd: &impl AsFd) -> Result<()> {
    let set = || -> rustix::io::Result<()> {
        rustix::fs::fcntl_setfl(fd, rustix::fs::fcntl_getfl(fd)? | OFlags::NONBLOCK)
    };
    set().failure(FailureKind::Internal, || "cannot use a stream of the program")
}
