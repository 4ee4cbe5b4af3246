//! One line of the decision log, as the guard writes it and the host reads it.

use serde::{Deserialize, Serialize};

use crate::decision::Verdict;
use crate::exchange::Exchange;

/// The method by which an agent gives back what it was allowed while its bottle runs.
pub const GIVE_BACK: &str = "GIVEBACK";

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
    /// The policy was changed while the bottle ran; the reason says how. Nothing was asked for. With the method [`GIVE_BACK`] the agent
    /// gave back what was allowed for the host, `HOST[:PORT]`.
    Policy,
}

/// How the reason of a request begins that was answered; the status follows.
const ANSWERED: &str = "answered ";
/// The status of an answer that takes no credential, or not this one: <https://www.rfc-editor.org/rfc/rfc9110#status.401>.
pub const UNAUTHORIZED: u16 = 401;

/// Returns the reason of a request that was answered. With 401 it names the secrets that were put in.
pub fn answered(status: u16, secrets: &[String]) -> String {
    match secrets {
        [_, ..] if status == UNAUTHORIZED => {
            let names: Vec<String> = secrets.iter().map(|name| format!("`{name}`")).collect();
            format!("{ANSWERED}{status} to {}", names.join(", "))
        }
        _ => format!("{ANSWERED}{status}"),
    }
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
    /// What the agent said of it when it asked by the command `bottle`, escaped and cut. Text of the agent's, not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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

impl LogRecord {
    /// Returns the status of the answer, of a request that was let through and whose answer the guard could read.
    pub fn answer(&self) -> Option<u16> {
        let is_answer = self.event == LogEvent::Request && self.verdict == Verdict::Allow;
        let status = self.reason.strip_prefix(ANSWERED).filter(|_| is_answer)?;
        status.split(' ').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: &str, verdict: &str, reason: &str) -> LogRecord {
        let line = serde_json::json!({
            "time": "", "event": event, "connection": 1, "bottle": "", "client": "", "method": "GET", "host": "a.test",
            "port": 443, "verdict": verdict, "code": "allowed", "reason": reason, "bytes_up": 0, "bytes_down": 0,
            "duration_ms": 0,
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn the_status_is_read_from_what_was_written() {
        let names = ["A".to_owned(), "B".to_owned()];
        assert_eq!(answered(401, &names), "answered 401 to `A`, `B`");
        assert_eq!(answered(200, &names), "answered 200");
        for (status, secrets) in [(200, &names[..]), (401, &names), (401, &[])] {
            assert_eq!(record("request", "allow", &answered(status, secrets)).answer(), Some(status));
        }
        for (event, verdict, reason) in [
            ("request", "deny", "answered 401"),
            ("close", "allow", "answered 401"),
            ("request", "allow", "answered late"),
            ("request", "allow", "the host is on the list"),
        ] {
            assert_eq!(record(event, verdict, reason).answer(), None, "{event} {verdict} {reason}");
        }
    }
}
