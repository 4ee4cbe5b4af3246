//! What a holder and its clients say to each other: frames of a kind, a length and as many bytes.

use std::io::{self, Read, Write};

/// The longest frame of a client that has said what it wants: keys come in small pieces.
const MOST_BYTES: usize = 128 * 1024;
/// The longest frame that begins a session: an environment may be as large as `execve` lets it be.
const MOST_SETUP: usize = 16 * 1024 * 1024;
const HEAD: usize = 5;

/// The kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the holder: what to run, as JSON.
    Setup,
    /// To the holder: show me the screen, whose size is this; JSON.
    Attach,
    /// To the holder: is a client attached?
    Ask,
    /// To the holder: keys.
    Input,
    /// To the holder: another size, as JSON.
    Resize,
    /// To the holder: the client was continued after [`Kind::Stopped`].
    Continue,
    /// To the client: what the terminal shows.
    Output,
    /// To the client: the agent runs, in this run; JSON.
    Running,
    /// To the client: the program has stopped itself.
    Stopped,
    /// To the client: another one has taken the session.
    Taken,
    /// To the client: the program has ended, with this code.
    Ended,
    /// To the client: whether one is attached, a byte.
    State,
    /// To the client: why nothing runs.
    Failed,
}

const KINDS: [(u8, Kind); 13] = [
    (b'{', Kind::Setup),
    (b'a', Kind::Attach),
    (b'?', Kind::Ask),
    (b'i', Kind::Input),
    (b's', Kind::Resize),
    (b'c', Kind::Continue),
    (b'o', Kind::Output),
    (b'r', Kind::Running),
    (b'z', Kind::Stopped),
    (b't', Kind::Taken),
    (b'e', Kind::Ended),
    (b'=', Kind::State),
    (b'f', Kind::Failed),
];

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Reads what it says as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(io::Error::other)
    }
}

/// Writes a frame as bytes.
pub fn frame(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let number = KINDS.iter().find(|(_, known)| *known == kind).map_or(0, |(number, _)| *number);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEAD + bytes.len());
    frame.push(number);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

/// Writes a frame whose bytes are JSON.
pub fn json_frame(kind: Kind, value: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    Ok(frame(kind, &serde_json::to_vec(value).map_err(io::Error::other)?))
}

/// Sends a frame over a stream that waits.
pub fn send(mut stream: impl Write, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame)
}

/// Waits for the next frame of a stream that waits; `None` at its end.
pub fn receive(mut stream: impl Read, inbox: &mut Inbox) -> io::Result<Option<Frame>> {
    let mut bytes = [0; 16 * 1024];
    loop {
        if let Some(frame) = inbox.take()? {
            return Ok(Some(frame));
        }
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => inbox.push(&bytes[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The bytes that came, of which a frame is taken when it is whole.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    most: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: Vec::new(), most: MOST_BYTES }
    }
}

impl Inbox {
    /// Makes one that also takes the frame that begins a session.
    pub fn for_setup() -> Self {
        Self { most: MOST_SETUP, ..Self::default() }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next frame, if it is whole.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [number, length @ ..] = *head;
        let known = KINDS.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind);
        let kind = known.ok_or_else(|| io::Error::other(format!("unknown frame {number:#x}")))?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.most {
            return Err(io::Error::other(format!("a frame of {length} bytes is too long")));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let bytes = rest[..length].to_vec();
        self.bytes.drain(..HEAD + length);
        Ok(Some(Frame { kind, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let all: Vec<u8> = [frame(Kind::Input, b"keys"), frame(Kind::Ask, b"")].concat();
        for cut in 0..=all.len() {
            let mut inbox = Inbox::default();
            let mut found = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                inbox.push(part);
                while let Some(frame) = inbox.take().unwrap() {
                    found.push((frame.kind, frame.bytes));
                }
            }
            assert_eq!(found, [(Kind::Input, b"keys".to_vec()), (Kind::Ask, Vec::new())]);
        }
    }

    #[test]
    fn a_frame_that_is_unknown_or_too_long_is_refused_before_it_is_kept() {
        for bytes in [&b"X\0\0\0\0"[..], b"i\xff\xff\xff\xff"] {
            let mut inbox = Inbox::default();
            inbox.push(bytes);
            inbox.take().unwrap_err();
        }
    }

    #[test]
    fn every_kind_has_a_number_of_its_own() {
        for (number, kind) in KINDS {
            assert_eq!(frame(kind, b"")[0], number);
        }
        let numbers: std::collections::BTreeSet<_> = KINDS.iter().map(|(number, _)| number).collect();
        assert_eq!(numbers.len(), KINDS.len());
    }
}
