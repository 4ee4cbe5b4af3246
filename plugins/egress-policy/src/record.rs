//! One line of the decision log, as the guard writes it and the host reads it.

use serde::{Deserialize, Serialize};

use crate::decision::Verdict;
use crate::exchange::Exchange;

/// What a line of the log is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogEvent {
    /// A request was decided. For plain HTTP the line is written when the exchange ends.
    Request,
    /// A tunnel that an earlier line allowed has ended; the verdict says how.
    Close,
    /// A request that no rule allows waits for an answer, which is another policy.
    Ask,
    /// It waits no more; the verdict says what the answer was.
    Answer,
    /// The policy was changed while the bottle ran; the reason says how. Nothing was asked for.
    Policy,
}

/// A decision, or the end of a tunnel.
///
/// Unknown keys are ignored when reading, so that an older host can read the log of a newer guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When the request arrived, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// What the line is about.
    pub event: LogEvent,
    /// Number of the client connection, the same in all its lines.
    pub connection: u64,
    /// Id of the bottle.
    pub bottle: String,
    /// Address of the client, or `unix`.
    pub client: String,
    /// The method; `CONNECT` for tunnels; empty when the request was not readable.
    pub method: String,
    /// The canonical host; when there is none, the text sent, escaped and cut.
    pub host: String,
    /// The port, or 0 when the request was not readable.
    pub port: u16,
    /// The path of a request in an opened tunnel, without its query, cut; `***` when inspection found something in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Where that rule was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The stable code, a text of [`crate::Code`].
    pub code: String,
    /// One sentence for people. Never holds a secret, a path, a query or a header value.
    pub reason: String,
    /// The status of the answer to a request that was seen; none where there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Names of the secrets that were put into the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Bytes from the bottle to the upstream.
    pub bytes_up: u64,
    /// Bytes from the upstream to the bottle.
    pub bytes_down: u64,
    /// From the request's arrival to its end.
    pub duration_ms: u64,
    /// What else is shown of the request and its answer, where the configuration asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Box<Exchange>>,
}
