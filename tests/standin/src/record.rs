//! The record of requests: in memory for tests in the same process, and as JSON lines for everybody else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StandinError;

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was complete, in milliseconds since 1970.
    pub time_ms: u64,
    /// The address it came from: the sidecar's when it came through one.
    pub peer: IpAddr,
    /// `POST`, for example.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Every header by its lower-case name, credentials included; repeated ones are joined by a comma.
    pub headers: BTreeMap<String, String>,
    /// The body: its JSON when it is JSON, else a string.
    pub body: Value,
}

impl Recorded {
    /// Returns whether this asks for a message, whatever its query.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.method == "POST" && self.path.split('?').next() == Some("/v1/messages")
    }

    /// Returns the value of a header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns what the request logs in with, whichever header has it.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        let bearer = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        bearer.or_else(|| self.header("x-api-key"))
    }

    /// Returns the system prompt: the texts of the body's `system`, one a line, or an empty string.
    #[must_use]
    pub fn system_prompt(&self) -> String {
        match &self.body["system"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// Where requests are written; clones share one record.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State {
    requests: Vec<Recorded>,
    file: Option<(PathBuf, File)>,
}

impl Recorder {
    /// Opens a record; an existing file is emptied, so that a test never reads an older run's requests.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, StandinError> {
        let file = path.map(create).transpose()?;
        let state = Mutex::new(State { requests: Vec::new(), file });
        Ok(Self { shared: Arc::new(Shared { state, arrived: Condvar::new() }) })
    }

    /// Adds a request to the record and wakes whoever waits for one.
    pub(crate) fn add(&self, request: Recorded) -> Result<(), StandinError> {
        let mut state = self.lock();
        let written = state.file.as_mut().map_or(Ok(()), |(path, file)| {
            write_line(file, &request)
                .map_err(|source| StandinError::WriteFile { path: path.clone(), source })
        });
        state.requests.push(request);
        self.shared.arrived.notify_all();
        written
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.clone()
    }

    pub(crate) fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Recorded) -> bool) -> Option<Recorded> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = state.requests.iter().find(|request| wanted(request)) {
                return Some(found.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.shared.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A poisoned lock still holds whole requests, since a request is pushed in one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(path: &Path) -> Result<(PathBuf, File), StandinError> {
    let file =
        File::create(path).map_err(|source| StandinError::WriteFile { path: path.to_owned(), source })?;
    Ok((path.to_owned(), file))
}

/// Writes in one call, so that a reader of the file never sees half a line.
fn write_line(file: &mut File, request: &Recorded) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    file.write_all(&line)
}
