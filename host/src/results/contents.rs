//! The contents of a result: files that are named by the SHA-256 of what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use crate::results::model::Side;
use crate::results::store::{BASE, FILES, REPLACED};

/// The directory of a result.
#[derive(Debug, Clone)]
pub struct Contents {
    dir: PathBuf,
}

/// What could be read of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bytes {
    /// All of it.
    Whole(Vec<u8>),
    /// It is larger than what was asked for.
    TooLarge,
    /// It is not kept.
    Missing,
}

impl Contents {
    /// Names the directory of a result, finished or not.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Opens contents by their hash, new or old ones; `None` if they are not kept.
    pub fn open(&self, sha256: &str) -> io::Result<Option<File>> {
        // The name comes from a document; what is not a hash would lead elsewhere.
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a hash has 64 hexadecimal digits"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for place in [FILES, BASE, REPLACED] {
            match open(self.dir.join(place).join(sha256), flags, Mode::empty()) {
                Ok(file) => return Ok(Some(file.into())),
                Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Reads one side of a change, if it has at most `most` bytes. What is not a file has no contents.
    pub fn read(&self, side: Option<&Side>, most: u64) -> io::Result<Bytes> {
        let Some(sha256) = side.and_then(|side| side.sha256.as_deref()) else {
            return Ok(Bytes::Whole(Vec::new()));
        };
        let Some(file) = self.open(sha256)? else { return Ok(Bytes::Missing) };
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        Ok(if bytes.len() as u64 > most { Bytes::TooLarge } else { Bytes::Whole(bytes) })
    }
}
