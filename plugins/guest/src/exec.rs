//! One program in the bottle, from request to end.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::Builder;

use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::GuestError;
use crate::error::StepExt;
use crate::lead::{SELF, is_there};
use crate::protocol::{Exec, Reply, Request, Setup, receive, send};
use crate::reaper::{Change, Reaper};
use crate::{search, session, terminal};

const STACK: usize = 64 * 1024;

/// Starts the program and stays with it. When the backend goes away first, the program is killed.
pub(crate) fn run(
    reaper: &Reaper,
    setup: &Setup,
    request: &Exec,
    fds: Vec<OwnedFd>,
    connection: &UnixStream,
) -> Result<(), GuestError> {
    let variables = variables(setup, request);
    if let Some(program) = request.command.first()
        && !is_there(OsStr::new(program), variables.get(OsStr::new("PATH")), Path::new(&request.directory))
    {
        send(connection, &Reply::Missing, &[]).ok();
        return Ok(());
    }
    let mut command = command(setup, request, variables);
    let controller = match request.terminal {
        Some(size) => Some(attach_terminal(&mut command, size).step(|| "make a terminal")?),
        None => {
            attach_streams(&mut command, fds)?;
            None
        }
    };
    let (pid, end) = reaper.spawn(&mut command).step(|| "start a process")?;
    // The streams of the program must be open in the program alone, or its end would not be seen.
    drop(command);
    let fds: Vec<_> = controller.iter().map(AsFd::as_fd).collect();
    send(connection, &Reply::Started, &fds).ok();
    drop(controller);
    report(connection, end).step(|| "start a thread")?;
    follow(connection, pid);
    Ok(())
}

/// Returns all variables of a program. What the bottle was given wins.
fn variables(setup: &Setup, request: &Exec) -> BTreeMap<OsString, OsString> {
    let said = setup.basis.iter().chain(&request.env);
    let mut all: BTreeMap<OsString, OsString> =
        said.map(|(name, value)| (name.into(), value.into())).collect();
    if request.terminal.is_some()
        && let Some(name) = all.get_mut(OsStr::new("TERM"))
    {
        // The descriptions of terminals are the bottle's own.
        *name = terminal::known(&name.to_string_lossy(), Path::new("/")).into();
    }
    let given = setup.env.iter();
    all.extend(given.map(|(name, value)| (name.into(), OsStr::from_bytes(value).into())));
    if let Some(path) = all.get_mut(OsStr::new("PATH")) {
        *path = search::with_command(std::mem::take(path));
    }
    all
}

fn command(setup: &Setup, request: &Exec, variables: BTreeMap<OsString, OsString>) -> Command {
    let mut command = Command::new(SELF);
    command.arg("stage").arg(if request.terminal.is_some() { "tty" } else { "pipes" }).args(&request.command);
    command.env_clear().envs(variables);
    if !request.directory.is_empty() {
        command.current_dir(&request.directory);
    }
    command.env(crate::stage::LIMITS, serde_json::to_string(&setup.limits).unwrap_or_default());
    command
}

fn attach_streams(command: &mut Command, fds: Vec<OwnedFd>) -> Result<(), GuestError> {
    let Ok([stdin, stdout, stderr]) = <[OwnedFd; 3]>::try_from(fds) else {
        return Err(io::Error::other("a program needs three streams")).step(|| "attach the streams");
    };
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    Ok(())
}

/// Opens a terminal in the bottle's own instance and returns its controlling side.
fn attach_terminal(command: &mut Command, (columns, rows): (u16, u16)) -> io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    tcsetwinsize(&controller, Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 })?;
    let terminal = ioctl_tiocgptpeer(&controller, flags)?;
    let copy = || terminal.try_clone().map(Stdio::from);
    command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
    Ok(controller)
}

/// Tells the backend of the program's stops and of its end, and ends the connection.
fn report(connection: &UnixStream, changes: Receiver<Change>) -> io::Result<()> {
    let connection = connection.try_clone()?;
    Builder::new().stack_size(STACK).spawn(move || {
        for change in changes {
            let reply = match change {
                Change::Stopped => Reply::Stopped,
                Change::Ended(code) => Reply::Ended(code),
            };
            send(&connection, &reply, &[]).ok();
        }
        connection.shutdown(Shutdown::Both).ok();
    })?;
    Ok(())
}

/// Passes signals on until the connection ends; then nothing waits for the program, and it must not stay.
fn follow(connection: &UnixStream, pid: Pid) {
    while let Ok(Some((Request::Signal(number), _))) = receive::<Request>(connection) {
        if let Some(signal) = Signal::from_named_raw(number) {
            session::signal(pid, signal);
        }
    }
    session::signal(pid, Signal::KILL);
}
