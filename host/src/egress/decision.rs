//! A line of a run's decision log, whichever proxy wrote it.

use claude_bottle_egress_policy::LogRecord;

use super::pipelock;

/// A decision, and what else is to be known of the proxy behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The decision.
    pub record: LogRecord,
    /// Whether a rule may name a port.
    pub knows_ports: bool,
}

/// Reads a line of a run's log; `None` when it is no decision.
pub fn read(line: &[u8], run: &str) -> Option<Decision> {
    if let Ok(record) = serde_json::from_slice(line) {
        return Some(Decision { record, knows_ports: true });
    }
    let record = pipelock::log::read(line, run)?;
    Some(Decision { record, knows_ports: false })
}
