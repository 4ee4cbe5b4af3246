//! Takes connections and joins each to its port of the bottle, until the bottle has ended.

use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use claude_bottle_plugin_api::{
    ActiveBottle, Bottle, BottleState, ConnectRequest, Connected, Failure, FailureKind,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;

use super::super::App;
use super::super::active::ActiveRow;
use super::super::selection::Called;
use super::listen::Entrance;
use crate::error::{CliError, CliResult, Exit};
use crate::run::backend::{Backend, Verb};
use crate::run::changes::{Changes, TICK};

/// How many connections are carried at once: each is a program in the bottle. More wait until one ends.
const MOST: usize = 64;
/// How long connections may take to end with their bottle.
const GRACE: Duration = Duration::from_secs(5);
/// How long to pause when a connection cannot be taken, for want of descriptors or memory: the next cannot be taken either.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection that has ended.
struct Ended {
    port: u16,
    result: Result<Connected, Failure>,
}

/// The ports of one bottle.
pub(super) struct Forward<'a> {
    app: &'a App,
    backend: &'a Backend,
    row: &'a ActiveRow,
    /// What reaches it: of a listing less may be known than of its start.
    instance: Bottle,
    /// Changes of the run's record.
    changes: Changes,
    has_record: bool,
    ended: (Sender<Ended>, Receiver<Ended>),
    woken: PipeReader,
    waker: PipeWriter,
    n_open: usize,
    /// The bottle was not there for a connection.
    is_gone: bool,
    /// What was said of a port last, until a connection to it is whole.
    said: HashMap<u16, String>,
}

/// What can be done.
#[derive(Default)]
struct Ready {
    is_interrupted: bool,
    entrances: Vec<usize>,
}

impl<'a> Forward<'a> {
    /// Watches the bottle's run.
    pub(super) fn new(app: &'a App, backend: &'a Backend, row: &'a ActiveRow) -> CliResult<Self> {
        let bottle = &row.bottle;
        let directory = app.runs().dir(&bottle.id);
        let watch = || {
            let changes = Changes::new()?;
            if directory.is_dir() {
                changes.add(&directory)?;
            }
            let (woken, waker) = io::pipe()?;
            rustix::io::ioctl_fionbio(&woken, true)?;
            Ok::<_, io::Error>((changes, woken, waker))
        };
        let (changes, woken, waker) =
            watch().with_context(|| format!("cannot watch the run `{}`", bottle.id))?;
        let record = app.runs().get(&bottle.id);
        let has_record = record.is_some();
        let instance = record.and_then(|record| record.instance).unwrap_or_else(|| bottle.record.clone());
        Ok(Self {
            app,
            backend,
            row,
            instance,
            changes,
            has_record,
            ended: channel(),
            woken,
            waker,
            n_open: 0,
            is_gone: false,
            said: HashMap::new(),
        })
    }

    /// Serves until the bottle has ended, or the user ends it.
    pub(super) fn run(mut self, entrances: Vec<Entrance>) -> CliResult<ExitCode> {
        loop {
            if self.is_over() {
                drop(entrances);
                self.await_ends(Some(GRACE));
                self.app.ui.status(&format!("{} has ended", self.row.name()));
                return Ok(ExitCode::SUCCESS);
            }
            let ready = self.wait(&entrances).context("cannot wait for connections")?;
            if ready.is_interrupted {
                drop(entrances);
                // Each is cancelled by the interrupt, and given up in time.
                self.await_ends(None);
                return Ok(Exit::Interrupted.into());
            }
            for ended in self.ended.1.try_iter().collect::<Vec<_>>() {
                self.note(ended);
            }
            for entrance in ready.entrances {
                self.accept(&entrances[entrance]);
            }
        }
    }

    /// Returns `true` if the bottle has ended, as its record says or as it was found.
    fn is_over(&self) -> bool {
        let ended = || match self.app.runs().get(&self.row.bottle.id) {
            Some(record) => record.phase.is_over(),
            None => self.has_record,
        };
        self.is_gone || ended()
    }

