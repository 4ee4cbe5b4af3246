//! What keeps the connections of one way, and the calls on them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::{BEAT, Dial, Wire};
use crate::pod::channel::Channel;
use crate::pod::frame::{self, Frame, Kind};
use crate::pod::verbs::{Hello, Welcome};
use crate::pod::view::View;

/// After how many of them without an answer, or without a welcome, a connection is given up.
const MOST_UNANSWERED: u32 = 2;

/// How long to wait before another try, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// For how long a connection is tried for without a lifeline that says it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What ends a connection.
pub(super) type Hangup = Arc<dyn Fn() + Send + Sync>;

pub(super) struct Shared {
    pub(super) hello: Hello,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) calls: HashMap<u64, Known>,
    pub(super) welcome: Option<Welcome>,
    /// The connection there is, and what ends it.
    pub(super) now: Option<(Arc<View>, Hangup)>,
    /// What ends the one that has no welcome yet.
    begins: Option<Hangup>,
    /// How often one of them was waited for without an answer.
    unanswered: u32,
    /// Why there will be none any more.
    pub(super) over: Option<(io::ErrorKind, String)>,
}

pub(super) struct Known {
    pub(super) channel: Arc<Channel>,
    /// Whether the other side is known to have it.
    pub(super) is_there: bool,
    /// Whether another process has begun it.
    pub(super) joins: bool,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a call, and ends it on the other side.
    pub(super) fn close(&self, id: u64) {
        let mut state = self.state();
        if let Some(known) = state.calls.remove(&id) {
            known.channel.close();
            if let Some((view, _)) = &state.now {
                view.tell(Frame::about(Kind::Close, id, 0));
            }
        }
    }

    /// Ends everything.
    pub(super) fn end(&self, kind: io::ErrorKind, text: &str) {
        let mut state = self.state();
        state.over.get_or_insert_with(|| (kind, text.to_owned()));
        state.calls.drain().for_each(|(_, known)| known.channel.close());
        if let Some((view, _)) = &state.now {
            view.finish();
        }
        self.changed.notify_all();
    }

    /// Keeps a connection, until there is none to be had.
    pub(super) fn keep(&self, dial: &impl Dial) {
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
        {
            let mut state = self.state();
            (state.begins, state.unanswered) = (Some(Arc::clone(&close)), 0);
        }
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
        (state.now, state.begins) = (None, None);
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
        (state.begins, state.welcome, state.unanswered) = (None, Some(welcome), 0);
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
    pub(super) fn beat(&self) {
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
            if let Some((view, _)) = &state.now {
                view.tell(Frame::new(Kind::Beat, 0, 0, hello.clone()));
            }
            let close = state.now.as_ref().map(|(_, close)| close).or(state.begins.as_ref());
            if state.unanswered >= MOST_UNANSWERED {
                close.inspect(|close| close());
            }
            state.unanswered += 1;
        }
    }
}

impl Known {
    /// Asks on another connection what of a call the other side has.
    pub(super) fn ask(&self, view: &View) {
        let (_, taken) = self.channel.places();
        view.tell(Frame::about(Kind::Resume, self.channel.id, taken));
    }
}
