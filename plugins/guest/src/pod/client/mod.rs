//! The host's side: calls that outlive the connections they are shown on.
//!
//! One thread keeps a connection, and makes another when it is lost. It is for a backend to say how ([`Dial`]).

mod call;
mod shared;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use super::channel::Channel;
use super::frame::{Kind, PIECE};
use super::verbs::{Hello, Outcome, Side, Verb, Welcome};
use super::window::{Inbox, Outbox};
use shared::{Known, Shared, State};

pub use call::{Call, Said};

/// How often the lifeline shows that the host is there. An API server does not tell of a kubelet that is gone: that is known by the silence,
/// and long enough before the grace is over that another connection can be made.
pub const BEAT: Duration = Duration::from_secs(5);

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

/// Returns a number that no other call has, of whatever process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
