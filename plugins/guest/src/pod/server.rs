//! Answers calls on any number of connections, each in a thread of its own.
//!
//! Invariant: a connection that breaks the rules ends, and no call with it; a call is in one place at a time, the connection that
//! asked for it last.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

pub use super::channel::{Channel, Input};
use super::frame::{self, Frame, Kind};
use super::verbs::{Outcome, Verb};
use super::view::View;
use super::window::{Inbox, Outbox};

/// The most calls at once.
const MOST_CHANNELS: usize = 1024;

const STACK: usize = 256 * 1024;

/// What answers.
pub trait Serve: Send + Sync + 'static {
    /// Does what is asked for, and returns how it ended. A channel that closes meanwhile is to end it.
    fn serve(&self, verb: Verb, channel: &Arc<Channel>) -> Outcome;

    /// Answers a frame about the connection itself; nothing ends the connection.
    fn greet(&self, _frame: &Frame) -> Option<Frame> {
        None
    }
}

impl<S: Serve> Serve for Arc<S> {
    fn serve(&self, verb: Verb, channel: &Arc<Channel>) -> Outcome {
        (**self).serve(verb, channel)
    }

    fn greet(&self, frame: &Frame) -> Option<Frame> {
        (**self).greet(frame)
    }
}

/// All calls of one side.
pub struct Server<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

struct Shared<S> {
    serves: S,
    calls: Mutex<HashMap<u64, Call>>,
    lost: Condvar,
}

struct Call {
    channel: Arc<Channel>,
    linger: Duration,
}

impl<S: Serve> Server<S> {
    /// Makes a server without connections.
    ///
    /// # Errors
    /// Fails when no thread can be had.
    pub fn new(serves: S) -> io::Result<Self> {
        let shared = Arc::new(Shared { serves, calls: Mutex::default(), lost: Condvar::new() });
        let server = Self { shared };
        let of_thread = server.clone();
        Builder::new().name("linger".to_owned()).stack_size(STACK).spawn(move || of_thread.end_the_lost())?;
        Ok(server)
    }

    /// Returns what answers.
    pub fn serves(&self) -> &S {
        &self.shared.serves
    }

    /// Answers on a connection, in threads.
    ///
    /// # Errors
    /// Fails when no thread can be had; the connection is closed then.
    pub fn show(&self, stream: UnixStream) -> io::Result<()> {
        let view = Arc::<View>::default();
        let mut sending = stream.try_clone()?;
        let sender = Arc::clone(&view);
        Builder::new().name("sender".to_owned()).stack_size(STACK).spawn(move || {
            // The reader sees the end.
            sender.send_all(&mut sending).ok();
            sending.shutdown(Shutdown::Both).ok();
        })?;
        let server = self.clone();
        Builder::new().name("reader".to_owned()).stack_size(STACK).spawn(move || {
            while let Ok(Some(frame)) = frame::read(&mut &stream) {
                if server.take(&view, frame).is_err() {
                    break;
                }
            }
            view.end();
            stream.shutdown(Shutdown::Both).ok();
            server.lose(&view);
        })?;
        Ok(())
    }

    /// Closes all calls.
    pub fn close_all(&self) {
        self.calls().drain().for_each(|(_, call)| call.channel.close());
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Call>> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: u64) -> Option<Arc<Channel>> {
        self.calls().get(&id).map(|call| Arc::clone(&call.channel))
    }

    /// Takes a frame in. An error ends the connection.
    fn take(&self, view: &Arc<View>, frame: Frame) -> io::Result<()> {
        let id = frame.channel;
        let known = self.find(id);
        match (frame.kind, known) {
            (Kind::Open, None) if frame.seq == 1 => self.open(view, frame),
            (Kind::Open, Some(channel)) => {
                channel.show(view, 0)?;
                channel.accept(view, frame)
            }
            (Kind::Input | Kind::End | Kind::Resize | Kind::Signal, Some(channel)) => {
                channel.accept(view, frame)
            }
            (Kind::Ack, Some(channel)) => {
                if channel.acknowledge(view, frame.seq)? {
                    self.forget(id);
                }
                Ok(())
            }
            (Kind::Resume, Some(channel)) => {
                let (received, taken) = channel.places();
                view.tell(Frame::about(Kind::Resumed, id, received));
                view.tell(Frame::about(Kind::Ack, id, taken));
                channel.show(view, frame.seq)?;
                if channel.acknowledge(view, frame.seq)? {
                    self.forget(id);
                }
                Ok(())
            }
            (Kind::Resume, None) => {
                view.tell(Frame::about(Kind::Gone, id, 0));
                Ok(())
            }
            (Kind::Close, _) => {
                self.forget(id);
                Ok(())
            }
            // Of a call that is over and was forgotten.
            (Kind::Input | Kind::End | Kind::Resize | Kind::Signal | Kind::Ack, None) => Ok(()),
            (Kind::Hello | Kind::Beat, None) if id == 0 => {
                let answer = self.shared.serves.greet(&frame);
                view.tell(answer.ok_or_else(|| invalid("nothing answers to this"))?);
                Ok(())
            }
            _ => Err(invalid("a frame of the other side")),
        }
    }

    /// Begins a call.
    fn open(&self, view: &Arc<View>, frame: Frame) -> io::Result<()> {
        let id = frame.channel;
        let verb = serde_json::from_slice::<Verb>(&frame.payload);
        let linger = Duration::from_secs(verb.as_ref().map_or(0, Verb::linger));
        let channel = Channel::new(id, Outbox::new(id), Inbox::default())?;
        {
            let mut calls = self.calls();
            if calls.len() >= MOST_CHANNELS {
                return Err(invalid("too many calls at once"));
            }
            calls.insert(id, Call { channel: Arc::clone(&channel), linger });
        }
        channel.show(view, 0)?;
        channel.accept(view, frame)?;
        // What it is was read already.
        channel.take();
        let (server, of_thread) = (self.clone(), Arc::clone(&channel));
        let serve = move || {
            let outcome = match verb {
                Ok(verb) => server.shared.serves.serve(verb, &of_thread),
                Err(error) => failed(format!("cannot read what is asked for: {error}")),
            };
            end(&of_thread, &outcome);
        };
        if let Err(error) = Builder::new().name("call".to_owned()).stack_size(STACK).spawn(serve) {
            end(&channel, &failed(format!("cannot start a thread: {error}")));
        }
        Ok(())
    }

    /// Ends a call, if it does not have its end already.
    fn forget(&self, id: u64) {
        if let Some(call) = self.calls().remove(&id) {
            call.channel.close();
        }
    }

    fn lose(&self, view: &Arc<View>) {
        let calls = self.calls();
        calls.values().for_each(|call| call.channel.lose(view));
        self.shared.lost.notify_one();
    }

    /// Ends calls that no connection has shown for long enough.
    fn end_the_lost(&self) {
        let mut calls = self.calls();
        loop {
            let now = Instant::now();
            let due = |call: &Call| Some(call.channel.lost_since()? + call.linger);
            calls.retain(|_, call| {
                let is_over = due(call).is_some_and(|due| due <= now);
                if is_over {
                    call.channel.close();
                }
                !is_over
            });
            let next = calls.values().filter_map(due).min();
            let lost = &self.shared.lost;
            calls = match next {
                Some(next) => {
                    let wait = next.saturating_duration_since(now);
                    lost.wait_timeout(calls, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => lost.wait(calls).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Failed { message }
}

fn end(channel: &Arc<Channel>, outcome: &Outcome) {
    channel.finish(Kind::Result, serde_json::to_vec(outcome).unwrap_or_default());
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
