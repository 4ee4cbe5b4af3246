//! Whole lines of a decision log as they appear, through its being renamed and begun anew.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::egress::summary;

/// A log that is read from its beginning, and later from where it was left.
pub(in crate::cli) struct Tail {
    run_dir: PathBuf,
    file: Option<File>,
    /// Whether the older file was read; it is not read again after a change of files.
    begun: bool,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    pub(in crate::cli) fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned(), file: None, begun: false, partial: Vec::new() }
    }

    /// Returns the lines that have appeared since the last call.
    pub(in crate::cli) fn read_new(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        // A backend that keeps the log elsewhere says so by a link, which may not be there from the beginning.
        let [older, path] = summary::files(&self.run_dir);
        if !self.begun {
            self.begun = path.exists();
            if let Some(mut older) = open(&older)? {
                self.begun = true;
                self.take(&mut older, &mut lines)?;
            }
        }
        loop {
            let Some(mut file) = self.file.take().map_or_else(|| open(&path), |file| Ok(Some(file)))? else {
                return Ok(lines);
            };
            self.take(&mut file, &mut lines)?;
            if is_current(&file, &path)? {
                self.file = Some(file);
                return Ok(lines);
            }
            // Renamed meanwhile: what was written before that is read, then the new file from its beginning.
            self.take(&mut file, &mut lines)?;
            self.partial.clear();
        }
    }

    fn take(&mut self, file: &mut File, lines: &mut Vec<String>) -> io::Result<()> {
        file.read_to_end(&mut self.partial)?;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let texts = whole[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.extend(texts.map(|line| String::from_utf8_lossy(line).into_owned()));
        Ok(())
    }
}

fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(current) => Ok((current.dev(), current.ino()) == (ours.dev(), ours.ino())),
        // The next one is not there yet: this one is the newest.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_come_once_and_whole_also_over_a_rename() {
        let dir = tempfile::tempdir().unwrap();
        let [older, path] = summary::files(dir.path());
        let mut tail = Tail::new(dir.path());
        assert!(tail.read_new().unwrap().is_empty());

        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.read_new().unwrap(), ["one"]);
        file.write_all(b"o\n").unwrap();
        assert_eq!(tail.read_new().unwrap(), ["two"]);

        file.write_all(b"three\n").unwrap();
        fs::rename(&path, &older).unwrap();
        assert_eq!(tail.read_new().unwrap(), ["three"]);
        fs::write(&path, "four\n").unwrap();
        assert_eq!(tail.read_new().unwrap(), ["four"]);
        assert!(tail.read_new().unwrap().is_empty());
    }

    #[test]
    fn an_older_file_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let [older, path] = summary::files(dir.path());
        fs::write(older, "one\n").unwrap();
        fs::write(path, "two\n").unwrap();
        assert_eq!(Tail::new(dir.path()).read_new().unwrap(), ["one", "two"]);
    }
}
