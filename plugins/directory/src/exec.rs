//! exec: a program in the bottle, and this process's streams joined to its.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bottle_guest::protocol::{Exec, Reply, Request};
use bottle_guest::terminal;
use claude_bottle_kit::limits;
use claude_bottle_plugin_api::{
    Bottle, Call, ErrorExt, ExecIo, ExecRequest, ExitStatus, Failure, FailureKind, Result,
};
use rustix::fs::OFlags;

use crate::attach::{self, Pump, Session};
use crate::oom::was_out_of_memory;
use crate::{DirectoryError, Record, RunDir, control};

/// The size of a terminal of unknown size.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Runs a program and waits for its end.
///
/// # Errors
/// Fails when the bottle does not run, and when the call is cancelled; the program has ended then.
pub fn exec(call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
    call.check()?;
    let record: Record = bottle.state()?;
    let io = request.io()?;
    let mut command = request.command_line();
    let Some(program) = command.first_mut() else {
        return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
    };
    if let Some((outside, inside)) = record.renamed.as_ref().filter(|(outside, _)| outside == program) {
        tracing::debug!(outside, inside, "the agent's program has another name inside");
        program.clone_from(inside);
    }
    let terminal = request.tty.then(|| io.terminal_size().unwrap_or(USUAL_SIZE));
    // The bottle has the host's descriptions of terminals.
    let term = request.term.as_deref().filter(|_| request.tty);
    let term = term.map(|term| ("TERM".to_owned(), terminal::known(term, Path::new("/")).to_owned()));
    let env = request.env.clone().into_iter().chain(term).collect();
    let message = Exec { command, env, directory: record.directory.clone(), terminal };
    let code = match request.tty {
        true => with_terminal(call, &record, message, io)?,
        false => with_pipes(call, &record, message, io)?,
    };
    Ok(status(&record, code))
}

fn status(record: &Record, code: i32) -> ExitStatus {
    let mut status = ExitStatus::code(code);
    if code == 137 && was_out_of_memory(&record.groups) {
        let memory = record.memory_bytes.map(limits::amount);
        status.limit = Some(limits::reached(&record.bottle, "memory", memory, "memory"));
    }
    status
}

fn with_terminal(call: &Call, record: &Record, message: Exec, io: ExecIo) -> Result<i32> {
    let program = named(&message);
    let (stream, mut fds) = begin(call, record, message, &[])?;
    let controller =
        fds.pop().ok_or_else(|| Failure::new(FailureKind::Internal, "the bottle sent no terminal"))?;
    set_nonblocking(&controller)?;
    let copy = controller.try_clone().failure(FailureKind::Internal, || "cannot use the terminal")?;
    let pumps = vec![Pump::input(io.stdin, copy), Pump::output(controller, io.stdout)];
    let session = Session { stream, program, pumps, resized: io.resized, is_terminal: true };
    attach::run(call, session)
}

fn with_pipes(call: &Call, record: &Record, message: Exec, io: ExecIo) -> Result<i32> {
    let pipe = || io::pipe().failure(FailureKind::Internal, || "cannot make a pipe");
    let ((their_in, our_out), (our_in, their_out), (our_err, their_err)) = (pipe()?, pipe()?, pipe()?);
    let fds = [their_in.as_fd(), their_out.as_fd(), their_err.as_fd()];
    let program = named(&message);
    let (stream, _) = begin(call, record, message, &fds)?;
    drop((their_in, their_out, their_err));
    set_nonblocking(&our_out)?;
    let pumps = vec![
        Pump::input(io.stdin, our_out.into()),
        Pump::output(our_in.into(), io.stdout),
        Pump::output(our_err.into(), io.stderr),
    ];
    attach::run(call, Session { stream, program, pumps, resized: None, is_terminal: false })
}

fn named(message: &Exec) -> String {
    message.command.first().cloned().unwrap_or_default()
}

fn begin(
    call: &Call,
    record: &Record,
    message: Exec,
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> Result<(UnixStream, Vec<OwnedFd>)> {
    let dir = RunDir::at(record.dir.clone());
    let stream = control::send_request(&dir, &record.name, &Request::Exec(message), fds)?;
    match control::answer(call, &stream)? {
        Some((Reply::Started, fds)) => Ok((stream, fds)),
        _ => Err(DirectoryError::ReachBottle { name: record.name.clone() }.into()),
    }
}

fn set_nonblocking(fd: &impl AsFd) -> Result<()> {
    let set = || -> rustix::io::Result<()> {
        rustix::fs::fcntl_setfl(fd, rustix::fs::fcntl_getfl(fd)? | OFlags::NONBLOCK)
    };
    set().failure(FailureKind::Internal, || "cannot use a stream of the program")
}
