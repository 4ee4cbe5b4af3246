//! Log lines on standard output, as pipelock's zerolog writes them.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

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
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>, for days after 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
