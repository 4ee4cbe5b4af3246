//! How bodies are packed, and unpacking them for a look.

use std::io::{self, Write};

use claude_bottle_egress_policy::Code;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Packed bytes unpacked at once. Deflate makes at most about 1032 bytes of one (<https://zlib.net/zlib_tech.html>), so
/// this also bounds the memory.
pub(super) const UNPACK_STEP: usize = 64;

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

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Bare(DeflateDecoder<Vec<u8>>),
}

/// Unpacks one body, step by step.
pub(super) struct Unpacker {
    packing: Packing,
    /// Whether the request says that its body is packed; the body alone may only look so.
    is_declared: bool,
    /// Chosen when the first byte is there.
    decoder: Option<Decoder>,
    packed: u64,
    unpacked: u64,
}

impl Unpacker {
    pub(super) fn new(packing: Packing) -> Self {
        Self { packing, is_declared: true, decoder: None, packed: 0, unpacked: 0 }
    }

    /// Returns an unpacker for a body that begins like gzip (<https://www.rfc-editor.org/rfc/rfc1952#section-2.3>) or like
    /// zlib, whose first two bytes are a multiple of 31 (<https://www.rfc-editor.org/rfc/rfc1950#section-2.2>).
    pub(super) fn by_beginning(bytes: &[u8]) -> Option<Self> {
        let packing = match bytes {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x78, second, ..] if (0x7800 + u32::from(*second)).is_multiple_of(31) => Packing::Deflate,
            _ => return None,
        };
        Some(Self { is_declared: false, ..Self::new(packing) })
    }

    /// Unpacks the next bytes; nothing when they are not packed and need not be.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, PackingError> {
        let Some(first) = data.first() else { return Ok(Some(Vec::new())) };
        let decoder = self.decoder.get_or_insert_with(|| Decoder::new(self.packing, *first));
        let Ok(plain) = decoder.write(data) else {
            return if self.is_declared { Err(PackingError::Malformed) } else { Ok(None) };
        };
        self.packed += data.len() as u64;
        self.unpacked += plain.len() as u64;
        let limit = self.packed.saturating_mul(MAX_RATIO).max(RATIO_FLOOR);
        if self.unpacked > limit { Err(PackingError::Bomb) } else { Ok(Some(plain)) }
    }

    /// A body that stops short of its own end is malformed.
    pub(super) fn finish(self) -> Result<Vec<u8>, PackingError> {
        match self.decoder.map(Decoder::finish) {
            None => Ok(Vec::new()),
            Some(Ok(rest)) => Ok(rest),
            Some(Err(_)) if !self.is_declared => Ok(Vec::new()),
            Some(Err(_)) => Err(PackingError::Malformed),
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
