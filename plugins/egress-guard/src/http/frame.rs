//! Frames of WebSockets, <https://www.rfc-editor.org/rfc/rfc6455#section-5.2>, read with no leniency: extensions were not agreed on.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// The longest frame that is taken: one waits here until it is whole.
pub const MOST_FRAME: usize = 16 * 1024 * 1024;

/// The longest payload of a control frame, section 5.5.
const MOST_CONTROL: usize = 125;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// Whose frames are read: a client masks its own, a server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Not one of these frames.
    #[error("a frame of the WebSocket is malformed")]
    Malformed,
    /// More than is taken.
    #[error("a frame of the WebSocket is larger than allowed")]
    TooLarge,
}

/// One frame, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    payload: usize,
    key: Option<[u8; 4]>,
}

impl Frame {
    /// Returns `true` if the frame is not part of a message: a ping, a pong, or the end.
    pub fn is_control(&self) -> bool {
        self.bytes[0] & CLOSE != 0
    }

    /// Returns the frame, byte for byte.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns what it carries, without the mask of a client.
    pub fn payload(&self) -> Cow<'_, [u8]> {
        let payload = &self.bytes[self.payload..];
        match self.key {
            None => Cow::Borrowed(payload),
            Some(key) => payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
        }
    }

    /// Returns the frame of a server with another payload of the same length.
    #[must_use]
    pub fn with_payload(&self, payload: &[u8]) -> Bytes {
        [&self.bytes[..self.payload], payload].concat().into()
    }
}

/// Reads the frames of one side.
#[derive(Debug)]
pub struct FrameReader {
    side: Side,
    /// Whether a message has begun and not ended.
    is_within: bool,
}

impl FrameReader {
    /// Returns a reader of a side's frames.
    pub fn new(side: Side) -> Self {
        Self { side, is_within: false }
    }

    /// Takes the next frame off the front; nothing when it has not come whole.
    ///
    /// # Errors
    /// Fails when what is there is not a frame that may come here, or a larger one than is taken.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((first, second)) = buffer.first().copied().zip(buffer.get(1).copied()) else {
            return Ok(None);
        };
        let (is_final, code) = (first & FINAL != 0, first & 0x0f);
        let is_control = (CLOSE..=PONG).contains(&code);
        let is_masked = second & MASKED != 0;
        let fits = match code {
            CONTINUATION => self.is_within,
            1..=BINARY => !self.is_within,
            _ => is_control && is_final,
        };
        if first & RESERVED != 0 || !fits || is_masked != (self.side == Side::Client) {
            return Err(FrameError::Malformed);
        }
        let Some((length, at)) = length(buffer)? else { return Ok(None) };
        if is_control && length > MOST_CONTROL {
            return Err(FrameError::Malformed);
        }
        let key = if is_masked { buffer.get(at..at + 4).and_then(|key| key.try_into().ok()) } else { None };
        let payload = if is_masked { at + 4 } else { at };
        if buffer.len() < payload + length {
            return Ok(None);
        }
        if !is_control {
            self.is_within = !is_final;
        }
        Ok(Some(Frame { bytes: buffer.split_to(payload + length).freeze(), payload, key }))
    }
}

/// Returns the length of the payload, and where what follows it begins.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let (length, at) = match bytes.get(1).map(|byte| byte & !MASKED) {
        None => return Ok(None),
        Some(126) => match bytes.get(2..4).and_then(|digits| <[u8; 2]>::try_from(digits).ok()) {
            None => return Ok(None),
            Some(digits) => (u64::from(u16::from_be_bytes(digits)), 4),
        },
        Some(127) => match bytes.get(2..10).and_then(|digits| <[u8; 8]>::try_from(digits).ok()) {
            None => return Ok(None),
            Some(digits) => (u64::from_be_bytes(digits), 10),
        },
        Some(short) => (u64::from(short), 2),
    };
    match usize::try_from(length) {
        Ok(length) if length <= MOST_FRAME => Ok(Some((length, at))),
        _ => Err(FrameError::TooLarge),
    }
}

/// Returns the frame by which a server ends, with a code of section 7.4.1 and a reason.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(MOST_CONTROL - 2)];
    let length = u8::try_from(reason.len() + 2).unwrap_or(2);
    [&[FINAL | CLOSE, length], &code.to_be_bytes()[..], reason].concat()
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
