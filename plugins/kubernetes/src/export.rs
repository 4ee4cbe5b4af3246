//! export: archives of process 1, passed on entry by entry.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bottle_guest::pod::client::{Call as Channel, Said};
use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_kit::export::{Part, pass, wanted};
use claude_bottle_plugin_api::{Bottle, Call, ExportRequest, Exported, Result};
use sha2::{Digest, Sha256};

use crate::backend::Kubernetes;
use crate::door::Door;
use crate::plan::Record;
use crate::send::hex;

/// Writes what is asked for to the request's stream.
pub(crate) fn export(
    backend: &Kubernetes,
    call: &Call,
    bottle: &Bottle,
    request: &ExportRequest,
) -> Result<Exported> {
    let record = Record::of(bottle)?;
    let wanted = wanted(request, Path::new(&record.workspace), Path::new(&record.home))?;
    let door = backend.door(&record)?;
    let parts = wanted.into_iter().filter_map(|(path, place)| part(&door, &path, place).transpose());
    let mut exported = pass(call, request, parts)?;
    exported.start = Some(record.directory);
    Ok(exported)
}

/// Begins the archive of a path; `None` when it is not there.
fn part(door: &Door, path: &Path, place: PathBuf) -> Result<Option<Part<Archive>>> {
    let verb = Verb::Get { path: path.to_string_lossy().into_owned() };
    let channel = door.call(Side::Bottle, &verb)?;
    let mut content =
        Archive { channel, piece: Vec::new(), read: 0, bytes: 0, hash: Sha256::new(), is_over: false };
    // The first piece says whether there is anything.
    match content.fill() {
        Ok(_) => Ok(Some(Part { content, place })),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !place.as_os_str().is_empty() => Ok(None),
        Err(error) => Err(door.failure(&error)),
    }
}

/// An archive as it comes. Its end is an error unless all of it has come.
struct Archive {
    channel: Channel,
    piece: Vec<u8>,
    read: usize,
    bytes: u64,
    hash: Sha256,
    is_over: bool,
}

impl Archive {
    /// Waits for more; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while !self.is_over && self.read == self.piece.len() {
            match self.channel.next()? {
                Said::Out(bytes) => {
                    self.hash.update(&bytes);
                    self.bytes += bytes.len() as u64;
                    (self.piece, self.read) = (bytes, 0);
                }
                Said::Result(Outcome::Moved { bytes, sha256 }) => {
                    let hash = hex(&std::mem::take(&mut self.hash).finalize());
                    if (bytes, sha256) != (self.bytes, hash) {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "not all of it has arrived",
                        ));
                    }
                    self.is_over = true;
                }
                Said::Result(Outcome::Missing) => return Err(io::ErrorKind::NotFound.into()),
                Said::Result(Outcome::Failed { message }) => return Err(io::Error::other(message)),
                _ => {}
            }
        }
        Ok(self.read < self.piece.len())
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.fill()? {
            return Ok(0);
        }
        let length = buffer.len().min(self.piece.len() - self.read);
        buffer[..length].copy_from_slice(&self.piece[self.read..self.read + length]);
        self.read += length;
        Ok(length)
    }
}
