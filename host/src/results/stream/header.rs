//! Headers of a tar archive, one block each, and the extension headers that come before them.

use tar::Header;

use super::{BLOCK, StreamError};

/// Where a header says its kind.
const KIND: usize = 156;

/// What the extension headers before an entry say of it.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
}

/// What a header says.
pub(super) struct Fields {
    pub(super) kind: u8,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) path: Vec<u8>,
    pub(super) target: Vec<u8>,
}

/// Reads a header; `None` for a block of zeros.
pub(super) fn read(block: &[u8; BLOCK], entry: u64) -> Result<Option<Fields>, StreamError> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let refused = |reason| StreamError::Header { entry, reason };
    let header = Header::from_byte_slice(block);
    if header.cksum().ok() != Some(checksum(block)) {
        return Err(refused("its checksum is wrong"));
    }
    let size = header.entry_size().map_err(|_| refused("its size is not a number"))?;
    let mode = header.mode().map_err(|_| refused("its mode is not a number"))?;
    Ok(Some(Fields {
        // The crate takes a NUL for a file, as archives of old have it.
        kind: block[KIND],
        size,
        mode,
        path: header.path_bytes().into_owned(),
        target: header.link_name_bytes().unwrap_or_default().into_owned(),
    }))
}

/// Adds a header's bytes, its own checksum taken for spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let of = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(of).sum()
}

impl Extended {
    /// Reads a long name of GNU's form: the bytes up to a NUL.
    pub(super) fn long_name(bytes: &[u8]) -> Vec<u8> {
        bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_owned()
    }

    /// Reads the records of a PAX header. One that is for all entries may not name or size them.
    pub(super) fn pax(&mut self, bytes: &[u8], is_global: bool, entry: u64) -> Result<(), StreamError> {
        let refused = |reason| StreamError::Header { entry, reason };
        let mut rest = bytes;
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or(refused("its PAX header is malformed"))?;
            rest = after;
            match key {
                _ if key.starts_with(b"GNU.sparse.") => return Err(refused("it is sparse")),
                b"path" | b"linkpath" | b"size" if is_global => {
                    return Err(refused("a PAX header for all entries names or sizes them"));
                }
                b"path" => self.path = Some(value.to_owned()),
                b"linkpath" => self.target = Some(value.to_owned()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or(refused("its PAX size is not a number"))?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Splits off a record: its length with everything, a space, `key=value`, a line end.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}
