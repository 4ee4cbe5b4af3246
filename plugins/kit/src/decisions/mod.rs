//! The decision log of a run, where a backend writes it from what the guard told: one writer at a time, whichever process that is; never
//! larger than its limit.

mod missing;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_bottle_egress_policy::rotation;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use missing::missing;

/// Its name, which the host knows.
pub const NAME: &str = "egress.jsonl";
/// A full file is renamed once, and begun again: as large as the guard's own.
const MOST_BYTES: u64 = 64 << 20;
/// How much of the file's end is compared with all that there is.
const TAIL: u64 = 64 << 10;
/// How often and at what distance a file is tried that another process writes; there is no event for a lock that becomes free.
const TRIES: (u32, Duration) = (100, Duration::from_millis(20));

/// The decision log of a run, to be written by us alone.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Opens the log in a run's directory; `None` while another process writes it.
    ///
    /// # Errors
    /// Fails when the file cannot be opened or locked.
    pub fn open(dir: &Path) -> io::Result<Option<Self>> {
        Self::open_limited(dir.join(NAME), MOST_BYTES)
    }

    fn open_limited(path: PathBuf, limit: u64) -> io::Result<Option<Self>> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                other => other?,
            }
            let found = file.metadata()?;
            // Its last writer may have renamed it between the two.
            if fs::metadata(&path).is_ok_and(|now| (now.dev(), now.ino()) == (found.dev(), found.ino())) {
                return Ok(Some(Self { path, file, size: found.len(), limit }));
            }
        }
    }

    /// Waits for another process to be done with it, but not for long. This blocks.
    ///
    /// # Errors
    /// Fails when the file cannot be opened or locked.
    pub fn open_when_free(dir: &Path) -> io::Result<Self> {
        let (tries, distance) = TRIES;
        for _ in 0..tries {
            if let Some(file) = Self::open(dir)? {
                return Ok(file);
            }
            std::thread::sleep(distance);
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "another process writes it"))
    }

    /// Returns how much is in the newest file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Fails when the disk does not take them.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + bytes.len() as u64 > self.limit {
            rotation::rotate(&self.path)?;
            let fresh = Self::open_limited(self.path.clone(), self.limit)?;
            *self = fresh.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Adds what it lacks of all that there is.
    ///
    /// # Errors
    /// Fails when the file cannot be read, and when the disk does not take it.
    pub fn complete(&mut self, whole: &[u8]) -> io::Result<()> {
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(self.size.saturating_sub(TAIL)))?;
        self.file.read_to_end(&mut tail)?;
        let older = fs::metadata(self.older()).map_or(0, |older| older.len());
        let lacking = missing(whole, &tail, older + self.size);
        if lacking.gap && !tail.ends_with(b"\n") {
            self.append(b"\n")?;
        }
        // Piece by piece, so that a file of its size is not exceeded by one large addition.
        lacking.bytes.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| self.append(line))
    }

    fn older(&self) -> PathBuf {
        rotation::older(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn it_is_private_and_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = LogFile::open(dir.path()).unwrap().unwrap();
        assert!(LogFile::open(dir.path()).unwrap().is_none());
        file.append(b"one\n").unwrap();
        drop(file);
        assert_eq!(LogFile::open(dir.path()).unwrap().unwrap().size(), 4);
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("other");
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join(NAME)).unwrap();
        LogFile::open(dir.path()).unwrap_err();
        assert_eq!(text(&target), "mine");
    }

    #[test]
    fn a_full_one_is_renamed_once_and_completing_it_doubles_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut file = LogFile::open_limited(path.clone(), 10).unwrap().unwrap();
        for line in ["one\n", "two\n", "six\n"] {
            file.append(line.as_bytes()).unwrap();
        }
        let whole = b"one\ntwo\nsix\nten\nend\n";
        file.complete(whole).unwrap();
        file.complete(whole).unwrap();
        assert_eq!((text(&file.older()), text(&path)), ("six\nten\n".to_owned(), "end\n".to_owned()));
    }

    #[test]
    fn what_nobody_knows_leaves_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = LogFile::open(dir.path()).unwrap().unwrap();
        file.append(b"one\ntw").unwrap();
        file.complete(b"seven\n").unwrap();
        assert_eq!(text(&dir.path().join(NAME)), "one\ntw\nseven\n");
    }
}
