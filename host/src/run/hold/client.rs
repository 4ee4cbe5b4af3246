//! What the user sees of a held session: this terminal, joined to the one that the holder has.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};

use super::frames::{self, Frame, Inbox, Kind, frame, json_frame};
use super::keys::{DetachKeys, Passed, Typed};
use super::line::Line;
use super::{Held, Setup, Size};
use crate::run::reaper::environment;
use crate::ui::interrupt::Interrupt;
use crate::ui::{output, suspend};

/// How a client left a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Left {
    /// The program has ended, with this code.
    Ended(i32),
    /// The user has detached, or this process was asked to end.
    Detached,
    /// Another client has taken the session.
    Taken,
    /// Nothing runs, for this reason.
    Failed(String),
    /// The holder is gone.
    Lost,
}

/// A connection to a holder.
pub struct Client<'a> {
    stream: UnixStream,
    interrupt: &'a Interrupt,
    keys: DetachKeys,
    /// Whether this process has a terminal to join.
    attended: bool,
    /// Whether it leaves once the agent runs.
    leaves: bool,
    /// The run, once its agent runs.
    pub held: Option<Held>,
    /// What a program said that nobody watched, and that ended before its agent ran.
    pub said: Option<String>,
}

impl<'a> Client<'a> {
    /// Starts a holder, and what it is to run.
    pub fn start(
        exe: &Path,
        setup: &Setup,
        leaves: bool,
        keys: DetachKeys,
        interrupt: &'a Interrupt,
    ) -> io::Result<Self> {
        let (mine, its) = UnixStream::pair()?;
        Command::new(exe)
            .arg("hold")
            .env_clear()
            .envs(environment::of_watcher(std::env::vars_os()))
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        frames::send(&mine, &json_frame(Kind::Setup, setup)?)?;
        Ok(Self { stream: mine, interrupt, keys, attended: setup.attended, leaves, held: None, said: None })
    }

    /// Joins a session that is held.
    pub fn attach(stream: UnixStream, keys: DetachKeys, interrupt: &'a Interrupt) -> io::Result<Self> {
        frames::send(&stream, &json_frame(Kind::Attach, &Size::of(output::stdout()))?)?;
        Ok(Self { stream, interrupt, keys, attended: true, leaves: false, held: None, said: None })
    }

    /// Carries keys and the screen until one side leaves.
    pub fn run(&mut self) -> io::Result<Left> {
        let mut line = Line::new(self.stream.try_clone()?, Inbox::default())?;
        let mut typed = Typed::new(self.keys.clone());
        loop {
            let ready = self.wait(&line)?;
            if ready.interrupted {
                return Ok(Left::Detached);
            }
            if ready.resized {
                self.pass_size(&mut line)?;
            }
            if ready.typed
                && let Some(left) = pass_keys(&mut line, &mut typed)?
            {
                return Ok(left);
            }
            if !line.flush() {
                return Ok(Left::Lost);
            }
            if ready.heard {
                let Some(frames) = line.read() else { return Ok(Left::Lost) };
                for frame in &frames {
                    if let Some(left) = self.hear(&mut line, frame)? {
                        return Ok(left);
                    }
                }
            }
        }
    }

    fn wait(&self, line: &Line) -> io::Result<Ready> {
        let stdin = io::stdin();
        let asked = if line.is_waiting() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut polled = vec![
            PollFd::new(self.interrupt, PollFlags::IN),
            PollFd::from_borrowed_fd(self.interrupt.resizes(), PollFlags::IN),
            PollFd::new(line, asked),
        ];
        if self.attended && line.has_room() {
            polled.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let is = |at: usize| polled.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let heard = polled[2].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok(Ready { interrupted: is(0), resized: is(1), heard, typed: is(3) })
    }

    fn pass_size(&self, line: &mut Line) -> io::Result<()> {
        drain(self.interrupt.resizes());
        line.send(&json_frame(Kind::Resize, &Size::of(output::stdout()))?);
        Ok(())
    }

    fn hear(&mut self, line: &mut Line, heard: &Frame) -> io::Result<Option<Left>> {
        Ok(match heard.kind {
            Kind::Output => {
                if self.attended {
                    output::write(&heard.bytes)?;
                }
                None
            }
            Kind::Running => {
                self.held = Some(heard.json()?);
                self.leaves.then_some(Left::Detached)
            }
            Kind::Stopped => {
                // Without a shell that could continue it, the program goes on at once.
                if let Err(failure) = suspend::suspend(self.interrupt) {
                    tracing::debug!(%failure, "suspend");
                }
                line.send(&frame(Kind::Continue, b""));
                self.pass_size(line)?;
                None
            }
            Kind::Taken => Some(Left::Taken),
            Kind::Failed => {
                let said = String::from_utf8_lossy(&heard.bytes).into_owned();
                if self.attended {
                    return Ok(Some(Left::Failed(said)));
                }
                self.said = Some(said);
                None
            }
            Kind::Ended => {
                let code = heard.bytes.as_slice().try_into().map(i32::from_be_bytes);
                Some(code.map_or(Left::Lost, Left::Ended))
            }
            _ => None,
        })
    }
}

#[derive(Default)]
struct Ready {
    interrupted: bool,
    resized: bool,
    heard: bool,
    typed: bool,
}

/// Passes on what was typed; returns how the client leaves, if it does.
fn pass_keys(line: &mut Line, typed: &mut Typed) -> io::Result<Option<Left>> {
    let mut bytes = [0; 4096];
    let count = match rustix::io::read(io::stdin(), &mut bytes) {
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(None),
        // The terminal is gone.
        Ok(0) | Err(rustix::io::Errno::IO) => return Ok(Some(Left::Detached)),
        other => other?,
    };
    let (on, left) = match typed.take(&bytes[..count]) {
        Passed::On(on) => (on, None),
        Passed::Detach(on) => (on, Some(Left::Detached)),
    };
    if !on.is_empty() {
        line.send(&frame(Kind::Input, &on));
    }
    Ok(left)
}

fn drain(descriptor: BorrowedFd<'_>) {
    while rustix::io::read(descriptor, &mut [0; 64]).is_ok_and(|count| count > 0) {}
}

/// Asks a holder whether a client is attached.
pub fn is_attached(stream: &UnixStream) -> io::Result<bool> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    frames::send(stream, &frame(Kind::Ask, b""))?;
    let answer = frames::receive(stream, &mut Inbox::default())?;
    Ok(answer.is_some_and(|frame| frame.kind == Kind::State && frame.bytes == [1]))
}
