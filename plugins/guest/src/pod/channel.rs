//! A channel: a call of the host's, on either side of it.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use super::frame::{Frame, Kind};
use super::view::View;
use super::window::{Inbox, Outbox};

/// One call, which outlives the connections it is shown on.
pub struct Channel {
    /// Its number.
    pub id: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// Readable when there is something to look at.
    wake: OwnedFd,
}

struct State {
    outbox: Outbox,
    inbox: Inbox,
    /// The connection it is shown on.
    view: Option<Arc<View>>,
    /// When it was last shown.
    lost: Instant,
    is_closed: bool,
    /// Whether nothing more goes out.
    is_finished: bool,
    /// Whether the other side takes no more.
    is_deaf: bool,
}

impl Channel {
    /// Makes one.
    pub(super) fn new(id: u64, outbox: Outbox, inbox: Inbox) -> io::Result<Arc<Self>> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let lost = Instant::now();
        let state =
            State { outbox, inbox, view: None, lost, is_closed: false, is_finished: false, is_deaf: false };
        Ok(Arc::new(Self { id, state: Mutex::new(state), changed: Condvar::new(), wake }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.notify_all();
        // It is readable already when this fails.
        rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
    }

    /// Returns what is readable when something came, was taken, or has ended.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Makes it unreadable until the next time.
    pub fn clear_wake(&self) {
        rustix::io::read(&self.wake, &mut [0; 8]).ok();
    }

    /// Returns `true` if nothing comes or goes any more.
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Returns `true` if what is sent now does not wait.
    pub fn has_room(&self) -> bool {
        self.state().outbox.has_room()
    }

    /// Sends a frame once there is room for it.
    ///
    /// # Errors
    /// Fails when the channel is closed.
    pub fn send(self: &Arc<Self>, kind: Kind, payload: Vec<u8>) -> io::Result<()> {
        let state = self.state();
        let is_full = |state: &mut State| !state.is_closed && !state.is_deaf && !state.outbox.has_room();
        let state = self.changed.wait_while(state, is_full).unwrap_or_else(PoisonError::into_inner);
        self.push(state, kind, payload)
    }

    /// Sends a frame now, of those that are few and small.
    ///
    /// # Errors
    /// Fails when the channel is closed.
    pub fn send_now(self: &Arc<Self>, kind: Kind, payload: Vec<u8>) -> io::Result<()> {
        self.push(self.state(), kind, payload)
    }

    /// Sends the last frame.
    pub(super) fn finish(self: &Arc<Self>, kind: Kind, payload: Vec<u8>) {
        let mut state = self.state();
        state.is_finished = true;
        // One that is closed tells nobody.
        self.push(state, kind, payload).ok();
    }

    fn push(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        kind: Kind,
        payload: Vec<u8>,
    ) -> io::Result<()> {
        if state.is_closed || state.is_deaf {
            return Err(closed());
        }
        state.outbox.push(kind, payload);
        if let Some(view) = &state.view {
            view.ready(self);
        }
        Ok(())
    }

    /// Notes that the other side takes no more: it has said how it ended.
    pub(super) fn deafen(&self) {
        self.state().is_deaf = true;
        self.notify();
    }

    /// Returns `true` if the other side takes no more.
    pub fn is_deaf(&self) -> bool {
        self.state().is_deaf
    }

    /// Returns the next frame to send on a connection, and whether there are more.
    pub(super) fn unsent(&self, view: &Arc<View>) -> Option<(Frame, bool)> {
        let mut state = self.state();
        if !state.is_shown_on(view) {
            return None;
        }
        let frame = state.outbox.unsent()?;
        Some((frame, state.outbox.has_unsent()))
    }

    /// Takes the next frame that came, if there is one.
    pub fn take(&self) -> Option<Frame> {
        let mut state = self.state();
        self.take_locked(&mut state)
    }

    /// Waits for the next frame; `None` when the channel is closed.
    pub fn next(&self) -> Option<Frame> {
        let mut state = self.state();
        loop {
            if let Some(frame) = self.take_locked(&mut state) {
                return Some(frame);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_locked(&self, state: &mut State) -> Option<Frame> {
        let before = state.inbox.taken();
        let frame = state.inbox.take();
        let taken = state.inbox.taken();
        if let Some(view) = state.view.as_ref().filter(|_| taken != before) {
            view.tell(Frame::about(Kind::Ack, self.id, taken));
        }
        frame
    }

    /// Returns signals and sizes that came, whatever is before them.
    pub fn urgent(&self) -> Vec<Frame> {
        self.state().inbox.urgent()
    }

    /// Returns the input as something to read, to its end.
    pub fn input(&self) -> Input<'_> {
        Input { channel: self, piece: None, at: 0, is_over: false }
    }

    /// Takes in a frame that came on a connection.
    pub(super) fn accept(&self, view: &Arc<View>, frame: Frame) -> io::Result<()> {
        let mut state = self.state();
        // One that shows it no more is not listened to.
        if state.is_shown_on(view) {
            state.inbox.accept(frame)?;
            self.notify();
        }
        Ok(())
    }

    /// Notes what the other side has taken; `true` when it has all, and nothing follows.
    pub(super) fn acknowledge(&self, view: &Arc<View>, place: u64) -> io::Result<bool> {
        let mut state = self.state();
        if state.is_shown_on(view) {
            state.outbox.acknowledge(place)?;
            self.notify();
        }
        Ok(state.is_finished && state.outbox.is_empty())
    }

    /// Shows it on a connection, whose other side has taken what is before a place.
    pub(super) fn show(self: &Arc<Self>, view: &Arc<View>, place: u64) -> io::Result<()> {
        let mut state = self.state();
        state.outbox.rewind(place)?;
        state.view = Some(Arc::clone(view));
        view.ready(self);
        Ok(())
    }

    /// Returns the last places that were received and taken.
    pub(super) fn places(&self) -> (u64, u64) {
        let state = self.state();
        (state.inbox.received(), state.inbox.taken())
    }

    /// Notes that a connection is gone, if it is the one that shows this.
    pub(super) fn lose(&self, view: &Arc<View>) {
        let mut state = self.state();
        if state.is_shown_on(view) {
            (state.view, state.lost) = (None, Instant::now());
        }
    }

    /// Returns since when it is shown nowhere.
    pub(super) fn lost_since(&self) -> Option<Instant> {
        let state = self.state();
        state.view.is_none().then_some(state.lost)
    }

    /// Ends it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        (state.is_closed, state.view) = (true, None);
        self.notify();
    }

    /// Goes on sending behind a place that the other side has, of a channel that another process has begun.
    pub(super) fn continue_behind(&self, place: u64) {
        self.state().outbox.move_behind(place);
    }
}

impl State {
    fn is_shown_on(&self, view: &Arc<View>) -> bool {
        self.view.as_ref().is_some_and(|own| Arc::ptr_eq(own, view))
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the call is over")
}

/// The input of a channel. One that is closed before its end is an error.
pub struct Input<'c> {
    channel: &'c Channel,
    piece: Option<Frame>,
    at: usize,
    is_over: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_over || buffer.is_empty() {
                return Ok(0);
            }
            if let Some(piece) = &self.piece {
                let rest = &piece.payload[self.at..];
                let length = rest.len().min(buffer.len());
                if length > 0 {
                    buffer[..length].copy_from_slice(&rest[..length]);
                    self.at += length;
                    return Ok(length);
                }
            }
            let frame = self.channel.next().ok_or_else(closed)?;
            self.is_over = frame.kind == Kind::End;
            (self.piece, self.at) = ((frame.kind == Kind::Input).then_some(frame), 0);
        }
    }
}
