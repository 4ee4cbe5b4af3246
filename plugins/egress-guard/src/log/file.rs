//! The log file: lines are in it whole or not at all, and it never grows beyond its limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use claude_bottle_egress_policy::{Head, rotation};

use crate::error::GuardError;

/// A log file that is renamed once when it is full, and begun again.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    /// Whether the file ends in half a line, which the next must not go on with.
    is_torn: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self, GuardError> {
        let wrap = |source| GuardError::OpenLog { path: path.to_owned(), source };
        let mut file = append(path).map_err(wrap)?;
        let size = file.metadata().map_err(wrap)?.len();
        let is_torn = size > 0 && !ends_in_line_feed(&mut file).map_err(wrap)?;
        Ok(Self { path: path.to_owned(), file, size, limit, is_torn })
    }

    /// Returns where the chain of its lines ends: a guard that is started again goes on from there.
    pub(super) fn head(&self) -> Result<Head, GuardError> {
        let end = rotation::end(&self.path);
        Ok(end.map_err(|source| GuardError::OpenLog { path: self.path.clone(), source })?.head)
    }

    /// Adds a line. After an error nothing of it is in the file, or a line feed goes before the next.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.limit > 0 && self.size > 0 && self.size + line.len() as u64 > self.limit {
            self.begin_again()?;
        }
        if self.is_torn {
            self.add(b"\n")?;
        }
        self.add(line)
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        match written {
            Ok(()) => {
                self.size += bytes.len() as u64;
                self.is_torn = false;
            }
            // Half a line takes room that the other half does not get.
            Err(_) => self.is_torn |= self.file.set_len(self.size).is_err(),
        }
        written
    }

    fn begin_again(&mut self) -> io::Result<()> {
        rotation::rotate(&self.path)?;
        self.file = append(&self.path)?;
        (self.size, self.is_torn) = (0, false);
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

fn ends_in_line_feed(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_renamed_at_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("egress.jsonl");
        let mut file = LogFile::open(&path, 10).unwrap();
        for line in [b"first\n", b"secnd\n", b"third\n"] {
            file.write(line).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"third\n");
        assert_eq!(std::fs::read(dir.path().join("egress.jsonl.1")).unwrap(), b"secnd\n");
    }

    #[test]
    fn half_a_line_of_a_guard_that_was_killed_is_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("egress.jsonl");
        std::fs::write(&path, b"whole\nha").unwrap();
        LogFile::open(&path, 0).unwrap().write(b"next\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\nha\nnext\n");
        LogFile::open(&path, 0).unwrap().write(b"last\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole\nha\nnext\nlast\n");
    }
}
