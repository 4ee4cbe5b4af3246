//! Progress and log records on their way to the host.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a step of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventState {
    /// It began.
    Started,
    /// It goes on.
    Running,
    /// It printed a line.
    Output,
    /// It ended well.
    Finished,
    /// It ended badly.
    Failed,
    /// A state this side does not know; the event is ignored.
    #[serde(other)]
    Unknown,
}

/// Progress of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The step, a short stable name: "build-image".
    pub step: String,
    /// Where it is.
    pub state: EventState,
    /// What to tell the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How much is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Of how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

impl Event {
    /// Makes an event without message or amount.
    pub fn new(step: impl Into<String>, state: EventState) -> Self {
        Self { step: step.into(), state, message: None, done: None, total: None }
    }

    /// Adds a message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Adds an amount.
    #[must_use]
    pub fn amount(mut self, done: u64, total: Option<u64>) -> Self {
        (self.done, self.total) = (Some(done), total);
        self
    }
}

/// The level of a log record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LogLevel {
    /// Something failed.
    Error = 1,
    /// Something is odd.
    Warn = 2,
    /// Something a developer wants to know.
    Info = 3,
    /// A step.
    Debug = 4,
    /// A detail.
    Trace = 5,
}

/// A log record of a plug-in, for the host's `tracing`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogRecord {
    /// Its level.
    pub level: LogLevel,
    /// The module it comes from.
    pub target: String,
    /// Its message.
    pub message: String,
    /// Its other fields.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// The spans it was made in, outermost first: `launch{name="x"}`.
    #[serde(default)]
    pub spans: Vec<String>,
    /// How long the span took, in microseconds, when the record is the end of a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_micros: Option<u64>,
}

impl LogRecord {
    pub(crate) fn new(level: LogLevel, target: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            level,
            target: target.into(),
            message: message.into(),
            fields: Map::new(),
            spans: Vec::new(),
            span_micros: None,
        }
    }
}
