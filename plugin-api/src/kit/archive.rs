//! Reads what a backend exports, strictly: every entry below one top directory, ended by two blocks of zeros.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bench::{Check, Stop, ensure};

const BLOCK: usize = 512;
/// The longest extension header, and how much is kept of a file's content.
const MOST: usize = 64 << 10;

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    File { mode: u32, size: u64, sha256: String, start: Vec<u8> },
    Directory { mode: u32 },
    Link { target: PathBuf },
}

/// What an archive holds, by path below its top directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    /// How many there are without the top directory.
    pub(super) n_entries: u64,
}

impl Archive {
    /// Returns the content of a file, as far as it is kept.
    pub(super) fn content(&self, path: &str) -> Option<&[u8]> {
        match self.entries.get(Path::new(path)) {
            Some(Entry::File { start, .. }) => Some(start),
            _ => None,
        }
    }
}

/// Reads an archive to its end.
pub(super) fn read(stream: &mut impl Read) -> Check<Archive> {
    let (mut archive, mut top, mut long) = (Archive::default(), None, Long::default());
    loop {
        let header = block(stream)?;
        if header == [0; BLOCK] {
            ensure!(block(stream)? == [0; BLOCK], "a block that is not zeros follows one of zeros");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest)?;
            ensure!(rest.iter().all(|byte| *byte == 0), "bytes follow the end of the archive");
            return Ok(archive);
        }
        let size = number(&header[124..136])?;
        match header[156] {
            b'L' => long.path = Some(text(extension(stream, size)?)),
            b'K' => long.target = Some(text(extension(stream, size)?)),
            b'x' => long.read_records(&extension(stream, size)?),
            b'g' => drop(extension(stream, size)?),
            kind => {
                let found = std::mem::take(&mut long);
                let size = found.size.unwrap_or(size);
                let path = path_of(&found.path.unwrap_or_else(|| name(&header)))?;
                let target = found.target.unwrap_or_else(|| text(header[157..257].to_vec()));
                let entry = entry(stream, &archive, (kind, number(&header[100..108])?), size, &target)?;
                add(&mut archive, &mut top, &path, entry)?;
            }
        }
    }
}

/// What extension headers say of the entry after them.
#[derive(Default)]
struct Long {
    path: Option<OsString>,
    target: Option<OsString>,
    size: Option<u64>,
}

impl Long {
    /// Reads the records of PAX: `LENGTH KEY=VALUE\n`.
    fn read_records(&mut self, mut bytes: &[u8]) {
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let length: usize = String::from_utf8_lossy(&bytes[..space]).parse().unwrap_or(0);
            let Some(record) = bytes.get(space + 1..length.saturating_sub(1)) else { return };
            bytes = &bytes[length..];
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else { return };
            let (key, value) = (&record[..equals], record[equals + 1..].to_vec());
            match key {
                b"path" => self.path = Some(OsString::from_vec(value)),
                b"linkpath" => self.target = Some(OsString::from_vec(value)),
                b"size" => self.size = String::from_utf8_lossy(&value).parse().ok(),
                _ => {}
            }
        }
    }
}

fn entry(
    stream: &mut impl Read,
    archive: &Archive,
    (kind, mode): (u8, u64),
    size: u64,
    target: &OsStr,
) -> Check<Entry> {
    let mode = u32::try_from(mode & 0o777).unwrap_or(0);
    match kind {
        b'0' | 0 => file(stream, mode, size),
        b'5' => Ok(Entry::Directory { mode }),
        b'2' => Ok(Entry::Link { target: target.into() }),
        b'1' => {
            let below = below_top(&path_of(target)?).unwrap_or_default();
            let file = archive.entries.get(&below).filter(|entry| matches!(entry, Entry::File { .. }));
            file.cloned().ok_or_else(|| Stop::Fail(format!("a hard link names no earlier file: {target:?}")))
        }
        other => Err(Stop::Fail(format!("an entry is of the kind `{}`", char::from(other)))),
    }
}

fn file(stream: &mut impl Read, mode: u32, size: u64) -> Check<Entry> {
    let (mut hasher, mut start, mut buffer) = (Sha256::new(), Vec::new(), vec![0; MOST]);
    let mut content = stream.take(size);
    let mut read = 0;
    loop {
        let n = content.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        read += n as u64;
        if start.len() < MOST {
            start.extend_from_slice(&buffer[..n]);
        }
    }
    ensure!(read == size, "the archive ends within a file");
    skip_padding(stream, size)?;
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Entry::File { mode, size, sha256, start })
}

/// Adds an entry, unless it is the top directory.
fn add(archive: &mut Archive, top: &mut Option<OsString>, path: &Path, entry: Entry) -> Check {
    let first = path.components().next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
    let top = top.get_or_insert_with(|| first.clone());
    ensure!(*top == first, "{path:?} is not below the top directory {top:?}");
    let Some(below) = below_top(path) else {
        ensure!(matches!(entry, Entry::Directory { .. }), "the top {path:?} is not a directory");
        return Ok(());
    };
    archive.n_entries += 1;
    ensure!(archive.entries.insert(below, entry).is_none(), "{path:?} is there twice");
    Ok(())
}

fn below_top(path: &Path) -> Option<PathBuf> {
    let below: PathBuf = path.components().skip(1).collect();
    (!below.as_os_str().is_empty()).then_some(below)
}

/// Takes a path if it leads nowhere else.
fn path_of(text: &OsStr) -> Check<PathBuf> {
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(is_plain && !path.as_os_str().is_empty(), "the path {text:?} is not below a top directory");
    Ok(path)
}

fn block(stream: &mut impl Read) -> Check<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    stream.read_exact(&mut block).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Stop::Fail("the archive ends before its two blocks of zeros".to_owned())
        }
        _ => error.into(),
    })?;
    Ok(block)
}

fn extension(stream: &mut impl Read, size: u64) -> Check<Vec<u8>> {
    ensure!(size <= MOST as u64, "an extension header has {size} bytes");
    let mut content = Vec::new();
    stream.take(size).read_to_end(&mut content)?;
    skip_padding(stream, size)?;
    Ok(content)
}

fn skip_padding(stream: &mut impl Read, size: u64) -> Check {
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    io::copy(&mut stream.take(padding), &mut io::sink())?;
    Ok(())
}

/// Reads a number in octal digits, or as GNU writes a large one.
fn number(field: &[u8]) -> Check<u64> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Ok(field.iter().skip(1).fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let digits = String::from_utf8_lossy(field);
    let digits = digits.trim_matches([' ', '\0']);
    u64::from_str_radix(if digits.is_empty() { "0" } else { digits }, 8)
        .map_err(|_| Stop::Fail(format!("a header's number is {digits:?}")))
}

/// Returns the path that a header itself has; that of ustar may be in two parts.
fn name(header: &[u8; BLOCK]) -> OsString {
    let name = text(header[..100].to_vec());
    let prefix = text(header[345..500].to_vec());
    if &header[257..263] != b"ustar\0" || prefix.is_empty() {
        return name;
    }
    Path::new(&prefix).join(name).into_os_string()
}

fn text(mut bytes: Vec<u8>) -> OsString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    OsString::from_vec(bytes)
}
