//! What a backend and a bottle's process 1 say to each other, and the frames it travels in.
//!
//! A frame is a length of four bytes, most significant first, and that many bytes of JSON; descriptors travel
//! with the length. One connection serves one request: `Setup`, or `Exec` followed by signals. A container's process 1 reads
//! one `Setup` from its standard input; what engines say to it afterwards is in [`crate::container`].

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// The largest frame: an environment and an argument list of generous size.
const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The most descriptors a frame carries.
const MAX_FDS: usize = 3;

/// From the backend to the bottle.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Hand out the setting by which low ports are opened, before anything else. The answer carries its descriptor.
    LowPorts,
    /// What a bottle's life begins with.
    Setup(Setup),
    /// Start a program. Without a terminal its three streams travel along.
    Exec(Exec),
    /// Send a signal to the program's process group.
    Signal(i32),
}

/// What process 1 must know before it starts anything.
#[derive(Serialize, Deserialize)]
pub struct Setup {
    /// The environment of every program: names, and values as bytes. It may hold secrets, and stays in memory.
    pub env: Vec<(String, Vec<u8>)>,
    /// The way to the guard, when that listens on a socket.
    #[serde(default)]
    pub relay: Option<Relay>,
    /// Files of the agent's that a container's process 1 writes.
    #[serde(default)]
    pub files: Vec<SetupFile>,
    /// Limits of every program.
    #[serde(default)]
    pub limits: Limits,
    /// Where a container's process 1 is handed a door, when its bottle has one.
    #[serde(default)]
    pub door: Option<PathBuf>,
    /// Variables of programs that nothing else says: in a container those of process 1, and so of its image.
    #[serde(default)]
    pub basis: Vec<(String, String)>,
}

/// A file of the agent's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupFile {
    /// Its path inside.
    pub path: String,
    /// What is in it. It may hold the end of an API key.
    pub content: String,
    /// Whether it takes the place of one that is there.
    pub replaces: bool,
}

/// Ports of the bottle's loopback that lead to the guard's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// The port on 127.0.0.1 that leads to the guard.
    pub port: u16,
    /// The guard's socket inside the bottle.
    pub guard: PathBuf,
    /// Other ports on 127.0.0.1, and the place `host:port` to which each leads through the guard.
    #[serde(default)]
    pub forward: Vec<(u16, String)>,
    /// Whether names are answered for as well, on port 53, and connections to them caught.
    #[serde(default)]
    pub names: bool,
    /// Whether process 1 connects to the guard's socket before it says that it is ready, and fails when it cannot.
    #[serde(default)]
    pub proves: bool,
}

impl Setup {
    /// Returns what a bottle is told that has these variables, and nothing else to know.
    pub fn new(env: Vec<(String, Vec<u8>)>) -> Self {
        Self { env, relay: None, files: Vec::new(), limits: Limits::default(), door: None, basis: Vec::new() }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        for (_, value) in &mut self.env {
            value.zeroize();
        }
        // The end of an API key may be in one.
        for file in &mut self.files {
            file.content.zeroize();
        }
    }
}

/// Resource limits that a process sets on itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads of the bottle.
    #[serde(default)]
    pub processes: Option<u64>,
    /// Bytes of private memory of one process.
    #[serde(default)]
    pub data_bytes: Option<u64>,
    /// Bytes of one file.
    #[serde(default)]
    pub file_bytes: Option<u64>,
    /// Open descriptors of one process.
    #[serde(default)]
    pub descriptors: Option<u64>,
}

/// A program to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// The argument list, program first.
    pub command: Vec<String>,
    /// Environment of this program alone.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The working directory; that of process 1 when it is empty.
    pub directory: String,
    /// Columns and rows of its terminal, when it gets one.
    #[serde(default)]
    pub terminal: Option<(u16, u16)>,
}

/// From the bottle to the backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The bottle is set up.
    Ready,
    /// The program runs. With a terminal, its controlling side travels along.
    Started,
    /// There is no such program in the bottle.
    Missing,
    /// The program ended with this code, 128 + n for signal n.
    Ended(i32),
    /// The program has stopped, and waits for SIGCONT.
    Stopped,
    /// The request failed.
    Failed(String),
}

/// Writes a frame.
///
/// # Errors
/// Fails when the other side is gone.
pub fn send(stream: &UnixStream, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let (length, body) = encode(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&mut &*stream).write_all(&length[sent..])?;
    (&mut &*stream).write_all(&body)
}

/// Reads a frame; `None` when the other side has closed.
///
/// # Errors
/// Fails when the frame is too large, cut short or not the type asked for.
pub fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0u8; 4];
    let Some((got, fds)) = receive_head(stream, &mut length)? else { return Ok(None) };
    (&mut &*stream).read_exact(&mut length[got..])?;
    Ok(Some((read_body(&mut &*stream, length)?, fds)))
}

/// Returns a frame without descriptors, for a stream that is not a socket.
///
/// # Errors
/// Fails when the message is too large.
pub fn frame(message: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let (length, body) = encode(message)?;
    let mut frame = Zeroizing::new(Vec::with_capacity(length.len() + body.len()));
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads a frame from a stream that is not a socket.
///
/// # Errors
/// Fails when the frame is too large, cut short or not the type asked for.
pub fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    read_body(stream, length)
}

fn encode(message: &impl Serialize) -> io::Result<([u8; 4], Zeroizing<Vec<u8>>)> {
    let body = Zeroizing::new(serde_json::to_vec(message)?);
    let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other("the message is too large"))?;
    Ok((length.to_be_bytes(), body))
}

fn read_body<T: DeserializeOwned>(stream: &mut impl Read, length: [u8; 4]) -> io::Result<T> {
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::other("the message is too large"));
    }
    let mut body = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

fn receive_head(stream: &UnixStream, buffer: &mut [u8]) -> io::Result<Option<(usize, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(buffer)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("descriptors were lost on the way"));
    }
    let fds = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok(Some((received.bytes, fds.flatten().collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_frame_carries_text_and_descriptors() {
        let (left, right) = UnixStream::pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(&left, &Reply::Ended(7), &[writer.as_fd()]).unwrap();
        drop(writer);
        let (reply, fds) = receive::<Reply>(&right).unwrap().unwrap();
        assert_eq!((reply, fds.len()), (Reply::Ended(7), 1));
        std::fs::File::from(fds.into_iter().next().unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        (&reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn a_frame_is_read_from_any_stream_and_not_when_it_is_cut_short() {
        let env = vec![("A".to_owned(), vec![0, 255])];
        let setup = Setup::new(env);
        let bytes = frame(&setup).unwrap();
        assert_eq!(read::<Setup>(&mut &bytes[..]).unwrap().env, setup.env);
        assert!(read::<Setup>(&mut &bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn the_end_is_not_an_error_and_a_giant_is() {
        let (left, right) = UnixStream::pair().unwrap();
        (&left).write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert!(receive::<Reply>(&right).is_err());
        drop(left);
        assert!(receive::<Reply>(&right).unwrap().is_none());
    }
}
