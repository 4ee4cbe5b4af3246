//! A decision log that is full: its file takes the place of the older one, and what that one held is counted.
//!
//! Beside `egress.jsonl` and `egress.jsonl.1` there is then `egress.jsonl.dropped`, a [`Tally`] of all decisions that are in
//! neither, so that the numbers of a run stay exact however much it asks for. It also has the [`Head`] of the last of them, from
//! which the chain of the lines that are left goes on.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::chain::{Head, LineHash};
use crate::decision::Verdict;
use crate::record::{LogEvent, LogRecord};

/// The longest line that is read; a record is far below it.
const MOST_BYTES: u64 = 64 * 1024;

/// How much of a log's end is looked through for its last line.
const TAIL: u64 = 2 * MOST_BYTES;

/// What is written down of lines that are in no file any more.
#[derive(Default, Serialize, Deserialize)]
struct Dropped {
    #[serde(flatten)]
    tally: Tally,
    /// Where their chain ends; none where no line had a place in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Head>,
}

/// How a log ends, for the record of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The end of its chain; the beginning when no line has a place in one.
    pub head: Head,
    /// The hash of what is written down of lines that are in no file any more; none when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<LineHash>,
}

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
            let mut file = file?;
            let mut dropped = read_dropped(log)?;
            dropped.last = last_in(&mut file)?.or(dropped.last);
            file.rewind()?;
            dropped.tally.count_lines(BufReader::new(file))?;
            let (note, new) = (note(log), with_suffix(log, ".dropped.new"));
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
    Ok(read_dropped(log)?.tally)
}

/// Returns the head from which the chain of the lines that are left goes on.
///
/// # Errors
/// Fails when what is written down of dropped lines cannot be read.
pub fn begin(log: &Path) -> io::Result<Head> {
    Ok(read_dropped(log)?.last.unwrap_or_default())
}

/// Returns how a log ends now.
///
/// # Errors
/// Fails when one of its files cannot be read.
pub fn end(log: &Path) -> io::Result<End> {
    let dropped = existing(fs::read(note(log)))?.map(|text| LineHash::of(&text));
    for file in [log.to_owned(), older(log)] {
        if let Some(mut file) = existing(File::open(file))?
            && let Some(head) = last_in(&mut file)?
        {
            return Ok(End { head, dropped });
        }
    }
    Ok(End { head: begin(log)?, dropped })
}

fn last_in(file: &mut File) -> io::Result<Option<Head>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    // What a cut in the middle of a line leaves is not a line, and is not read as one.
    Ok(Head::last(&tail))
}

fn read_dropped(log: &Path) -> io::Result<Dropped> {
    let text = existing(fs::read(note(log)))?;
    Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?.unwrap_or_default())
}

fn note(log: &Path) -> PathBuf {
    with_suffix(log, ".dropped")
}

fn existing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
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

    #[test]
    fn the_chain_goes_on_over_every_change_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("egress.jsonl");
        let mut head = Head::default();
        assert_eq!(end(&log).unwrap(), End { head, dropped: None });
        for round in 0..4 {
            let first = head;
            for _ in 0..3 {
                let line = head.stamp(line("request", "allow").trim_end().as_bytes());
                head = head.after(&line);
                let text = fs::read(&log).unwrap_or_default();
                fs::write(&log, [text, line].concat()).unwrap();
            }
            assert_eq!(end(&log).unwrap().head, head);
            rotate(&log).unwrap();
            assert_eq!(end(&log).unwrap().head, head);
            assert_eq!(begin(&log).unwrap(), first);
            assert_eq!(end(&log).unwrap().dropped.is_some(), round > 0);
        }
        fs::remove_file(older(&log)).unwrap();
        assert_eq!(end(&log).unwrap().head.line, 9);
    }
}
