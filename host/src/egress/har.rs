//! A run's decision log as an HTTP archive, for the readers of that format: <http://www.softwareishard.com/blog/har-12-spec/>.
//!
//! What the log has is all that is in it: no query, no body and no value that the log masks. What was refused is there with the guard's
//! own answer, and tunnels that were not opened are counted alone.

use claude_bottle_egress_policy::{Exchange, LogEvent, LogRecord, Shown, Verdict};
use serde_json::{Map, Value, json};

/// The version of the format.
const VERSION: &str = "1.2";
/// What stands for a length that is not known.
const UNKNOWN: i64 = -1;

/// An archive that is made of decisions as they come.
#[derive(Default)]
pub struct Archive {
    entries: Vec<Value>,
    tunnels: usize,
    /// Whether some request has more than the log always shows.
    is_captured: bool,
}

impl Archive {
    /// Adds a decision, if it is about a request.
    pub fn add(&mut self, record: &LogRecord) {
        match (record.event, record.method.as_str()) {
            (LogEvent::Request, "CONNECT") => self.tunnels += 1,
            (LogEvent::Request, "" | "RESOLVE") => {}
            (LogEvent::Request, _) => {
                self.is_captured |= record.exchange.is_some();
                self.entries.push(entry(record));
            }
            _ => {}
        }
    }

    /// Returns `true` if requests have their headers.
    pub fn is_captured(&self) -> bool {
        self.is_captured || self.entries.is_empty()
    }

    /// Returns the document.
    pub fn document(self) -> Value {
        let opened =
            self.entries.iter().filter(|entry| entry["request"]["url"].as_str().is_some_and(is_https));
        let comment = format!(
            "made of a log of decisions: {} requests within HTTPS, {} tunnels in all; queries, bodies and values of headers are not in it",
            opened.count(),
            self.tunnels
        );
        json!({ "log": {
            "version": VERSION,
            "creator": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            "entries": self.entries,
            "comment": comment,
        }})
    }
}

fn is_https(url: &str) -> bool {
    url.starts_with("https:")
}

fn entry(record: &LogRecord) -> Value {
    let exchange = record.exchange.as_deref().cloned().unwrap_or_else(|| Exchange {
        // The log has the path of what was within TLS.
        https: record.path.is_some(),
        ..Exchange::default()
    });
    let of_type = |name: &str| {
        let found = exchange.response.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.clone())
    };
    let mut entry = json!({
        "startedDateTime": record.time,
        "time": record.duration_ms,
        "request": {
            "method": record.method,
            "url": url(record, &exchange),
            "httpVersion": exchange.protocol,
            "cookies": [],
            "headers": headers(&exchange.request),
            "queryString": [],
            "headersSize": UNKNOWN,
            "bodySize": record.bytes_up,
        },
        "response": {
            "status": record.status.unwrap_or(0),
            "statusText": "",
            "httpVersion": exchange.protocol,
            "cookies": [],
            "headers": headers(&exchange.response),
            "content": { "size": record.bytes_down, "mimeType": of_type("content-type").unwrap_or_default() },
            "redirectURL": "",
            "headersSize": UNKNOWN,
            "bodySize": record.bytes_down,
        },
        "cache": {},
        "timings": { "send": 0, "wait": record.duration_ms, "receive": 0 },
        "connection": record.connection.to_string(),
        "comment": record.reason,
        "_verdict": record.verdict,
        "_code": record.code,
    });
    if let Some(more) = entry.as_object_mut() {
        add(more, "_rule", record.rule.clone());
        add(more, "_error", (record.verdict == Verdict::Error).then(|| record.code.clone()));
        add(more, "_secrets", (!record.secrets.is_empty()).then(|| record.secrets.clone()));
    }
    entry
}

fn add<V: Into<Value>>(entry: &mut Map<String, Value>, key: &str, value: Option<V>) {
    if let Some(value) = value {
        entry.insert(key.to_owned(), value.into());
    }
}

fn headers(shown: &[Shown]) -> Value {
    shown.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn url(record: &LogRecord, exchange: &Exchange) -> String {
    let (scheme, usual) = if exchange.https { ("https", 443) } else { ("http", 80) };
    let port = if record.port == usual { String::new() } else { format!(":{}", record.port) };
    let path = record.path.as_deref().unwrap_or("/");
    // A path in which something was found is masked whole.
    let between = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{}{port}{between}{path}", record.host)
}

#[cfg(test)]
#[path = "har_tests.rs"]
mod tests;
