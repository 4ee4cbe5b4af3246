//! How much may cross at once, kept by both sides: neither can make the other hold what it cannot.

use crate::{Event, Failure, FailureKind, LogRecord, Result};

/// The most bytes of a payload, an answer or a failure.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// The most bytes of an event or a log record.
pub const MAX_EVENT: usize = 64 << 10;

/// What a text is cut to that has to fit into an event, whatever JSON makes of its characters.
const CUT: usize = 8 << 10;

/// Returns a text that may cross, or the failure that says what is too large.
pub(super) fn fitting(text: String, what: &str) -> Result<String> {
    check(&text, what).map(|()| text)
}

/// Fails on a text that may not cross.
pub(super) fn check(text: &str, what: &str) -> Result<()> {
    if text.len() <= MAX_PAYLOAD {
        return Ok(());
    }
    let message = format!("{what} has {} bytes, and the contract allows {MAX_PAYLOAD}", text.len());
    Err(Failure::new(FailureKind::Invalid, message))
}

/// Writes an event; one that is too large loses the end of its message.
pub(super) fn event_text(event: &Event) -> Option<String> {
    let text = serde_json::to_string(event).ok()?;
    if text.len() <= MAX_EVENT {
        return Some(text);
    }
    let mut short = event.clone();
    if let Some(message) = &mut short.message {
        cut(message);
    }
    serde_json::to_string(&short).ok().filter(|text| text.len() <= MAX_EVENT)
}

/// Writes a log record; one that is too large loses its fields, its spans and the end of its message.
pub(super) fn record_text(record: &LogRecord) -> Option<String> {
    let text = serde_json::to_string(record).ok()?;
    if text.len() <= MAX_EVENT {
        return Some(text);
    }
    let mut short = LogRecord::new(record.level, record.target.clone(), record.message.clone());
    cut(&mut short.message);
    serde_json::to_string(&short).ok().filter(|text| text.len() <= MAX_EVENT)
}

/// Writes a failure; one that is too large keeps its kind and the beginning of its message.
pub(super) fn failure_text(failure: &Failure) -> String {
    match serde_json::to_string(failure) {
        Ok(text) if text.len() <= MAX_PAYLOAD => text,
        _ => {
            let mut short = Failure::new(failure.kind, failure.message.clone());
            cut(&mut short.message);
            serde_json::to_string(&short).unwrap_or(short.message)
        }
    }
}

/// Cuts a text at a character.
fn cut(text: &mut String) {
    if text.len() > CUT {
        text.truncate(text.floor_char_boundary(CUT));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventState, LogLevel};

    #[test]
    fn what_is_too_large_is_cut_or_refused_and_says_so() {
        let large = "\u{1}é".repeat(MAX_EVENT);
        let event = Event::new("build", EventState::Output).message(&large);
        let text = event_text(&event).unwrap();
        let read: Event = serde_json::from_str(&text).unwrap();
        assert!(text.len() <= MAX_EVENT && read.message.unwrap().ends_with('…'));
        assert_eq!(event_text(&Event::new(large.clone(), EventState::Output)), None);
        let record = record_text(&LogRecord::new(LogLevel::Info, "t", &large)).unwrap();
        assert!(record.len() <= MAX_EVENT);
        let failure = Failure::new(FailureKind::Denied, "x".repeat(MAX_PAYLOAD + 1));
        let read: Failure = serde_json::from_str(&failure_text(&failure)).unwrap();
        assert!(read.kind == FailureKind::Denied && read.message.len() < 2 * CUT);
        assert!(check(&"x".repeat(MAX_PAYLOAD), "it").is_ok());
        let refused = fitting("x".repeat(MAX_PAYLOAD + 1), "the plan").unwrap_err();
        assert_eq!(refused.message, "the plan has 16777217 bytes, and the contract allows 16777216");
    }

    #[test]
    fn what_fits_crosses_as_it_is() {
        let event = Event::new("build", EventState::Output).message("line");
        assert_eq!(event_text(&event), serde_json::to_string(&event).ok());
        let failure = Failure::new(FailureKind::Denied, "m").hint("h");
        assert_eq!(serde_json::from_str::<Failure>(&failure_text(&failure)).unwrap(), failure);
    }
}
