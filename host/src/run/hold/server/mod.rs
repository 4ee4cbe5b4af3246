//! The holder: it carries bytes between a terminal and whoever is attached, and waits for nobody but the program.

mod wait;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;

use super::frames::{self, Frame, Inbox, Kind, frame, json_frame};
use super::line::Line;
use super::notify::{Event, Notify};
use super::pty::Terminal;
use super::screen::Screen;
use super::told::{Lines, News};
use super::transcript::Transcript;
use super::{Held, Setup, Size, socket};
use crate::run::records::Runs;
use wait::{Change, Changes, Ready};

/// Who may be at the door without having said what they want.
const MOST_VISITORS: usize = 16;
/// Above this many keys that the program has not read, no more are taken.
const ENOUGH_KEYS: usize = 64 * 1024;

/// Runs what the first client asks for, until it has ended.
pub fn serve(exe: &Path, runs: &Runs, first: UnixStream) -> io::Result<()> {
    let mut inbox = Inbox::for_setup();
    let Some(asked) = frames::receive(&first, &mut inbox)?.filter(|frame| frame.kind == Kind::Setup) else {
        return Ok(());
    };
    let started = asked.json().and_then(|setup| Holder::start(exe, runs, setup));
    let mut client = Line::new(first, Inbox::default())?;
    let mut holder = match started {
        Ok(holder) => holder,
        Err(error) => {
            client.send(&frame(Kind::Failed, error.to_string().as_bytes()));
            client.finish();
            return Ok(());
        }
    };
    holder.client = Some(client);
    let code = holder.run()?;
    holder.end(code);
    Ok(())
}

/// Leaves the directory in which this process was started: it is the program's, and may go.
#[expect(clippy::disallowed_methods, reason = "this process loads no plug-in")]
fn leave_directory() -> io::Result<()> {
    std::env::set_current_dir("/")
}

/// A session.
struct Holder<'a> {
    terminal: Terminal,
    changes: Changes,
    runs: &'a Runs,
    screen: Screen,
    transcript: Option<Transcript>,
    notify: Notify,
    lines: Lines,
    /// What was typed and not read.
    typed: Vec<u8>,
    client: Option<Line>,
    visitors: Vec<Line>,
    /// Where others attach, once the run has a directory.
    door: Option<(UnixListener, PathBuf)>,
    /// The run, once its agent runs.
    held: Option<Held>,
    attended: bool,
    survive: bool,
    /// Whether the terminal has been left by all of its programs.
    is_left: bool,
}

impl<'a> Holder<'a> {
    fn start(exe: &Path, runs: &'a Runs, setup: Setup) -> io::Result<Self> {
        let (size, attended, survive) = (setup.size, setup.attended, setup.survive);
        let (notify, record) = (Notify::new(setup.notify.clone()), setup.record);
        let terminal = Terminal::start(exe, setup)?;
        let changes = Changes::of(terminal.program)?;
        leave_directory()?;
        Ok(Self {
            terminal,
            changes,
            runs,
            screen: Screen::new(size),
            transcript: record.then(Transcript::default),
            notify,
            lines: Lines::default(),
            typed: Vec::new(),
            client: None,
            visitors: Vec::new(),
            door: None,
            held: None,
            attended,
            survive,
            is_left: false,
        })
    }

    /// Carries until the program has ended; returns its exit code.
    fn run(&mut self) -> io::Result<i32> {
        loop {
            let ready = self.wait()?;
            if ready.told {
                self.hear()?;
            }
            if ready.shown {
                self.show();
            }
            if let Some(change) = self.changes.take(ready.changed)? {
                match change {
                    Change::Ended(code) => return Ok(code),
                    Change::Stopped => self.stopped(),
                }
            }
            self.answer(&ready);
            self.type_on();
            let now = Instant::now();
            if self.notify.waits(now) {
                self.tell(Event::Waits);
            }
        }
    }

    fn wait(&self) -> io::Result<Ready> {
        let has_room = self.client.as_ref().is_none_or(Line::has_room);
        let watched = wait::Watched {
            terminal: (!self.is_left).then_some(&self.terminal.master),
            reads_terminal: has_room,
            writes_terminal: !self.typed.is_empty(),
            told: &self.terminal.told,
            changes: &self.changes,
            door: self.door.as_ref().map(|(listener, _)| listener),
            client: self.client.as_ref(),
            reads_client: self.typed.len() < ENOUGH_KEYS,
            visitors: &self.visitors,
        };
        watched.wait(self.notify.patience(Instant::now()))
    }

