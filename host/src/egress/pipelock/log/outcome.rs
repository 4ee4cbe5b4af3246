//! What became of a request, by the event and the scanner that pipelock names.

use claude_bottle_egress_policy::{Code, LogEvent, Verdict};

use super::Line;

/// What became of a request.
pub(super) struct Outcome {
    pub(super) event: LogEvent,
    pub(super) verdict: Verdict,
    pub(super) code: String,
    pub(super) reason: String,
    /// `false` for a finding that changed nothing about the request.
    pub(super) stops_or_passes: bool,
}

impl Outcome {
    fn new(verdict: Verdict, code: impl Into<String>, reason: impl Into<String>) -> Self {
        let (event, code, reason) = (LogEvent::Request, code.into(), reason.into());
        Self { event, verdict, code, reason, stops_or_passes: verdict != Verdict::Warn }
    }
}

/// Reads an event; `None` for one that is not about a request.
pub(super) fn outcome(line: &Line) -> Option<Outcome> {
    let allowed = || Outcome::new(Verdict::Allow, Code::Allowed.as_str(), "allowed by pipelock");
    Some(match (line.event.as_str(), line.action.as_str()) {
        // `allowed` is a request to its own endpoint that fetches a page.
        ("tunnel_open" | "forward_http" | "allowed", _) => allowed(),
        ("tunnel_close", _) => Outcome { event: LogEvent::Close, ..allowed() },
        ("blocked", _) => blocked(line),
        ("body_dlp" | "header_dlp", "block") => Outcome::new(Verdict::Deny, finding(line), found(line)),
        ("sni_mismatch", _) => first_bytes(line),
        ("error", _) => failed(line),
        ("body_dlp" | "header_dlp" | "dlp_warn" | "response_scan" | "anomaly", _) => {
            Outcome::new(Verdict::Warn, finding(line), found(line))
        }
        _ => return None,
    })
}

/// Returns `true` if what was refused may be a part of the host's name.
pub(super) fn found_in_address(line: &Line) -> bool {
    line.event == "blocked"
        && matches!(line.scanner.as_str(), "dlp" | "core_dlp" | "entropy" | "subdomain_entropy")
}

/// A refusal: the guard's code where it means the same, else one of pipelock's own.
fn blocked(line: &Line) -> Outcome {
    let reason = unquoted(&line.reason, found_in_address(line));
    let code = match line.scanner.as_str() {
        "allowlist" => Code::NotInAllowlist,
        // A lookup that failed comes from the scanner of private addresses as well.
        "ssrf" | "core_ssrf" => match line.reason.as_str() {
            text if !text.contains("DNS resolution error") => Code::PrivateAddress,
            text if text.contains("no such host") => Code::NoSuchHost,
            _ => Code::ResolveFailed,
        },
        "body_dlp" if line.reason.contains("compressed bodies") => Code::BodyEncoded,
        "body_dlp" if line.reason.contains("exceeds max_body_bytes") => Code::TooLarge,
        "dlp" | "core_dlp" | "body_dlp" | "header_dlp" if is_own_secret(&line.reason) => Code::DlpSecret,
        "dlp" | "core_dlp" | "body_dlp" | "header_dlp" => Code::DlpRule,
        "length" => Code::TooLarge,
        other => return Outcome::new(Verdict::Deny, format!("pipelock_{other}"), reason),
    };
    Outcome::new(Verdict::Deny, code.as_str(), reason)
}

/// The code of a finding that lists the patterns it is of.
fn finding(line: &Line) -> String {
    let code = match line.event.as_str() {
        "body_dlp" | "header_dlp" if line.patterns.iter().any(|name| is_own_secret(name)) => Code::DlpSecret,
        "body_dlp" | "header_dlp" | "dlp_warn" => Code::DlpRule,
        other => return format!("pipelock_{other}"),
    };
    code.as_str().to_owned()
}

fn found(line: &Line) -> String {
    match (line.patterns.is_empty(), line.pattern.as_str()) {
        (false, _) => line.patterns.join(", "),
        (true, "") => unquoted(&line.reason, true),
        (true, pattern) => pattern.to_owned(),
    }
}

/// As it names a match of the list of secrets that it was given.
fn is_own_secret(text: &str) -> bool {
    text.to_ascii_lowercase().contains("known secret leak")
}

/// A tunnel that was ended for its first bytes, of which it waits five seconds for some.
fn first_bytes(line: &Line) -> Outcome {
    let (code, reason) = match line.category.as_str() {
        "timeout" => (Code::Timeout, "the client sent nothing for five seconds"),
        "malformed_tls" => (Code::NotTls, "the tunnel began with a malformed TLS handshake"),
        _ => (Code::SniMismatch, "the TLS server name is not the host of the tunnel"),
    };
    Outcome::new(Verdict::Deny, code.as_str(), reason)
}

/// A request that was allowed and failed. Go's HTTP client puts its whole URL before the cause.
fn failed(line: &Line) -> Outcome {
    let cause = match line.error.split_once("\": ") {
        Some((start, cause)) if start.contains(" \"") => cause,
        _ => &line.error,
    };
    let code = if cause.starts_with("dial ") { Code::ConnectFailed.as_str() } else { "pipelock_error" };
    Outcome::new(Verdict::Error, code, cause)
}

/// Takes quoted text out of a reason when it may be a piece of the request: a parameter's name, a label of the host.
fn unquoted(reason: &str, quotes_requests: bool) -> String {
    if !quotes_requests {
        return reason.to_owned();
    }
    let parts = reason.split('"').enumerate();
    parts.map(|(n, part)| if n % 2 == 0 { part } else { "…" }).collect()
}
