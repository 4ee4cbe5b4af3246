//! One line of the decision log, as the guard writes it and the host reads it.

use serde::{Deserialize, Serialize};

use crate::decision::Verdict;

/// A decision, or the end of a connection that was allowed.
///
/// Unknown keys are ignored when reading, so that an older host can read the log of a newer guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When the request arrived, RFC 3339 in UTC with milliseconds.
    pub time: String,
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
    /// Bytes from the bottle to the upstream.
    pub bytes_up: u64,
    /// Bytes from the upstream to the bottle.
    pub bytes_down: u64,
    /// From the request's arrival to its end.
    pub duration_ms: u64,
}
