//! A decision log that is full: its file takes the place of the older one, and what that one held is counted.
//!
//! Beside `egress.jsonl` and `egress.jsonl.1` there is then `egress.jsonl.dropped`, a [`Tally`] of all decisions that are in
//! neither, so that the numbers of a run stay exact however much it asks for.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::decision::Verdict;
use crate::record::{LogEvent, LogRecord};

/// The longest line that is read; a record is far below it.
const MOST_BYTES: u64 = 64 * 1024;

/// How many requests there were of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that went through.
    #[serde(default)]
    pub allowed: u64,
    /// Requests and tunnels that were refused.
    #[serde(default)]
    pub blocked: u64,
    /// Requests that were allowed and did not reach their host.
    #[serde(default)]
    pub failed: u64,
    /// Lines, of whatever kind.
    #[serde(default)]
    pub lines: u64,
    /// Lines that are not records of the guard: what they were is not known.
    #[serde(default)]
    pub unknown: u64,
}

impl Tally {
    /// Counts a decision.
    pub fn count(&mut self, record: &LogRecord) {
        match (record.event, record.verdict) {
            // What comes of a question is a line of its own, and a change of the policy is no request.
            (LogEvent::Ask | LogEvent::Answer | LogEvent::Policy, _) => {}
            (_, Verdict::Deny) => self.blocked += 1,
            (LogEvent::Request, Verdict::Allow | Verdict::Warn) => self.allowed += 1,
            (LogEvent::Request, Verdict::Error) => self.failed += 1,
            // A tunnel was counted when it was opened.
            (LogEvent::Close, _) => {}
        }
    }

    /// Counts all lines of a log.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn count_lines(&mut self, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while log.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line)? > 0 {
            self.lines += 1;
            match serde_json::from_slice(&line) {
                Ok(record) => self.count(&record),
                Err(_) => self.unknown += 1,
            }
            line.clear();
        }
        Ok(())
    }
}

/// Returns the file that a log becomes when it is full.
pub fn older(log: &Path) -> PathBuf {
    with_suffix(log, ".1")
}

/// Puts a full log in the place of the older one, after what that one held was added to what is known to be dropped.
///
/// # Errors
/// Fails when one of the files cannot be read, written or renamed; the log is where it was then.
pub fn rotate(log: &Path) -> io::Result<()> {
    let older = older(log);
    match File::open(&older) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => {
            let mut dropped = dropped(log)?;
            dropped.count_lines(BufReader::new(file?))?;
            let (note, new) = (with_suffix(log, ".dropped"), with_suffix(log, ".dropped.new"));
            fs::write(&new, serde_json::to_vec(&dropped)?)?;
            fs::rename(new, note)?;
        }
    }
    fs::rename(log, older)
}

/// Returns what a log no longer has.
///
/// # Errors
/// Fails when that cannot be read.
pub fn dropped(log: &Path) -> io::Result<Tally> {
    match fs::read(with_suffix(log, ".dropped")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Tally::default()),
        text => Ok(serde_json::from_slice(&text?)?),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, verdict: &str) -> String {
        format!(
            r#"{{"time":"t","event":"{event}","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"h","port":443,"verdict":"{verdict}","code":"c","reason":"r","bytes_up":0,"bytes_down":0,"duration_ms":1}}"#
        ) + "\n"
    }

    #[test]
    fn what_is_dropped_is_counted_however_often_a_log_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("egress.jsonl");
        let all = ["allow", "warn", "deny", "deny", "error"].map(|verdict| line("request", verdict)).concat();
        for round in 0..4 {
            fs::write(&log, format!("{all}{}{}half", line("close", "allow"), line("close", "deny"))).unwrap();
            rotate(&log).unwrap();
            assert!(older(&log).exists() && !log.exists());
            let expected = Tally { allowed: 2, blocked: 3, failed: 1, lines: 8, unknown: 1 };
            let times = |n: u64| Tally {
                allowed: expected.allowed * n,
                blocked: expected.blocked * n,
                failed: expected.failed * n,
                lines: expected.lines * n,
                unknown: expected.unknown * n,
            };
            assert_eq!(dropped(&log).unwrap(), times(round));
        }
    }
}
