//! The socket of an ssh-agent that runs on the host: where no user of a bottle could keep a key from its agent, connections to the socket
//! inside are carried there, and no key is in the bottle at all.
//!
//! Both sides say pieces on one stream, each with the number of its connection and its length. A piece of nothing is a connection's end.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustix::fs::Mode;
use rustix::process::umask;

use crate::GuestError;
use crate::error::StepExt;

/// The most connections at once.
const MOST: usize = 64;

/// The longest piece.
pub const MOST_BYTES: usize = 16 * 1024;

/// The number under which it is said that the socket is there.
pub const READY: u32 = 0;

const STACK: usize = 64 * 1024;

/// Writes a piece.
///
/// # Errors
/// Fails when the other side is gone.
pub fn write(stream: &mut impl Write, connection: u32, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let head = [connection.to_be_bytes(), length.to_be_bytes()].concat();
    stream.write_all(&[head.as_slice(), bytes].concat())?;
    stream.flush()
}

/// Reads a piece; `None` at the end of the stream.
///
/// # Errors
/// Fails when the other side is gone in the middle of one, and on one that is too long.
pub fn read(stream: &mut impl Read) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut head = [0; 8];
    match stream.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        done => done?,
    }
    let [a, b, c, d, e, f, g, h] = head;
    let length = u32::from_be_bytes([e, f, g, h]) as usize;
    if length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some((u32::from_be_bytes([a, b, c, d]), bytes)))
}

/// The connections of one side, by their numbers, and the way to the other.
pub struct Connections<W> {
    known: Mutex<HashMap<u32, UnixStream>>,
    other: Mutex<W>,
}

impl<W: Write + Send + 'static> Connections<W> {
    /// Begins with none.
    pub fn to(other: W) -> Self {
        Self { known: Mutex::default(), other: Mutex::new(other) }
    }

    /// Carries what a connection says to the other side, until either has ended.
    ///
    /// # Errors
    /// Fails when there are too many, and when it cannot be used.
    pub fn add(self: &Arc<Self>, number: u32, stream: UnixStream) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            return Err(io::Error::other("there are too many connections"));
        }
        let mut reader = stream.try_clone()?;
        known.insert(number, stream);
        drop(known);
        let all = Arc::clone(self);
        Builder::new().stack_size(STACK).spawn(move || {
            let mut buffer = vec![0; MOST_BYTES];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if all.say(number, &buffer[..length]).is_err() {
                    break;
                }
            }
            all.remove(number);
            all.say(number, &[]).ok();
        })?;
        Ok(())
    }

    /// Says a piece to the other side.
    ///
    /// # Errors
    /// Fails when that is gone.
    pub fn say(&self, number: u32, bytes: &[u8]) -> io::Result<()> {
        write(&mut *self.other.lock().unwrap_or_else(PoisonError::into_inner), number, bytes)
    }

    /// Takes in a piece of the other side's. One of a connection that is not known is `false`.
    pub fn take(&self, number: u32, bytes: &[u8]) -> bool {
        let stream = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&number).and_then(|stream| stream.try_clone().ok())
        };
        let Some(mut stream) = stream else { return false };
        if bytes.is_empty() || stream.write_all(bytes).is_err() {
            self.remove(number);
        }
        true
    }

    fn remove(&self, number: u32) {
        let removed = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(stream) = removed {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Listens at a path, and carries connections over standard input and output for as long as there is a host.
///
/// # Errors
/// Fails when it cannot listen there.
pub fn run(socket: &OsStr) -> Result<u8, GuestError> {
    umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket).step(|| format!("listen at `{}`", socket.to_string_lossy()))?;
    let output = io::stdout().as_fd().try_clone_to_owned().step(|| "use the host's streams")?;
    let all = Arc::new(Connections::to(std::fs::File::from(output)));
    all.say(READY, &[]).step(|| "tell the host")?;
    let of_thread = Arc::clone(&all);
    let accept = move || {
        for (number, stream) in (READY + 1..).zip(listener.incoming()) {
            // One that cannot be carried is closed, which its client sees.
            if let Ok(stream) = stream {
                of_thread.add(number, stream).ok();
            }
        }
    };
    Builder::new().stack_size(STACK).spawn(accept).step(|| "start a thread")?;
    let mut input = io::stdin().lock();
    while let Some((number, bytes)) = read(&mut input).step(|| "hear the host")? {
        all.take(number, &bytes);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_they_were_written_and_no_longer_ones() {
        let mut stream = Vec::new();
        write(&mut stream, 7, b"request").unwrap();
        write(&mut stream, u32::MAX, b"").unwrap();
        let mut reader = stream.as_slice();
        assert_eq!(read(&mut reader).unwrap(), Some((7, b"request".to_vec())));
        assert_eq!(read(&mut reader).unwrap(), Some((u32::MAX, Vec::new())));
        assert_eq!(read(&mut reader).unwrap(), None);
        assert!(read(&mut &stream[..10]).is_err());
        let long = [1_u32.to_be_bytes(), 0x00ff_ffff_u32.to_be_bytes()].concat();
        assert_eq!(read(&mut long.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_connection_is_carried_both_ways_and_ends_on_both_sides() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (client, carried) = UnixStream::pair().unwrap();
        let all = Arc::new(Connections::to(ours));
        all.add(3, carried).unwrap();
        let (mut client, mut theirs) = (client, theirs);
        client.write_all(b"ask").unwrap();
        assert_eq!(read(&mut theirs).unwrap(), Some((3, b"ask".to_vec())));
        assert!(all.take(3, b"answer") && !all.take(4, b"answer"));
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
        all.take(3, b"");
        assert_eq!(client.read(&mut answer).unwrap(), 0);
        assert_eq!(read(&mut theirs).unwrap(), Some((3, Vec::new())));
    }
}
