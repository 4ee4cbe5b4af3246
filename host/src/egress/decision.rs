//! A line of a run's decision log, whichever proxy wrote it.

use claude_bottle_egress_policy::LogRecord;

pub use super::pipelock::log::Notice;
use super::pipelock::log::{self, Reading};

/// A decision, and what else is to be known of the proxy behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The decision.
    pub record: LogRecord,
    /// Whether a rule may name a port.
    pub knows_ports: bool,
}

/// What a line of a run's log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A decision.
    Decision(Decision),
    /// A finding that stopped nothing, about a request that has a decision of its own.
    Remark(LogRecord),
    /// Something about the proxy itself.
    Notice(Notice),
}

/// Reads a line of a run's log; `None` when no proxy of ours wrote it.
pub fn line(text: &[u8], run: &str) -> Option<Line> {
    if let Ok(record) = serde_json::from_slice(text) {
        return Some(Line::Decision(Decision { record, knows_ports: true }));
    }
    Some(match log::read(text, run)? {
        Reading::Decision(record) => Line::Decision(Decision { record, knows_ports: false }),
        Reading::Remark(record) => Line::Remark(record),
        Reading::Notice(notice) => Line::Notice(notice),
    })
}

/// Reads a line of a run's log; `None` when it is not a decision.
pub fn read(text: &[u8], run: &str) -> Option<Decision> {
    match line(text, run)? {
        Line::Decision(decision) => Some(decision),
        Line::Remark(_) | Line::Notice(_) => None,
    }
}
