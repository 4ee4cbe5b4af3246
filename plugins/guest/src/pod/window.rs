//! A channel's two sequences: what was sent and is not taken yet, and what was received.
//!
//! The sender keeps a frame until the other side has taken it, and sends it again on the next connection when that side does not
//! have it. Neither does any input or output.

use std::collections::VecDeque;
use std::io;

use super::frame::{Frame, Kind, MOST_PAYLOAD};

/// How much may be sent and not yet taken.
pub const WINDOW: usize = 1 << 20;

/// What a frame counts for besides its payload.
const WEIGHT: usize = 64;

/// The most that can wait here: a window, the frame that went over it, and some that are sent whatever the window.
const MOST_WAITING: usize = WINDOW + MOST_PAYLOAD + 512 * WEIGHT;

/// What goes out on a channel.
pub struct Outbox {
    channel: u64,
    kept: VecDeque<Frame>,
    bytes: usize,
    /// The place of the next frame.
    next: u64,
    /// All up to this place was sent on the present connection.
    sent: u64,
}

impl Outbox {
    /// Makes an empty one.
    pub fn new(channel: u64) -> Self {
        Self { channel, kept: VecDeque::new(), bytes: 0, next: 1, sent: 0 }
    }

    /// Goes on behind a place of a sequence that another has begun: what is here already follows it.
    pub fn move_behind(&mut self, place: u64) {
        self.next = place.saturating_add(1);
        for frame in &mut self.kept {
            frame.seq = self.next;
            self.next = self.next.saturating_add(1);
        }
        self.sent = place;
    }

    /// Returns `true` if more may be added.
    pub fn has_room(&self) -> bool {
        self.bytes < WINDOW
    }

    /// Returns `true` if all was taken.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a frame.
    pub fn push(&mut self, kind: Kind, payload: Vec<u8>) {
        self.bytes += payload.len() + WEIGHT;
        self.kept.push_back(Frame::new(kind, self.channel, self.next, payload));
        self.next += 1;
    }

    /// Returns the next frame that the present connection has not seen.
    pub fn unsent(&mut self) -> Option<Frame> {
        let frame = self.kept.get(self.index(self.sent + 1))?.clone();
        self.sent = frame.seq;
        Some(frame)
    }

    /// Returns `true` if there is one.
    pub fn has_unsent(&self) -> bool {
        self.kept.get(self.index(self.sent + 1)).is_some()
    }

    /// Drops what was taken.
    ///
    /// # Errors
    /// Fails for a place that no frame has yet.
    pub fn acknowledge(&mut self, place: u64) -> io::Result<()> {
        self.check(place)?;
        while self.kept.front().is_some_and(|frame| frame.seq <= place) {
            self.bytes -= self.kept.pop_front().map_or(0, |frame| frame.payload.len() + WEIGHT);
        }
        self.sent = self.sent.max(place);
        Ok(())
    }

    /// Begins with what follows a place, on another connection. What was taken is not kept.
    ///
    /// # Errors
    /// Fails for a place that no frame has yet.
    pub fn rewind(&mut self, place: u64) -> io::Result<()> {
        self.check(place)?;
        self.sent = place.max(self.first() - 1);
        Ok(())
    }

    fn check(&self, place: u64) -> io::Result<()> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a place that no frame has");
        (place < self.next).then_some(()).ok_or_else(invalid)
    }

    fn first(&self) -> u64 {
        self.kept.front().map_or(self.next, |frame| frame.seq)
    }

    fn index(&self, place: u64) -> usize {
        place.checked_sub(self.first()).and_then(|index| usize::try_from(index).ok()).unwrap_or(usize::MAX)
    }
}

/// What comes in on a channel.
#[derive(Default)]
pub struct Inbox {
    waiting: VecDeque<Frame>,
    bytes: usize,
    received: u64,
    taken: u64,
    /// How many of those that wait were looked at for what is urgent.
    looked: usize,
    /// Whether it joins a sequence wherever that is.
    joins: bool,
}

impl Inbox {
    /// Makes one that begins with whatever comes first.
    pub fn joining() -> Self {
        Self { joins: true, ..Self::default() }
    }

    /// Takes a frame in, unless it is here already.
    ///
    /// # Errors
    /// Fails when one is missing before it, and when more comes than was agreed to.
    pub fn accept(&mut self, frame: Frame) -> io::Result<()> {
        if std::mem::take(&mut self.joins) {
            (self.received, self.taken) = (frame.seq - 1, frame.seq - 1);
        }
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if frame.seq <= self.received {
            return Ok(());
        }
        if frame.seq != self.received + 1 {
            return invalid("a frame is missing");
        }
        self.bytes += frame.payload.len() + WEIGHT;
        if self.bytes > MOST_WAITING {
            return invalid("more than was agreed to");
        }
        self.received = frame.seq;
        self.waiting.push_back(frame);
        Ok(())
    }

    /// Takes the next frame out. One that [`Self::urgent`] has returned is passed over; one that came since then is not.
    pub fn take(&mut self) -> Option<Frame> {
        loop {
            let frame = self.waiting.pop_front()?;
            let was_returned = self.looked > 0 && is_urgent(&frame);
            self.looked = self.looked.saturating_sub(1);
            self.bytes -= frame.payload.len() + WEIGHT;
            self.taken = frame.seq;
            if !was_returned {
                return Some(frame);
            }
        }
    }

    /// Returns what is not to wait behind input that nothing reads: signals and sizes, each once.
    pub fn urgent(&mut self) -> Vec<Frame> {
        let new = self.waiting.iter().skip(self.looked);
        let urgent = new.filter(|frame| is_urgent(frame)).cloned().collect();
        self.looked = self.waiting.len();
        urgent
    }

