//! Bodies, looked at as they stream: in windows that overlap, and unpacked for the look when they are compressed.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use claude_bottle_egress_policy::{Code, HostOrIp};
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::{Findings, Inspector, Scratch};

/// New bytes from which a look is worth it; fewer wait for more.
const STEP: usize = 16 * 1024;

/// Packed bytes unpacked at once. Deflate makes at most about 1032 bytes of one (<https://zlib.net/zlib_tech.html>), so
/// this also bounds the memory.
const UNPACK_STEP: usize = 64;

/// Unpacked bytes for one packed byte, beyond which a body is a bomb. No text comes near.
const MAX_RATIO: u64 = 256;

/// Unpacked bytes that any body may have.
const RATIO_FLOOR: u64 = 1024 * 1024;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// As gzip.
    Gzip,
    /// As zlib, or as bare deflate, which some clients send by the same name.
    Deflate,
}

/// Why a body is refused for its packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackingError {
    /// A coding that cannot be unpacked here.
    #[error("the request body is packed in a way that cannot be looked into")]
    Unknown,
    /// It says it is packed, and is not.
    #[error("the packed request body is malformed")]
    Malformed,
    /// It grows without measure.
    #[error("the packed request body grows too much when unpacked")]
    Bomb,
}

impl PackingError {
    /// Returns the stable code.
    pub fn code(self) -> Code {
        Code::BodyEncoded
    }
}

/// Returns the packing that the Content-Encoding headers name.
pub fn packing<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Packing, PackingError> {
    let Some(value) = values.next() else { return Ok(Packing::Plain) };
    let name = value.trim_ascii().to_ascii_lowercase();
    match (name.as_slice(), values.next()) {
        (b"" | b"identity", None) => Ok(Packing::Plain),
        (b"gzip" | b"x-gzip", None) => Ok(Packing::Gzip),
        (b"deflate", None) => Ok(Packing::Deflate),
        _ => Err(PackingError::Unknown),
    }
}

/// Looks at one body.
///
/// It gives back what it has looked at, less the last bytes, which stay until it is clear how they go on, or until the
/// client pauses. So no byte of a secret that comes without a pause has left when the secret is recognised.
pub struct BodyScan<'a> {
    inspector: &'a Inspector,
    host: &'a HostOrIp,
    packed: Window,
    unpacker: Option<Unpacker>,
    unpacked: Window,
    scratch: Scratch,
    findings: Findings,
}

impl<'a> BodyScan<'a> {
    /// Returns a scan for a body to `host`.
    pub fn new(inspector: &'a Inspector, host: &'a HostOrIp, packing: Packing) -> Self {
        let unpacker = (packing != Packing::Plain).then(|| Unpacker::new(packing));
        Self {
            inspector,
            host,
            packed: Window::default(),
            unpacker,
            unpacked: Window::default(),
            scratch: Scratch::default(),
            findings: Findings::default(),
        }
    }

    /// Returns what has been found so far. When something in it blocks, nothing given back may be sent.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Takes the next bytes, and gives back those that may go.
    pub fn push(&mut self, data: &[u8]) -> Result<Bytes, PackingError> {
        if let Some(mut unpacker) = self.unpacker.take() {
            for step in data.chunks(UNPACK_STEP) {
                let plain = unpacker.push(step)?;
                self.unpacked.bytes.extend_from_slice(&plain);
                // What is unpacked is looked at only, never sent.
                self.look_at_unpacked(false);
            }
            self.unpacker = Some(unpacker);
        }
        self.packed.bytes.extend_from_slice(data);
        Ok(self.look_at_packed(false))
    }

    /// Gives back what was held, at the end of the body.
    pub fn finish(&mut self) -> Result<Bytes, PackingError> {
        if let Some(unpacker) = self.unpacker.take() {
            let rest = unpacker.finish()?;
            self.unpacked.bytes.extend_from_slice(&rest);
            self.look_at_unpacked(true);
        }
        Ok(self.look_at_packed(true))
    }

    /// Gives back what is held because the next bytes might say more, when none come for a while: the client may wait for
    /// an answer to what it has sent. It stays in the window, so a secret that goes on later is recognised as a whole.
    ///
    /// What leaves of such a secret is what a request that ended here would have taken with it.
    pub fn pause(&mut self) -> Bytes {
        let (inspector, host, scratch) = (self.inspector, self.host, &mut self.scratch);
        let mut look = |bytes: &[u8]| merge(&mut self.findings, inspector.body_piece(bytes, host, scratch));
        self.unpacked.look(&mut look);
        self.packed.look(&mut look);
        self.packed.give(inspector.overlap())
    }

