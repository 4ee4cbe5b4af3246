//! The host's side: calls that outlive the connections they are shown on.
//!
//! One thread keeps a connection, and makes another when it is lost. It is for a backend to say how ([`Dial`]).

mod call;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

pub use call::{Call, Said};

use super::channel::Channel;
use super::frame::{self, Frame, Kind, PIECE};
use super::verbs::{Hello, Outcome, Side, Verb, Welcome};
use super::view::View;
use super::window::{Inbox, Outbox};

/// How often the lifeline shows that the host is there.
pub const BEAT: Duration = Duration::from_secs(15);

/// After how many of them without an answer a connection is given up.
const MOST_UNANSWERED: u32 = 3;

/// How long to wait before another try, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// For how long a connection is tried for without a lifeline that says it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last words of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection.
pub struct Wire {
    /// What comes from the Pod.
    pub reader: Box<dyn Read + Send>,
    /// What goes there.
    pub writer: Box<dyn Write + Send>,
    /// Ends both, whatever waits on them.
    pub close: Box<dyn Fn() + Send + Sync>,
}

/// How connections are made.
pub trait Dial: Send + Sync + 'static {
    /// Makes one. [`io::ErrorKind::NotFound`] says that the Pod is gone; after any other error it is tried again.
    ///
    /// # Errors
    /// Fails when none can be made now.
    fn dial(&self) -> io::Result<Wire>;
}

impl<F: Fn() -> io::Result<Wire> + Send + Sync + 'static> Dial for F {
    fn dial(&self) -> io::Result<Wire> {
        self()
    }
}

/// The way to one Pod.
pub struct Link {
    shared: Arc<Shared>,
}

/// What ends a connection.
type Hangup = Arc<dyn Fn() + Send + Sync>;

struct Shared {
    hello: Hello,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    calls: HashMap<u64, Known>,
    welcome: Option<Welcome>,
    /// The connection there is, and what ends it.
    now: Option<(Arc<View>, Hangup)>,
    /// How often it was asked for a sign of life without an answer.
    unanswered: u32,
    /// Why there will be none any more.
    over: Option<(io::ErrorKind, String)>,
}

struct Known {
    channel: Arc<Channel>,
    /// Whether the other side is known to have it.
    is_there: bool,
    /// Whether another process has begun it.
    joins: bool,
}

