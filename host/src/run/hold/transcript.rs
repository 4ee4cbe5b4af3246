//! What a terminal showed, written down where the user asked for it. It may have secrets: its mode is 600, and it goes with its run.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file's name in the directory of its run.
pub const FILE: &str = "transcript";
/// It is no longer than this; what comes later is not written.
pub const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A transcript that is being written. What came before its run had a directory is kept for it.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    file: Option<File>,
    early: Vec<u8>,
    written: u64,
}

impl Transcript {
    /// Begins the file in the directory of a run.
    pub(super) fn begin(&mut self, run: &Path) -> io::Result<()> {
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(run.join(FILE))?;
        self.file = Some(file);
        let early = std::mem::take(&mut self.early);
        self.add(&early)
    }

    /// Adds what the terminal shows.
    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            self.early.extend_from_slice(bytes);
            return Ok(());
        };
        let room = usize::try_from(MOST_BYTES - self.written).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_has_what_came_early_and_is_the_users_alone_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut transcript = Transcript::default();
        transcript.add(b"plan\n").unwrap();
        transcript.begin(dir.path()).unwrap();
        transcript.add(b"agent\n").unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::read(&path).unwrap(), b"plan\nagent\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        transcript.written = MOST_BYTES - 2;
        transcript.add(b"abc").unwrap();
        transcript.add(b"abc").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"plan\nagent\nab");
    }
}
