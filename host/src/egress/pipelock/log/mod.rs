//! pipelock's log lines as decisions, as remarks on a request, and as notices.
//!
//! Its events and their keys are in <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/internal/audit/logger.go>. A decision
//! about one request, or the end of a tunnel, becomes a decision. A finding that stopped nothing is a remark on a request
//! that has a line of its own. Every other line is a notice.
//!
//! Invariant: what is read shows no more than the guard's log would: no path, no query, no header value. pipelock's own lines
//! have whole URLs in them.

mod outcome;
mod place;

use claude_bottle_egress_policy::{LogEvent, LogRecord};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a line of pipelock's is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::egress) enum Reading {
    /// A decision about one request, or the end of a tunnel.
    Decision(LogRecord),
    /// A finding that stopped nothing, in the form of a decision.
    Remark(LogRecord),
    /// Something about pipelock itself.
    Notice(Notice),
}

/// A line about pipelock itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// When it was written.
    pub time: String,
    /// What it says, for people.
    pub text: String,
    /// The line as JSON, without anything of a request.
    pub json: String,
}

/// The keys of the events that are read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    component: String,
    time: String,
    event: String,
    message: String,
    method: String,
    url: String,
    target: String,
    client_ip: String,
    scanner: String,
    reason: String,
    error: String,
    action: String,
    pattern: String,
    patterns: Vec<String>,
    connect_host: String,
    category: String,
    redirect_url: String,
    size_bytes: u64,
    total_bytes: u64,
    duration_ms: f64,
}

/// Reads a line of a bottle's log; `None` when pipelock did not write it.
pub(in crate::egress) fn read(text: &[u8], bottle: &str) -> Option<Reading> {
    let line: Line = serde_json::from_slice(text).ok()?;
    if line.component != "pipelock" {
        return None;
    }
    Some(match outcome::outcome(&line) {
        Some(outcome) if outcome.stops_or_passes => Reading::Decision(record(line, outcome, bottle)),
        Some(outcome) => Reading::Remark(record(line, outcome, bottle)),
        None => Reading::Notice(notice(text, line)),
    })
}

fn record(line: Line, outcome: outcome::Outcome, bottle: &str) -> LogRecord {
    let (host, port) = place::of(&line);
    let tunnel = line.url.is_empty();
    LogRecord {
        time: line.time,
        event: outcome.event,
        // pipelock numbers requests by a text, and no connections.
        connection: 0,
        bottle: bottle.to_owned(),
        client: line.client_ip,
        method: if tunnel { "CONNECT".to_owned() } else { method(line.method) },
        host,
        port,
        path: None,
        verdict: outcome.verdict,
        rule: None,
        origin: None,
        code: outcome.code,
        reason: outcome.reason,
        exchange: None,
        status: None,
        why: None,
        secrets: Vec::new(),
        bytes_up: 0,
        // Of a tunnel it counts both directions as one.
        bytes_down: if outcome.event == LogEvent::Close { line.total_bytes } else { line.size_bytes },
        duration_ms: line.duration_ms as u64,
    }
}

/// Returns a method as it is when it is a plain word; it could carry anything else.
fn method(text: String) -> String {
    let plain = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    if plain { text } else { "[unusual]".to_owned() }
}

fn notice(text: &[u8], line: Line) -> Notice {
    /// The keys of a notice that say nothing of a request.
    const KEPT: &[&str] =
        &["level", "component", "event", "listen", "mode", "version", "status", "time", "message"];
    let mut all: Map<String, Value> = serde_json::from_slice(text).unwrap_or_default();
    all.retain(|key, _| KEPT.contains(&key.as_str()));
    let to = place::host_and_port(&line.redirect_url, 0).0;
    let text = match line.message.is_empty() {
        _ if !to.is_empty() => format!("{}: {} to {to}", line.event, line.message),
        true => line.event,
        false => format!("{}: {}", line.event, line.message),
    };
    Notice { time: line.time, text, json: Value::Object(all).to_string() }
}

#[cfg(test)]
mod tests;
