//! Writes decisions, one JSON line each, to standard output and to a file, and events of the guard to standard error.
//!
//! A thread of its own writes, so that a slow disk or log driver cannot stall the event loop. The queue is bounded and
//! senders wait for room: a decision is never dropped, and memory is never spent on a flood.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use claude_bottle_egress_policy::{LogConfig, LogRecord};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock;
use crate::error::GuardError;

/// Lines that may wait to be written.
const QUEUE: usize = 1024;

/// Takes records from any task.
#[derive(Debug, Clone)]
pub struct Logger {
    sender: Sender<LogRecord>,
}

/// The writing thread, which ends with its last line.
#[derive(Debug)]
pub struct Writer {
    /// Closed when the thread ends; nothing is ever sent.
    ended: std::sync::mpsc::Receiver<()>,
}

/// Opens the log and starts the writing thread.
pub fn open(config: &LogConfig) -> Result<(Logger, Writer), GuardError> {
    let file = config.file.as_deref().map(|path| LogFile::open(path, config.max_file_bytes)).transpose()?;
    let (sender, receiver) = channel(QUEUE);
    let stdout = config.stdout;
    let (running, ended) = std::sync::mpsc::channel();
    let write = move || {
        write_all(receiver, stdout, file);
        drop(running);
    };
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(write);
    thread.map_err(|source| GuardError::Process { source })?;
    Ok((Logger { sender }, Writer { ended }))
}

impl Logger {
    /// Hands a record to the writer, waiting for room.
    pub async fn write(&self, record: LogRecord) {
        // The writer ends after the last sender only; if it has died, there is nobody left to tell.
        self.sender.send(record).await.ok();
    }
}

impl Writer {
    /// Waits until every line has been written, for `limit` at most: whoever reads the log may have stopped reading.
    ///
    /// Every [`Logger`] must be gone.
    pub fn finish(self, limit: Duration) {
        self.ended.recv_timeout(limit).ok();
    }
}

fn write_all(mut records: Receiver<LogRecord>, stdout: bool, mut file: Option<LogFile>) {
    while let Some(record) = records.blocking_recv() {
        let Ok(mut line) = serde_json::to_vec(&record) else { continue };
        line.push(b'\n');
        if stdout {
            // Standard output may be closed; the file still has the line.
            io::stdout().lock().write_all(&line).ok();
        }
        if let Some(file) = &mut file
            && let Err(error) = file.write(&line)
        {
            event("log_failed", &json!({ "error": error.to_string() }));
        }
    }
}

/// Writes an event of the guard itself as one JSON line to standard error.
pub fn event(name: &str, fields: &serde_json::Value) {
    let mut line = json!({ "time": clock::now(), "event": name });
    if let (Some(line), Some(fields)) = (line.as_object_mut(), fields.as_object()) {
        line.extend(fields.clone());
    }
    let mut text = line.to_string();
    text.push('\n');
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// A log file that never grows beyond its limit: it is renamed once and begun anew.
struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    fn open(path: &Path, limit: u64) -> Result<Self, GuardError> {
        let wrap = |source| GuardError::OpenLog { path: path.to_owned(), source };
        let file = append(path).map_err(wrap)?;
        let size = file.metadata().map_err(wrap)?.len();
        Ok(Self { path: path.to_owned(), file, size, limit })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.limit > 0 && self.size > 0 && self.size + line.len() as u64 > self.limit {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            self.file = append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
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
}
