//! Frames: what travels between the host and both sides of a Pod.
//!
//! A frame is a head of 24 bytes, most significant byte first, and its payload:
//!
//! | bytes | what |
//! |---|---|
//! | 0–3 | length of the payload, [`MOST_PAYLOAD`] at most |
//! | 4 | its kind |
//! | 5–7 | zero |
//! | 8–15 | its channel |
//! | 16–23 | its place in the sequence of its channel and direction, from 1; 0 for kinds that have none |
//!
//! Invariant: a reader makes room for what a head promises only up to the most that is allowed, and takes nothing else for a frame.

use std::io::{self, Read, Write};
use std::sync::Arc;

use zeroize::Zeroizing;

/// The largest payload.
pub const MOST_PAYLOAD: usize = 1 << 20;

/// How much of a stream is put into one frame.
pub const PIECE: usize = 32 * 1024;

/// The length of a head.
pub const HEAD: usize = 24;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Begins a channel: what is asked for, as JSON ([`super::verbs::Verb`]).
    Open = 1,
    /// More of the input.
    Input = 2,
    /// The input has ended.
    End = 3,
    /// The terminal's size: columns and rows, two bytes each.
    Resize = 4,
    /// A signal: its number in four bytes.
    Signal = 5,
    /// More of the output.
    Out = 16,
    /// More of standard error.
    Err = 17,
    /// The program has stopped.
    Stopped = 18,
    /// How it has ended, as JSON ([`super::verbs::Outcome`]): the last frame of a channel.
    Result = 19,
    /// All frames up to this place are taken. The one kind that both sides send.
    Ack = 32,
    /// The host has taken all up to this place, and wants what follows on this connection.
    Resume = 33,
    /// The answer: all up to this place has been received.
    Resumed = 34,
    /// The answer where there is no such channel.
    Gone = 35,
    /// Whatever the channel does is to end and be forgotten.
    Close = 36,
    /// The first frame of a connection ([`super::verbs::Hello`]).
    Hello = 48,
    /// The answer to it ([`super::verbs::Welcome`]).
    Welcome = 49,
    /// The host is still there; and the answer to it.
    Beat = 50,
}

impl Kind {
    const ALL: [Self; 17] = [
        Self::Open,
        Self::Input,
        Self::End,
        Self::Resize,
        Self::Signal,
        Self::Out,
        Self::Err,
        Self::Stopped,
        Self::Result,
        Self::Ack,
        Self::Resume,
        Self::Resumed,
        Self::Gone,
        Self::Close,
        Self::Hello,
        Self::Welcome,
        Self::Beat,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Returns `true` if frames of this kind have a place in a sequence.
    pub fn is_sequenced(self) -> bool {
        (self as u8) < Self::Ack as u8
    }
}

/// One frame. Its payload is wiped with the last copy of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// The channel it belongs to; 0 is the connection itself.
    pub channel: u64,
    /// Its place in its channel's sequence.
    pub seq: u64,
    /// What it carries.
    pub payload: Arc<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for Frame {
    /// A payload may be a secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, channel, seq, payload } = self;
        write!(formatter, "{kind:?} {channel:x}/{seq} of {} bytes", payload.len())
    }
}

impl Frame {
    /// Makes a frame.
    pub fn new(kind: Kind, channel: u64, seq: u64, payload: Vec<u8>) -> Self {
        Self { kind, channel, seq, payload: Arc::new(Zeroizing::new(payload)) }
    }

    /// Makes a frame that is about a place in a channel's sequence, and carries nothing.
    pub fn about(kind: Kind, channel: u64, seq: u64) -> Self {
        Self::new(kind, channel, seq, Vec::new())
    }

    /// Returns it as it travels.
    pub fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD + self.payload.len()));
        // A payload that is too long is refused by its reader.
        bytes.extend(u32::try_from(self.payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend([self.kind as u8, 0, 0, 0]);
        bytes.extend(self.channel.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Writes a frame, whole.
///
/// # Errors
/// Fails when the other side is gone.
pub fn write(stream: &mut impl Write, frame: &Frame) -> io::Result<()> {
    stream.write_all(&frame.bytes())?;
    stream.flush()
}

/// Reads a frame; `None` when the other side has ended behind one.
///
/// # Errors
/// Fails when what comes is not a frame, or is cut off.
pub fn read(stream: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; HEAD];
    if !fill(stream, &mut head)? {
        return Ok(None);
    }
    let number = |range: std::ops::Range<usize>| {
        head[range].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let length = usize::try_from(number(0..4)).map_err(io::Error::other)?;
    let kind = Kind::of(head[4]).ok_or_else(|| invalid("a frame of an unknown kind"))?;
    if length > MOST_PAYLOAD {
        return Err(invalid("a frame that is too long"));
    }
    if head[5..8] != [0; 3] {
        return Err(invalid("a frame with something where nothing is to be"));
    }
    let (channel, seq) = (number(8..16), number(16..24));
    if kind.is_sequenced() && (seq == 0 || channel == 0) {
        return Err(invalid("a frame without its place"));
    }
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(Some(Frame::new(kind, channel, seq, payload)))
}

/// Fills a buffer; `false` when the stream ends before its first byte.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut got = 0;
    while got < buffer.len() {
        match stream.read(&mut buffer[got..]) {
            Ok(0) if got == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_as_it_was_sent_and_not_when_it_is_cut() {
        let sent = Frame::new(Kind::Input, 7, 3, b"words".to_vec());
        let bytes = sent.bytes();
        assert_eq!(bytes.len(), HEAD + 5);
        assert_eq!(read(&mut &bytes[..]).unwrap(), Some(sent));
        assert_eq!(read(&mut &bytes[..0]).unwrap(), None);
        for cut in 1..bytes.len() {
            assert!(read(&mut &bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        let good = Frame::new(Kind::Out, 2, 1, vec![1]).bytes().to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        // Too long, of no known kind, with something in its gap, of the connection itself, without its place.
        for (at, byte) in [(0, 1), (1, 17), (4, 0), (4, 6), (4, 255), (5, 1), (7, 1), (15, 0), (23, 0)] {
            assert!(read(&mut &with(at, byte)[..]).is_err(), "{at} {byte}");
        }
        assert!(read(&mut &with(16, 1)[..]).is_ok());
    }

    #[test]
    fn a_payload_is_in_no_text() {
        let frame = Frame::new(Kind::Input, 255, 1, b"hunter2".to_vec());
        assert_eq!(format!("{frame:?}"), "Input ff/1 of 7 bytes");
    }
}
