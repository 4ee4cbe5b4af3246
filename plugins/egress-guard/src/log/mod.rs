//! Writes decisions, one JSON line each, to standard output and to a file, and events of the guard to standard error.
//!
//! A thread of its own writes, so that a slow disk or log driver cannot stall the event loop. The queue is bounded and
//! senders wait for room, so memory is never spent on a flood.
//!
//! Invariant: while a line waits for room on the disk, nothing is let through. Every request is refused, and each refusal
//! tries again.

mod file;
mod lines;
mod recent;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claude_bottle_egress_policy::{LogConfig, LogRecord};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::clock;
use crate::error::GuardError;
use file::LogFile;
use lines::Lines;
pub(crate) use lines::notice;
pub(crate) use recent::Recent;

/// Lines that may wait for the thread; as many more may wait for room on the disk.
const QUEUE: usize = 1024;

/// Takes records from any task.
#[derive(Debug, Clone)]
pub struct Logger {
    sender: Sender<LogRecord>,
    /// Set while a line cannot be written.
    is_failing: Arc<AtomicBool>,
}

/// The writing thread, which ends with its last line.
#[derive(Debug)]
pub struct Writer {
    /// Closed when the thread ends; nothing is ever sent.
    ended: std::sync::mpsc::Receiver<()>,
}

/// Opens the log and starts the writing thread.
pub fn open(config: &LogConfig) -> Result<(Logger, Writer), GuardError> {
    open_with(config, None)
}

/// The same, and keeps the last lines in memory as well.
pub(crate) fn open_with(config: &LogConfig, recent: Option<Recent>) -> Result<(Logger, Writer), GuardError> {
    let file = config.file.as_deref().map(|path| LogFile::open(path, config.max_file_bytes)).transpose()?;
    let (sender, receiver) = channel(QUEUE);
    let head = file.as_ref().map(LogFile::head).transpose()?.unwrap_or_default();
    let lines = Lines::new(config.stdout, file, head, QUEUE).with_recent(recent);
    let is_failing = Arc::<AtomicBool>::default();
    let (running, ended) = std::sync::mpsc::channel();
    let failing = Arc::clone(&is_failing);
    let write = move || {
        write_all(receiver, lines, &failing);
        drop(running);
    };
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn(write);
    thread.map_err(|source| GuardError::Process { source })?;
    Ok((Logger { sender, is_failing }, Writer { ended }))
}

impl Logger {
    /// Hands a record to the writer, waiting for room.
    pub async fn write(&self, record: LogRecord) {
        // The writer ends after the last sender only; if it has died, there is nobody left to tell.
        self.sender.send(record).await.ok();
    }

    /// Returns `true` if a decision could not be written, so that nothing may be let through.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Acquire)
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

fn write_all(mut records: Receiver<LogRecord>, mut lines: Lines, is_failing: &AtomicBool) {
    while let Some(record) = records.blocking_recv() {
        let written = lines.write(&record);
        let before = is_failing.swap(written.is_err(), Ordering::AcqRel);
        match written {
            Err(error) if !before => event("log_failed", &json!({ "error": error.to_string() })),
            Ok(()) if before => event("log_works_again", &json!({})),
            _ => {}
        }
    }
    if let Err(error) = lines.write_waiting() {
        event("log_failed", &json!({ "error": error.to_string(), "unwritten": lines.unwritten() }));
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
