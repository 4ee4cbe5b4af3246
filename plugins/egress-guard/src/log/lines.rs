//! Decisions on their way to the disk: those that cannot be written wait, those too many to wait are counted.
//!
//! The file is where decisions are kept; standard output is, when there is no file. Where they are kept each line has its place in
//! the log's chain; on a standard output next to a file they have none.

use std::collections::VecDeque;
use std::io::{self, Write};

use claude_bottle_egress_policy::{Code, Head, LogEvent, LogRecord, Verdict};

use super::file::LogFile;
use super::recent::Recent;
use crate::clock;

/// Where lines go, and those that have not got there.
pub(super) struct Lines {
    stdout: bool,
    file: Option<LogFile>,
    recent: Option<Recent>,
    /// Whether standard output ends in half a line.
    is_torn: bool,
    /// Where the chain of the lines that are kept ends.
    head: Head,
    /// Decisions without their place, which they get when they are kept.
    waiting: VecDeque<Vec<u8>>,
    most: usize,
    lost: u64,
    bottle: String,
}

impl Lines {
    /// Returns lines that go to these places behind the head of a chain, of which at most `most` wait.
    pub(super) fn new(stdout: bool, file: Option<LogFile>, head: Head, most: usize) -> Self {
        let (waiting, bottle) = (VecDeque::new(), String::new());
        Self { stdout, file, recent: None, is_torn: false, head, waiting, most, lost: 0, bottle }
    }

    /// Keeps the last of them in memory as well.
    pub(super) fn with_recent(self, recent: Option<Recent>) -> Self {
        Self { recent, ..self }
    }

    /// Adds a decision and writes all that wait; an error when some still do.
    pub(super) fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        let Ok(record_text) = serde_json::to_vec(record) else { return Ok(()) };
        if self.stdout && self.file.is_some() {
            // Standard output may be closed; the file still has the line.
            self.print(&[&record_text, b"\n".as_slice()].concat()).ok();
        }
        if self.waiting.len() < self.most {
            self.waiting.push_back(record_text);
        } else {
            self.bottle.clone_from(&record.bottle);
            self.lost += 1;
        }
        self.write_waiting()
    }

    /// Writes all that wait, in their order, and then how many could not even do that.
    pub(super) fn write_waiting(&mut self) -> io::Result<()> {
        while let Some(record) = self.waiting.pop_front() {
            if let Err(error) = self.keep(&record) {
                self.waiting.push_front(record);
                return Err(error);
            }
        }
        if self.lost > 0 {
            self.keep(&serde_json::to_vec(&lost(&self.bottle, self.lost))?)?;
            self.lost = 0;
        }
        Ok(())
    }

    /// Returns how many decisions are not written.
    pub(super) fn unwritten(&self) -> u64 {
        self.waiting.len() as u64 + self.lost
    }

    fn keep(&mut self, record: &[u8]) -> io::Result<()> {
        let line = self.head.stamp(record);
        match &mut self.file {
            Some(file) => file.write(&line)?,
            None if self.stdout => self.print(&line)?,
            None => {}
        }
        if let Some(recent) = &self.recent {
            recent.add(&line);
        }
        // What could not be written keeps its place for the next try.
        self.head = self.head.after(&line);
        Ok(())
    }

    fn print(&mut self, line: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.is_torn {
            stdout.write_all(b"\n")?;
        }
        self.is_torn = true;
        stdout.write_all(line)?;
        stdout.flush()?;
        self.is_torn = false;
        Ok(())
    }
}

/// Returns the line that stands for decisions that were lost.
fn lost(bottle: &str, count: u64) -> LogRecord {
    let reason = format!("{count} decisions before this line could not be written");
    notice(bottle, LogEvent::Request, (Verdict::Error, Code::LogFailed), reason)
}

/// Returns a line that is about no request of its own.
pub(crate) fn notice(
    bottle: &str,
    event: LogEvent,
    (verdict, code): (Verdict, Code),
    reason: String,
) -> LogRecord {
    LogRecord {
        time: clock::now(),
        event,
        connection: 0,
        bottle: bottle.to_owned(),
        client: String::new(),
        method: String::new(),
        host: String::new(),
        port: 0,
        path: None,
        verdict,
        rule: None,
        origin: None,
        code: code.as_str().to_owned(),
        reason,
        why: None,
        status: None,
        secrets: Vec::new(),
        bytes_up: 0,
        bytes_down: 0,
        duration_ms: 0,
        exchange: None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use claude_bottle_egress_policy::rotation;

    use super::*;

    #[test]
    fn what_cannot_be_written_waits_and_what_cannot_wait_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("egress.jsonl");
        // <https://man7.org/linux/man-pages/man4/full.4.html>
        let full = LogFile::open(Path::new("/dev/full"), 0).unwrap();
        let mut lines = Lines::new(false, Some(full), Head::default(), 2);
        let record = |connection| LogRecord { connection, ..lost("dev", 0) };
        for connection in 1..=5 {
            assert!(lines.write(&record(connection)).is_err());
        }
        assert_eq!(lines.unwritten(), 5);
        lines.file = Some(LogFile::open(&path, 0).unwrap());
        lines.write_waiting().unwrap();
        lines.write(&record(6)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<LogRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.iter().map(|record| record.connection).collect::<Vec<_>>(), [1, 2, 0, 6]);
        assert_eq!(read[2].code, "log_failed");
        assert_eq!(read[2].reason, "3 decisions before this line could not be written");
        assert_eq!(lines.unwritten(), 0);
        let mut head = Head::default();
        text.lines().for_each(|line| head.follow(line.as_bytes()).unwrap());
        assert_eq!(head.line, 4);
    }

    #[test]
    fn a_guard_that_is_started_again_goes_on_with_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("egress.jsonl");
        for _ in 0..3 {
            let file = LogFile::open(&path, 1500).unwrap();
            let head = file.head().unwrap();
            let mut lines = Lines::new(false, Some(file), head, 2);
            (0..3).for_each(|_| lines.write(&lost("dev", 1)).unwrap());
        }
        let mut head = rotation::begin(&path).unwrap();
        assert!(head.line > 0);
        for file in [rotation::older(&path), path] {
            std::fs::read_to_string(file)
                .unwrap()
                .lines()
                .for_each(|line| head.follow(line.as_bytes()).unwrap());
        }
        assert_eq!(head.line, 9);
    }
}