    fn wait(&self, entrances: &[Entrance]) -> io::Result<Ready> {
        let entrances = if self.n_open < MOST { entrances } else { &[] };
        let interrupt = self.backend.interrupt();
        let fixed = [interrupt.as_fd(), self.changes.as_fd(), self.woken.as_fd()];
        let all = fixed.into_iter().chain(entrances.iter().map(|entrance| entrance.listener.as_fd()));
        let mut waited: Vec<_> = all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        match poll(&mut waited, TICK.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            other => other?,
        };
        let is_ready = |at: usize| !waited[at].revents().is_empty();
        let ready = (0..entrances.len()).filter(|at| is_ready(fixed.len() + at)).collect();
        let is_interrupted = is_ready(0);
        self.changes.drain()?;
        // Emptied before the ends are taken, so that none is missed.
        rustix::io::read(&self.woken, &mut [0; 256]).ok();
        Ok(Ready { is_interrupted, entrances: ready })
    }

    /// Takes a connection that waits, and carries it on a thread of its own.
    fn accept(&mut self, entrance: &Entrance) {
        let carried = entrance.listener.accept().and_then(|(stream, _)| self.carry(entrance.port, stream));
        match carried {
            Ok(()) => self.n_open += 1,
            // It was taken back.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                ) => {}
            Err(error) => {
                self.say(
                    entrance.port,
                    format!("cannot take a connection to port {}: {error}", entrance.port),
                );
                thread::sleep(PAUSE);
            }
        }
    }

    fn carry(&self, port: u16, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let (backend, bottle) = (self.backend.clone(), self.instance.clone());
        let (sender, mut waker) = (self.ended.0.clone(), self.waker.try_clone()?);
        thread::Builder::new().name("connection".to_owned()).spawn(move || {
            let result = connect(&backend, bottle, port, stream);
            // Nothing waits for it any more once the bottle has ended.
            sender.send(Ended { port, result }).ok();
            waker.write_all(&[0]).ok();
        })?;
        Ok(())
    }

    /// Says what is worth saying of a connection that has ended.
    fn note(&mut self, ended: Ended) {
        self.n_open -= 1;
        match ended.result {
            Ok(_) => drop(self.said.remove(&ended.port)),
            Err(failure) => match failure.kind {
                FailureKind::NotFound if !self.is_there() => self.is_gone = true,
                FailureKind::Cancelled => {}
                _ => self.say(ended.port, format!("{:#}", CliError::from(failure).error)),
            },
        }
    }

    /// Asks the backend whether the bottle runs.
    fn is_there(&self) -> bool {
        let listed = self.backend.call(Verb::LIST_ACTIVE, |opened, call| opened.list_active(call));
        let is_it =
            |found: &ActiveBottle| found.id == self.row.bottle.id && found.state == BottleState::Running;
        listed.is_ok_and(|bottles| bottles.iter().any(is_it))
    }

    /// Says a problem, once until a connection to its port is whole: a page asks again and again.
    fn say(&mut self, port: u16, problem: String) {
        if self.said.get(&port) != Some(&problem) {
            self.app.ui.warning(&problem);
            self.said.insert(port, problem);
        }
    }

    /// Waits until every connection has ended.
    fn await_ends(&mut self, patience: Option<Duration>) {
        let deadline = patience.map(|patience| Instant::now() + patience);
        while self.n_open > 0 {
            let ended = match deadline {
                Some(deadline) => {
                    self.ended.1.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
                }
                None => self.ended.1.recv().ok(),
            };
            if ended.is_none() {
                return;
            }
            self.n_open -= 1;
        }
    }
}

/// Joins a connection to its port, and returns when it has ended.
fn connect(backend: &Backend, bottle: Bottle, port: u16, stream: TcpStream) -> Result<Connected, Failure> {
    // The call has the stream, which stays open as long as it does.
    backend.call(Verb::CONNECT, move |opened, call| {
        let connected = opened.connect(call, &bottle, &ConnectRequest::new(port, stream.as_raw_fd()));
        if !connected.as_ref().is_ok_and(|connected| !connected.cut) {
            // Closed with a reset, so that its client takes it for broken off and not for an answer that is over.
            set_socket_linger(&stream, Some(Duration::ZERO)).ok();
        }
        connected
    })
}
