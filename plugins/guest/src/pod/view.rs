//! A connection, as what sends on it sees it: frames about channels first, then those of the channels, one of each in turn.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::channel::Channel;
use super::frame::{self, Frame, Kind};

/// The most frames about channels that wait: the other side reads nothing and goes on asking.
const MOST_CONTROL: usize = 4096;

/// What waits to be sent on one connection.
#[derive(Default)]
pub(super) struct View {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Default)]
struct Queue {
    control: VecDeque<Frame>,
    ready: VecDeque<Arc<Channel>>,
    is_over: bool,
    /// Whether it is over once nothing waits.
    is_finishing: bool,
}

impl View {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame that is about a channel or the connection. Of several acknowledgements of a channel the last counts.
    pub(super) fn tell(&self, frame: Frame) {
        let mut queue = self.queue();
        let known = queue.control.iter_mut().find(|waiting| {
            frame.kind == Kind::Ack && waiting.kind == Kind::Ack && waiting.channel == frame.channel
        });
        match known {
            Some(known) => *known = frame,
            None => queue.control.push_back(frame),
        }
        queue.is_over |= queue.control.len() > MOST_CONTROL;
        self.filled.notify_one();
    }

    /// Notes that a channel has something to send.
    pub(super) fn ready(&self, channel: &Arc<Channel>) {
        let mut queue = self.queue();
        if !queue.ready.iter().any(|waiting| Arc::ptr_eq(waiting, channel)) {
            queue.ready.push_back(Arc::clone(channel));
            self.filled.notify_one();
        }
    }

    /// Ends the sending.
    pub(super) fn end(&self) {
        self.queue().is_over = true;
        self.filled.notify_one();
    }

    /// Ends the sending once all is sent.
    pub(super) fn finish(&self) {
        self.queue().is_finishing = true;
        self.filled.notify_one();
    }

    /// Sends until the end.
    ///
    /// # Errors
    /// Fails when the other side is gone.
    pub(super) fn send_all(self: &Arc<Self>, stream: &mut impl Write) -> io::Result<()> {
        while let Some(frame) = self.next() {
            frame::write(stream, &frame)?;
        }
        Ok(())
    }

    /// Waits for the next frame to send; `None` at the end.
    fn next(self: &Arc<Self>) -> Option<Frame> {
        let mut queue = self.queue();
        loop {
            if queue.is_over {
                return None;
            }
            if let Some(frame) = queue.control.pop_front() {
                return Some(frame);
            }
            let Some(channel) = queue.ready.pop_front() else {
                if queue.is_finishing {
                    return None;
                }
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // A channel is locked before its view, never behind it.
            drop(queue);
            if let Some((frame, has_more)) = channel.unsent(self) {
                if has_more {
                    self.ready(&channel);
                }
                return Some(frame);
            }
            queue = self.queue();
        }
    }
}