    /// Hears what the program tells.
    fn hear(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        let count = match rustix::io::read(&self.terminal.told, &mut bytes) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(()),
            other => other?,
        };
        for news in self.lines.push(&bytes[..count]) {
            match news {
                News::Run(id) => self.open_door(&id)?,
                News::Running(held) => {
                    let frame = json_frame(Kind::Running, &held)?;
                    self.held = Some(held);
                    self.send(&frame);
                }
            }
        }
        Ok(())
    }

    fn open_door(&mut self, run: &str) -> io::Result<()> {
        let directory = self.runs.dir(run);
        let listener = socket::listen(&directory)?;
        listener.set_nonblocking(true)?;
        if let Some(transcript) = &mut self.transcript {
            transcript.begin(&directory)?;
        }
        self.door = Some((listener, directory));
        Ok(())
    }

    /// Takes what the terminal shows, and passes it on.
    fn show(&mut self) {
        let mut bytes = [0; 16 * 1024];
        match rustix::io::read(&self.terminal.master, &mut bytes) {
            Ok(count @ 1..) => self.pass_on(&bytes[..count]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // The last program on it is gone: its end is told apart.
            _ => self.is_left = true,
        }
    }

    fn pass_on(&mut self, bytes: &[u8]) {
        let rang = self.screen.draw(bytes);
        if let Some(Err(error)) = self.transcript.as_mut().map(|transcript| transcript.add(bytes)) {
            tracing::warn!(%error, "write the transcript");
            self.transcript = None;
        }
        if self.held.is_some() {
            self.notify.note_change(Instant::now());
            if rang {
                self.notify.note_told();
                self.tell(Event::Waits);
            }
        }
        self.send(&frame(Kind::Output, bytes));
    }

    fn tell(&self, event: Event) {
        if let Some(held) = &self.held {
            self.notify.tell(event, held);
        }
    }

    /// Puts a frame on its way to the client, if there is one.
    fn send(&mut self, frame: &[u8]) {
        if self.client.as_mut().is_some_and(|client| !client.send(frame)) {
            self.lose_client();
        }
    }

    /// The program has stopped itself: so does its client. Without one it goes on, as without a shell.
    fn stopped(&mut self) {
        match self.client {
            Some(_) => self.send(&frame(Kind::Stopped, b"")),
            None => self.terminal.signal(Signal::CONT),
        }
    }

    /// The client is gone. A run that does not survive that, or that nobody has agreed to, ends.
    fn lose_client(&mut self) {
        self.client = None;
        let goes_on = self.survive && self.door.is_some();
        self.terminal.signal(if goes_on { Signal::CONT } else { Signal::HUP });
    }

    fn answer(&mut self, ready: &Ready) {
        if ready.client.writes && self.client.as_mut().is_some_and(|client| !client.flush()) {
            self.lose_client();
        }
        if ready.client.reads {
            match self.client.as_mut().and_then(Line::read) {
                Some(frames) => frames.iter().for_each(|frame| self.obey(frame)),
                None => self.lose_client(),
            }
        }
        let visitors = std::mem::take(&mut self.visitors);
        for (mut visitor, is_ready) in visitors.into_iter().zip(&ready.visitors) {
            if !is_ready {
                self.visitors.push(visitor);
            } else if let Some(frames) = visitor.read() {
                self.receive(visitor, &frames);
            }
        }
        if ready.door {
            self.open();
        }
    }

    /// Does what the attached client says.
    fn obey(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Input => self.typed.extend_from_slice(&frame.bytes),
            Kind::Continue => self.terminal.signal(Signal::CONT),
            Kind::Resize => drop(frame.json().map(|size| self.resize(size))),
            _ => {}
        }
    }

    fn resize(&mut self, size: Size) {
        let size = size.bounded();
        self.screen.resize(size);
        self.terminal.resize(size);
    }

    /// Lets those in who are this user.
    fn open(&mut self) {
        let accepted = self.door.as_ref().and_then(|(listener, _)| listener.accept().ok());
        let line = accepted
            .filter(|(stream, _)| socket::is_ours(stream))
            .and_then(|(stream, _)| Line::new(stream, Inbox::default()).ok());
        if self.visitors.len() < MOST_VISITORS {
            self.visitors.extend(line);
        }
    }

    /// Does what a visitor came for.
    fn receive(&mut self, mut visitor: Line, frames: &[Frame]) {
        match frames.split_first() {
            None => self.visitors.push(visitor),
            Some((first, rest)) if first.kind == Kind::Attach => {
                let Ok(size) = first.json() else { return };
                if let Some(mut former) = self.client.replace(visitor) {
                    former.send(&frame(Kind::Taken, b""));
                    former.finish();
                }
                self.resize(size);
                self.terminal.signal(Signal::CONT);
                let running = self.held.as_ref().and_then(|held| json_frame(Kind::Running, held).ok());
                self.send(&running.unwrap_or_default());
                self.send(&frame(Kind::Output, &self.screen.picture()));
                rest.iter().for_each(|frame| self.obey(frame));
            }
            Some((first, _)) if first.kind == Kind::Ask => {
                visitor.send(&frame(Kind::State, &[u8::from(self.client.is_some())]));
                visitor.finish();
            }
            Some(_) => {}
        }
    }

    /// Passes on what was typed, as much as the terminal takes.
    fn type_on(&mut self) {
        while !self.typed.is_empty() {
            match rustix::io::write(&self.terminal.master, &self.typed) {
                Ok(count) => drop(self.typed.drain(..count)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => self.typed.clear(),
            }
        }
    }

    /// Shows the rest, and says how the program ended.
    fn end(&mut self, code: i32) {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = rustix::io::read(&self.terminal.master, &mut bytes) {
            self.pass_on(&bytes[..count]);
        }
        if !self.attended && self.held.is_none() {
            self.send(&frame(Kind::Failed, self.screen.text().as_bytes()));
        }
        if let Some((_, directory)) = self.door.take()
            && let Err(error) = socket::remove(&directory)
        {
            tracing::debug!(%error, "remove the socket");
        }
        self.tell(Event::Ended);
        self.send(&frame(Kind::Ended, &code.to_be_bytes()));
        if let Some(client) = self.client.take() {
            client.finish();
        }
    }
}
