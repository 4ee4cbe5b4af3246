//! What the log shows of an exchange: its status, and where the configuration asks for it the headers' names, and the values of those
//! few that say how it was spoken.
//!
//! Invariant: no credential, no cookie and no word of a body or query is shown. Of what is shown inspection has seen every word.

use std::sync::OnceLock;

use claude_bottle_egress_policy::{Exchange, MASKED, Scheme, Shown};
use hyper::{HeaderMap, StatusCode};

use super::state::Snapshot;
use crate::http::head::{RequestHead, Version};

/// Headers whose values are shown.
const SHOWN: [&str; 20] = [
    "accept",
    "accept-encoding",
    "accept-ranges",
    "age",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "expect",
    "expires",
    "host",
    "last-modified",
    "range",
    "retry-after",
    "transfer-encoding",
    "upgrade",
    "vary",
];

/// Headers of each side that are shown. An engine cuts lines of 16 KiB, and this keeps them well below.
const MOST: usize = 32;
/// Longest name that is shown, in bytes.
const MAX_NAME: usize = 48;
/// Longest value that is shown, in bytes.
const MAX_VALUE: usize = 96;

/// What is known of one exchange so far.
#[derive(Default)]
pub(super) struct Capture {
    sent: OnceLock<Sent>,
    answered: OnceLock<(u16, Vec<Shown>)>,
}

struct Sent {
    protocol: &'static str,
    https: bool,
    headers: Vec<Shown>,
    /// Whether more than a status is shown.
    is_shown: bool,
}

impl Capture {
    /// Notes the head of a request. Of one in which inspection found something no header is shown.
    pub(super) fn sent(
        &self,
        snapshot: &Snapshot,
        (head, scheme): (&RequestHead, Scheme),
        has_findings: bool,
    ) {
        let is_shown = snapshot.config.log.exchanges;
        let headers = head.headers.iter().map(|header| (header.name.as_str(), header.value.as_slice()));
        self.sent.get_or_init(|| Sent {
            protocol: protocol(head.version),
            https: scheme == Scheme::Https,
            headers: if is_shown && !has_findings { shown(snapshot, headers) } else { Vec::new() },
            is_shown,
        });
    }

    /// Notes the head of an answer as the client gets it.
    pub(super) fn answered(&self, snapshot: &Snapshot, status: StatusCode, headers: &HeaderMap) {
        let Some(sent) = self.sent.get() else { return };
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.answered.get_or_init(|| {
            (status.as_u16(), if sent.is_shown { shown(snapshot, headers) } else { Vec::new() })
        });
    }

    /// Notes the guard's own answer, unless another has begun.
    pub(super) fn refused(&self, status: u16, code: &str) {
        if self.sent.get().is_some() {
            self.answered.get_or_init(|| (status, vec![("x-egress-reason".to_owned(), code.to_owned())]));
        }
    }

    /// Returns the status of the answer.
    pub(super) fn status(&self) -> Option<u16> {
        self.answered.get().map(|(status, _)| *status)
    }

    /// Returns what is shown; `None` where nothing was asked for.
    pub(super) fn exchange(&self) -> Option<Box<Exchange>> {
        let sent = self.sent.get().filter(|sent| sent.is_shown)?;
        Some(Box::new(Exchange {
            protocol: sent.protocol.to_owned(),
            https: sent.https,
            request: sent.headers.clone(),
            response: self.answered.get().map(|(_, headers)| headers.clone()).unwrap_or_default(),
        }))
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

fn shown<'h>(snapshot: &Snapshot, headers: impl Iterator<Item = (&'h str, &'h [u8])>) -> Vec<Shown> {
    let is_clean = |text: &str| !snapshot.inspector.word(text, "header").any();
    let value = |name: &str, value: &[u8]| {
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_VALUE);
        let text = text.filter(|text| SHOWN.contains(&name) && is_clean(text));
        text.unwrap_or(MASKED).to_owned()
    };
    let is_name = |(name, _): &(&str, _)| name.len() <= MAX_NAME && is_clean(name);
    headers.filter(is_name).take(MOST).map(|(name, bytes)| (name.to_owned(), value(name, bytes))).collect()
}
