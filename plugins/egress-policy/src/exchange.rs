//! What the log shows of a request and its answer besides the decision, where that is asked for.

use serde::{Deserialize, Serialize};

/// What stands for a value that is not shown.
pub const MASKED: &str = "***";

/// A request and its answer: how they were spoken, and their headers. Bodies and queries are never here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The protocol, such as `HTTP/1.1`.
    pub protocol: String,
    /// Whether it was within TLS.
    pub https: bool,
    /// Headers of the request as the client sent them, the first of them; none where inspection found something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub request: Vec<Shown>,
    /// Headers of the answer as the client got them, the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response: Vec<Shown>,
}

/// A header: its name, and its value or [`MASKED`].
pub type Shown = (String, String);