impl Link {
    /// Makes a connection and waits for its welcome.
    ///
    /// # Errors
    /// Fails when the Pod is gone, or none can be made for as long as the grace.
    pub fn open(dial: impl Dial, hello: Hello) -> io::Result<Self> {
        let shared = Arc::new(Shared { hello, state: Mutex::default(), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        Builder::new().name("link".to_owned()).spawn(move || of_thread.keep(&dial))?;
        let of_thread = Arc::clone(&shared);
        Builder::new().name("beat".to_owned()).spawn(move || of_thread.beat())?;
        let link = Self { shared };
        let state = link.shared.state();
        let waits = |state: &mut State| state.welcome.is_none() && state.over.is_none();
        let state = link.shared.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        let over = state.over.clone();
        drop(state);
        over.map_or(Ok(link), |(kind, text)| Err(io::Error::new(kind, text)))
    }

    /// Returns what the guard said at the beginning of the last connection.
    pub fn welcome(&self) -> Option<Welcome> {
        self.shared.state().welcome.clone()
    }

    /// Begins a call.
    ///
    /// # Errors
    /// Fails when there is no connection any more.
    pub fn call(&self, side: Side, verb: &Verb) -> io::Result<Call> {
        let id = side.channel(random());
        let channel = Channel::new(id, Outbox::new(id), Inbox::default())?;
        channel.send_now(Kind::Open, serde_json::to_vec(verb)?)?;
        self.begin(channel, false)
    }

    /// Takes over a call that another process has begun.
    ///
    /// # Errors
    /// Fails when there is no connection any more.
    pub fn attach(&self, id: u64) -> io::Result<Call> {
        self.begin(Channel::new(id, Outbox::new(id), Inbox::joining())?, true)
    }

    /// Begins a call with an input, and waits for how it ended.
    ///
    /// # Errors
    /// Fails when the input cannot be read, or there is no connection any more.
    pub fn ask(&self, side: Side, verb: &Verb, input: &mut dyn Read) -> io::Result<Outcome> {
        let call = self.call(side, verb)?;
        let mut buffer = zeroize::Zeroizing::new(vec![0; PIECE]);
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                // One that has failed takes no more, and says why.
                Ok(length) => {
                    if call.send(&buffer[..length]).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        call.end().ok();
        call.outcome()
    }

    fn begin(&self, channel: Arc<Channel>, joins: bool) -> io::Result<Call> {
        let mut state = self.shared.state();
        if let Some((kind, text)) = &state.over {
            return Err(io::Error::new(*kind, text.clone()));
        }
        let known = Known { channel: Arc::clone(&channel), is_there: joins, joins };
        if let Some((view, _)) = &state.now {
            if joins {
                known.ask(view)
            } else {
                known.channel.show(view, 0)?
            };
        }
        state.calls.insert(channel.id, known);
        drop(state);
        Ok(Call::new(channel, Arc::clone(&self.shared)))
    }
}

impl Drop for Link {
    /// Calls end with it, and what was said last is sent. The lifeline's grace begins.
    fn drop(&mut self) {
        self.shared.end(io::ErrorKind::NotConnected, "the connection was closed");
        let state = self.shared.state();
        let is_open = |state: &mut State| state.now.is_some();
        let waited = self.shared.changed.wait_timeout_while(state, FAREWELL, is_open);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if let Some((_, close)) = state.now.take() {
            close();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a call, and ends it on the other side.
    fn close(&self, id: u64) {
        let mut state = self.state();
        if let Some(known) = state.calls.remove(&id) {
            known.channel.close();
            if let Some((view, _)) = &state.now {
                view.tell(Frame::about(Kind::Close, id, 0));
            }
        }
    }

    /// Ends everything.
    fn end(&self, kind: io::ErrorKind, text: &str) {
        let mut state = self.state();
        state.over.get_or_insert_with(|| (kind, text.to_owned()));
        state.calls.drain().for_each(|(_, known)| known.channel.close());
        if let Some((view, _)) = &state.now {
            view.finish();
        }
        self.changed.notify_all();
    }

    /// Keeps a connection, until there is none to be had.
    fn keep(&self, dial: &impl Dial) {
        let patience = self.hello.grace.map_or(PATIENCE, |grace| Duration::from_secs(grace.into()));
        let (mut since, mut pause) = (Instant::now(), PAUSES.0);
        while self.state().over.is_none() {
            let error = match dial.dial().and_then(|wire| self.use_wire(wire)) {
                Ok(()) => {
                    (since, pause) = (Instant::now(), PAUSES.0);
                    continue;
                }
                Err(error) => error,
            };
            if error.kind() == io::ErrorKind::NotFound || since.elapsed() >= patience {
                return self.end(error.kind(), &error.to_string());
            }
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSES.1);
        }
    }

    /// Uses a connection to its end. One without a welcome is an error.
    fn use_wire(&self, wire: Wire) -> io::Result<()> {
        let Wire { mut reader, mut writer, close } = wire;
        let view = Arc::<View>::default();
        view.tell(Frame::new(Kind::Hello, 0, 0, serde_json::to_vec(&self.hello)?));
        let sender = Arc::clone(&view);
        let close: Hangup = Arc::from(close);
        let ends = Arc::clone(&close);
        Builder::new().name("sender".to_owned()).spawn(move || {
            // What reads sees the end.
            sender.send_all(&mut writer).ok();
            ends();
        })?;
        let welcome = frame::read(&mut reader).and_then(|frame| {
            let frame = frame.filter(|frame| frame.kind == Kind::Welcome);
            let frame = frame.ok_or_else(|| io::Error::other("the guard does not answer"))?;
            Ok(serde_json::from_slice::<Welcome>(&frame.payload)?)
        });
        let used = welcome.and_then(|welcome| self.begin(&view, &close, welcome));
        if used.is_ok() {
            while let Ok(Some(frame)) = frame::read(&mut reader) {
                if self.take(&view, frame).is_err() {
                    break;
                }
            }
        }
        view.end();
        close();
        let mut state = self.state();
        state.now = None;
        self.changed.notify_all();
        state.calls.values().for_each(|known| known.channel.lose(&view));
        used
    }

    fn begin(&self, view: &Arc<View>, close: &Hangup, welcome: Welcome) -> io::Result<()> {
        let mut state = self.state();
        if state.over.is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        state.now = Some((Arc::clone(view), Arc::clone(close)));
        (state.welcome, state.unanswered) = (Some(welcome), 0);
        self.changed.notify_all();
        state.calls.values().for_each(|known| known.ask(view));
        Ok(())
    }

    /// Takes in a frame of the Pod's. An error ends the connection.
    fn take(&self, view: &Arc<View>, frame: Frame) -> io::Result<()> {
        let mut state = self.state();
        if frame.kind == Kind::Beat {
            state.unanswered = 0;
            return Ok(());
        }
        // Of a call that was closed.
        let Some(known) = state.calls.get_mut(&frame.channel) else { return Ok(()) };
        match frame.kind {
            Kind::Result => {
                known.channel.accept(view, frame)?;
                known.channel.deafen();
                Ok(())
            }
            Kind::Out | Kind::Err | Kind::Stopped => known.channel.accept(view, frame),
            Kind::Ack => {
                known.is_there = true;
                known.channel.acknowledge(view, frame.seq).map(drop)
            }
            Kind::Resumed => {
                known.is_there = true;
                if std::mem::take(&mut known.joins) {
                    known.channel.continue_behind(frame.seq);
                }
                known.channel.show(view, frame.seq)
            }
            Kind::Gone if known.is_there => {
                // Its end was lost with what had it.
                known.channel.close();
                state.calls.remove(&frame.channel);
                Ok(())
            }
            Kind::Gone => known.channel.show(view, 0),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of the other side")),
        }
    }

    /// Shows again and again that the host is there.
    fn beat(&self) {
        // It says again what the connection is for.
        let hello = serde_json::to_vec(&self.hello).unwrap_or_default();
        let mut state = self.state();
        loop {
            let goes_on = |state: &mut State| state.over.is_none();
            let waited = self.changed.wait_timeout_while(state, BEAT, goes_on);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.over.is_some() {
                return;
            }
            let Some((view, close)) = &state.now else { continue };
            view.tell(Frame::new(Kind::Beat, 0, 0, hello.clone()));
            if state.unanswered >= MOST_UNANSWERED {
                close();
            }
            state.unanswered += 1;
        }
    }
}

impl Known {
    /// Asks on another connection what of a call the other side has.
    fn ask(&self, view: &View) {
        let (_, taken) = self.channel.places();
        view.tell(Frame::about(Kind::Resume, self.channel.id, taken));
    }
}

/// Returns a number that no other call has, of whatever process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
