//! Exec with a terminal.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::kit::bench::{Bench, Check, Stop, call, ensure};
use crate::kit::program::script;
use crate::{ErrorExt, ExecRequest, ExecRole, FailureKind, Result};

/// Says what terminal there is; 42 stands for an image that cannot say.
const SCRIPT: &str = "command -v stty >/dev/null || exit 42
    test -t 0 && test -t 1 && test -t 2 && printf 'a terminal of '; stty size; exit 6";

/// A pseudo-terminal of an unusual size: the end a person would have, and the host's.
fn terminal() -> Result<(OwnedFd, OwnedFd)> {
    let make = || -> rustix::io::Result<(OwnedFd, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let person = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&person)?;
        rustix::pty::unlockpt(&person)?;
        let host = rustix::pty::ioctl_tiocgptpeer(&person, flags)?;
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&host, size)?;
        // The host has its own terminal in raw mode when it passes it on.
        let mut raw = rustix::termios::tcgetattr(&host)?;
        raw.make_raw();
        rustix::termios::tcsetattr(&host, rustix::termios::OptionalActions::Now, &raw)?;
        Ok((person, host))
    };
    make().failure(FailureKind::Internal, || "cannot make a terminal")
}

/// Says each size that it is told of, until there is one; gives up after half a minute.
const WATCH: &str = "command -v stty >/dev/null || exit 42
    trap 'printf \"now \"; stty size; exit 6' WINCH; printf ready; i=0
    while [ $i -lt 300 ]; do i=$((i + 1)); sleep 0.1; done; exit 7";

pub(super) fn resize(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let (person, host) = terminal()?;
    let (resized, tell) = std::io::pipe()?;
    let mut request = ExecRequest::new(script(WATCH, &[]), ExecRole::Command);
    request.tty = true;
    request.term = Some("xterm-256color".to_owned());
    request.streams = [host.as_raw_fd(); 3];
    request.resized = Some(resized.as_raw_fd());
    let reader = thread::spawn(move || {
        let (mut person, mut seen, mut part) = (std::fs::File::from(person), String::new(), [0; 256]);
        let mut tell = Some(tell);
        while let Ok(length @ 1..) = person.read(&mut part) {
            seen.push_str(&String::from_utf8_lossy(&part[..length]));
            if seen.contains("ready")
                && let Some(mut tell) = tell.take()
            {
                let size_now = Winsize { ws_row: 44, ws_col: 111, ws_xpixel: 0, ws_ypixel: 0 };
                // A terminal that is gone ends the reading.
                rustix::termios::tcsetwinsize(&person, size_now).ok();
                drop(tell.write_all(b"x"));
            }
        }
        seen
    });
    let status = session.opened.exec(&call(), &bottle, &request);
    drop((host, resized));
    let seen = reader.join().unwrap_or_default();
    let code = status?.code;
    if code == 42 {
        return Err(Stop::Skip("there is no `stty` in the bottle".to_owned()));
    }
    ensure!(
        code == 6 && seen.contains("now 44 111"),
        "told of a new size it ends with {code}, and shows {seen:?}"
    );
    Ok(())
}

pub(super) fn tty(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let (person, host) = terminal()?;
    let mut request = ExecRequest::new(script(SCRIPT, &[]), ExecRole::Command);
    request.tty = true;
    request.term = Some("xterm-256color".to_owned());
    request.streams = [host.as_raw_fd(); 3];
    let reader = thread::spawn(move || {
        let mut seen = Vec::new();
        // The end of the other side is an error here (EIO), which ends the reading as well.
        drop(std::fs::File::from(person).read_to_end(&mut seen));
        String::from_utf8_lossy(&seen).into_owned()
    });
    let status = session.opened.exec(&call(), &bottle, &request);
    drop(host);
    let seen = reader.join().unwrap_or_default();
    let code = status?.code;
    if code == 42 {
        return Err(Stop::Skip("there is no `stty` in the bottle".to_owned()));
    }
    ensure!(code == 6, "`exit 6` ends with {code}; it printed {seen:?}");
    ensure!(seen.contains("a terminal of 33 101"), "a terminal of 33 rows and 101 columns shows {seen:?}");
    Ok(())
}
