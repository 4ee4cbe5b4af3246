//! The way of files into a bottle: their archive is written while it is sent.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_kit::contents::Files;
use claude_bottle_kit::tree::TreeError;
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Result};
use sha2::{Digest, Sha256};

use crate::door::Door;

/// How much is collected before it goes to the pipe.
const BUFFER: usize = 128 * 1024;

/// Sends everything in one pass; tells of the bytes sent now and then. What arrived is what was sent, or it fails.
pub(crate) fn send(files: &Files, call: &Call, door: &Door, progress: impl FnMut(u64)) -> Result<()> {
    let (reader, writer) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let mut counted = Counted { call, from: reader, progress, bytes: 0, hash: Sha256::new() };
    let (written, put) = std::thread::scope(|scope| {
        let writing = scope.spawn(move || write(files, writer));
        let verb = Verb::Put { path: "/".to_owned() };
        let put = door.ask(Side::Bottle, &verb, Some(&mut counted));
        let (bytes, hash) = (counted.bytes, hex(&std::mem::take(&mut counted.hash).finalize()));
        // The writer ends when nothing reads any more.
        drop(counted);
        (writing.join(), put.map(|outcome| (outcome, bytes, hash)))
    });
    let written = written.map_err(|_| Failure::new(FailureKind::Internal, "cannot write the archive"))?;
    call.check()?;
    match (written, put) {
        // The bottle's refusal is the reason why there was no more writing, so it is the one to tell.
        (Err(TreeError::Write { .. }), Err(failure)) => Err(failure),
        (Err(error), _) => Err(Failure::from(error).context("cannot copy files into the bottle")),
        (Ok(()), Err(failure)) => Err(failure),
        (Ok(()), Ok((Outcome::Moved { bytes, sha256 }, sent, hash))) if (bytes, &sha256) == (sent, &hash) => {
            Ok(())
        }
        (Ok(()), Ok(_)) => Err(door.said("not all files have arrived")),
    }
}

fn write(files: &Files, writer: io::PipeWriter) -> Result<(), TreeError> {
    let mut sink = io::BufWriter::with_capacity(BUFFER, writer);
    files.write_to(&mut sink)?;
    sink.flush().map_err(|source| TreeError::Write { path: PathBuf::new(), source })
}

/// What is read, counted and hashed on its way.
struct Counted<'a, R, P> {
    call: &'a Call,
    from: R,
    progress: P,
    bytes: u64,
    hash: Sha256,
}

impl<R: Read, P: FnMut(u64)> Read for Counted<'_, R, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.call.cancelled() {
            return Err(io::Error::other("it was cancelled"));
        }
        let got = self.from.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.bytes += got as u64;
        (self.progress)(self.bytes);
        Ok(got)
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
