//! Log lines on standard output, as pipelock's zerolog writes them.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_egress_policy::date_time;
use serde_json::{Map, Value};

/// Writes one event.
pub(crate) fn event(level: &str, name: &str, fields: &[(&str, Value)]) {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| drop(line.insert(key.to_owned(), value));
    put("level", level.into());
    put("component", "pipelock".into());
    put("event", name.into());
    fields.iter().for_each(|(key, value)| put(key, value.clone()));
    put("time", now().into());
    put("message", "stand-in".into());
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    // Nobody reads any more: the container is going.
    std::io::stdout().lock().write_all(text.as_bytes()).ok();
}

/// Returns the time as RFC 3339 in whole seconds.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{}Z", date_time(seconds))
}