    /// Returns the place of the last frame that was received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Returns the place of the last frame that was taken.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns `true` if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn is_urgent(frame: &Frame) -> bool {
    matches!(frame.kind, Kind::Signal | Kind::Resize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(count: u8) -> Outbox {
        let mut out = Outbox::new(2);
        (0..count).for_each(|byte| out.push(Kind::Out, vec![byte]));
        out
    }

    fn places(out: &mut Outbox) -> Vec<u64> {
        std::iter::from_fn(|| out.unsent()).map(|frame| frame.seq).collect()
    }

    #[test]
    fn what_was_not_taken_is_sent_again_and_nothing_twice() {
        let mut out = out(5);
        assert_eq!(places(&mut out), [1, 2, 3, 4, 5]);
        out.acknowledge(2).unwrap();
        // The other side has received the third, and not taken it.
        out.rewind(3).unwrap();
        assert_eq!(places(&mut out), [4, 5]);
        out.rewind(0).unwrap();
        assert_eq!(places(&mut out), [3, 4, 5]);
        out.acknowledge(5).unwrap();
        assert!(out.is_empty() && !out.has_unsent());
        out.push(Kind::Out, vec![5]);
        assert_eq!(places(&mut out), [6]);
    }

    #[test]
    fn what_was_said_too_early_follows_what_another_has_said() {
        let mut out = out(2);
        assert_eq!(places(&mut out), [1, 2]);
        out.move_behind(40);
        assert_eq!(places(&mut out), [41, 42]);
        out.acknowledge(42).unwrap();
        out.push(Kind::Input, Vec::new());
        assert_eq!(places(&mut out), [43]);
    }

    #[test]
    fn a_place_that_no_frame_has_is_refused() {
        let mut out = out(2);
        assert!(out.acknowledge(3).is_err() && out.rewind(3).is_err());
        assert!(out.acknowledge(u64::MAX).is_err());
    }

    #[test]
    fn a_window_is_bounded_and_opens_again() {
        let mut out = Outbox::new(2);
        let mut count = 0;
        while out.has_room() {
            out.push(Kind::Out, vec![0; 64 * 1024]);
            count += 1;
        }
        assert_eq!(count, 16);
        out.acknowledge(1).unwrap();
        assert!(out.has_room());
    }

    #[test]
    fn each_frame_is_taken_once_and_in_its_order() {
        let mut inbox = Inbox::default();
        let frame = |seq| Frame::new(Kind::Input, 2, seq, vec![0]);
        inbox.accept(frame(1)).unwrap();
        inbox.accept(frame(1)).unwrap();
        inbox.accept(frame(2)).unwrap();
        assert!(inbox.accept(frame(4)).is_err());
        assert_eq!((inbox.received(), inbox.taken()), (2, 0));
        assert_eq!(inbox.take().unwrap().seq, 1);
        assert_eq!(inbox.take().unwrap().seq, 2);
        assert!(inbox.take().is_none());
        assert_eq!((inbox.received(), inbox.taken()), (2, 2));
    }

    #[test]
    fn a_sender_without_end_is_refused() {
        let mut inbox = Inbox::default();
        let accepted = (1..)
            .find(|seq| inbox.accept(Frame::new(Kind::Input, 2, *seq, vec![0; PIECE_FOR_TEST])).is_err());
        assert!(accepted.unwrap() < 70);
        let mut inbox = Inbox::default();
        assert!((1..100_000).any(|seq| inbox.accept(Frame::about(Kind::Signal, 2, seq)).is_err()));
    }

    const PIECE_FOR_TEST: usize = crate::pod::frame::PIECE;

    #[test]
    fn a_signal_does_not_wait_behind_input() {
        let mut inbox = Inbox::default();
        let kinds = [Kind::Input, Kind::Signal, Kind::Input, Kind::Resize];
        for (index, kind) in kinds.into_iter().enumerate() {
            inbox.accept(Frame::about(kind, 2, index as u64 + 1)).unwrap();
        }
        let kinds = |frames: Vec<Frame>| frames.iter().map(|frame| frame.kind).collect::<Vec<_>>();
        assert_eq!(kinds(inbox.urgent()), [Kind::Signal, Kind::Resize]);
        assert!(inbox.urgent().is_empty());
        inbox.take();
        inbox.accept(Frame::about(Kind::Signal, 2, 5)).unwrap();
        assert_eq!(kinds(inbox.urgent()), [Kind::Signal]);
    }

    #[test]
    fn a_signal_that_comes_after_the_look_at_what_is_urgent_is_taken_and_no_other_comes_twice() {
        let mut inbox = Inbox::default();
        let accept = |inbox: &mut Inbox, kind, seq| inbox.accept(Frame::about(kind, 2, seq)).unwrap();
        accept(&mut inbox, Kind::Signal, 1);
        assert_eq!(inbox.urgent().len(), 1);
        accept(&mut inbox, Kind::Resize, 2);
        accept(&mut inbox, Kind::Input, 3);
        assert_eq!(inbox.take().unwrap().kind, Kind::Resize);
        assert_eq!(inbox.take().unwrap().kind, Kind::Input);
        accept(&mut inbox, Kind::Signal, 4);
        assert_eq!(inbox.urgent().len(), 1);
        // That nothing is returned does not keep its place from being acknowledged.
        assert!(inbox.take().is_none());
        assert_eq!((inbox.taken(), inbox.is_empty()), (4, true));
    }

    #[test]
    fn one_that_joins_begins_where_the_sequence_is() {
        let mut inbox = Inbox::joining();
        inbox.accept(Frame::about(Kind::Out, 2, 40)).unwrap();
        assert!(inbox.accept(Frame::about(Kind::Out, 2, 42)).is_err());
        assert_eq!(inbox.take().unwrap().seq, 40);
    }
}