    /// Tells whether there is something that [`pause`](Self::pause) would give back.
    pub fn holds_back(&self) -> bool {
        self.packed.given < self.packed.bytes.len()
    }

    fn look_at_packed(&mut self, end: bool) -> Bytes {
        let (inspector, host) = (self.inspector, self.host);
        self.packed.advance(end, inspector.overlap(), |bytes| {
            merge(&mut self.findings, inspector.body_piece(bytes, host, &mut self.scratch))
        })
    }

    fn look_at_unpacked(&mut self, end: bool) {
        let (inspector, host) = (self.inspector, self.host);
        let look =
            |bytes: &[u8]| merge(&mut self.findings, inspector.body_piece(bytes, host, &mut self.scratch));
        drop(self.unpacked.advance(end, inspector.overlap(), look));
    }
}

fn merge(findings: &mut Findings, new: Findings) {
    findings.block = findings.block.take().or(new.block);
    findings.warn = findings.warn.take().or(new.warn);
}

/// Bytes of which the first have been looked at, and the very first have been given back.
#[derive(Default)]
struct Window {
    bytes: BytesMut,
    seen: usize,
    given: usize,
}

impl Window {
    /// Looks when enough is new, or at the end; gives back what no later look needs.
    fn advance(&mut self, end: bool, overlap: usize, look: impl FnMut(&[u8])) -> Bytes {
        if self.bytes.len() - self.seen < STEP && !end {
            return Bytes::new();
        }
        self.look(look);
        self.take(if end { 0 } else { overlap })
    }

    /// Looks when something is new.
    fn look(&mut self, mut look: impl FnMut(&[u8])) {
        if self.seen < self.bytes.len() {
            look(&self.bytes);
            self.seen = self.bytes.len();
        }
    }

    /// Takes all but the last `keep` bytes, which have all been looked at, and gives back what it has not yet.
    fn take(&mut self, keep: usize) -> Bytes {
        let cut = self.bytes.len().saturating_sub(keep);
        let mut front = self.bytes.split_to(cut).freeze();
        let again = self.given.min(cut);
        bytes::Buf::advance(&mut front, again);
        (self.seen, self.given) = (self.seen - cut, self.given - again);
        front
    }

    /// Gives back everything, and keeps the last `keep` bytes for the next look all the same.
    fn give(&mut self, keep: usize) -> Bytes {
        let rest = Bytes::copy_from_slice(&self.bytes[self.given..]);
        self.given = self.bytes.len();
        drop(self.take(keep));
        rest
    }
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Bare(DeflateDecoder<Vec<u8>>),
}

struct Unpacker {
    packing: Packing,
    /// Chosen when the first byte is there.
    decoder: Option<Decoder>,
    packed: u64,
    unpacked: u64,
}

impl Unpacker {
    fn new(packing: Packing) -> Self {
        Self { packing, decoder: None, packed: 0, unpacked: 0 }
    }

    fn push(&mut self, data: &[u8]) -> Result<Vec<u8>, PackingError> {
        let Some(first) = data.first() else { return Ok(Vec::new()) };
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(self.packing, *first));
        let plain = decoder.write(data).map_err(|_| PackingError::Malformed)?;
        self.packed += data.len() as u64;
        self.unpacked += plain.len() as u64;
        let limit = self.packed.saturating_mul(MAX_RATIO).max(RATIO_FLOOR);
        if self.unpacked > limit { Err(PackingError::Bomb) } else { Ok(plain) }
    }

    /// A body that stops short of its own end is malformed.
    fn finish(self) -> Result<Vec<u8>, PackingError> {
        match self.decoder {
            None => Ok(Vec::new()),
            Some(decoder) => decoder.finish().map_err(|_| PackingError::Malformed),
        }
    }
}

impl Decoder {
    /// A zlib header's low four bits say "deflate", which is 8: <https://www.rfc-editor.org/rfc/rfc1950#section-2.2>. As the
    /// beginning of bare deflate they would be a stored block with a bit set that has to be clear in practice.
    fn new(packing: Packing, first: u8) -> Self {
        match packing {
            Packing::Gzip => Self::Gzip(MultiGzDecoder::new(Vec::new())),
            _ if first & 0x0f == 8 => Self::Zlib(ZlibDecoder::new(Vec::new())),
            _ => Self::Bare(DeflateDecoder::new(Vec::new())),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        let out = match self {
            Self::Gzip(decoder) => {
                decoder.write_all(data).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
            Self::Zlib(decoder) => {
                decoder.write_all(data).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
            Self::Bare(decoder) => {
                decoder.write_all(data).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
        };
        out.map(std::mem::take)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zlib(decoder) => decoder.finish(),
            Self::Bare(decoder) => decoder.finish(),
        }
    }
}
