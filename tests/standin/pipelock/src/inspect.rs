//! What is refused for its content, in pipelock's words: the secrets it was told, as they are, and what it cannot look into.

use serde_json::{Value, json};

use crate::serve::Rules;

/// A finding: the event, its fields, and what the client is told.
pub(crate) struct Finding {
    pub(crate) event: &'static str,
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) said: String,
    /// Whether the line has the host alone.
    pub(crate) redacted: bool,
}

/// Looks at a request's URL, headers and body.
pub(crate) fn request(rules: &Rules, url: &str, headers: &[&str], body: &[u8]) -> Option<Finding> {
    if url.len() > rules.config.fetch_proxy.monitoring.max_url_length {
        let most = rules.config.fetch_proxy.monitoring.max_url_length;
        return Some(blocked("length", &format!("URL length {} exceeds maximum {most}", url.len()), false));
    }
    // Of pipelock's built-in patterns this one alone. What they find in a URL is not redacted in its line.
    if url.contains("ghp_") {
        return Some(blocked("core_dlp", "core DLP match: GitHub Token (critical)", false));
    }
    if rules.in_text(url) {
        return Some(blocked("dlp", "known secret leak detected", true));
    }
    let value = |name: &str| {
        let headers = headers.iter().filter_map(|header| header.split_once(':'));
        headers.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    if let Some(encoding) = value("content-encoding") {
        let reason = format!(
            "request body uses Content-Encoding \"{encoding}\"; compressed bodies cannot be scanned for secrets"
        );
        return Some(blocked("body_dlp", &reason, true));
    }
    if let Some(header) = headers.iter().find(|header| rules.in_text(header)) {
        let name = header.split(':').next().unwrap_or_default();
        return Some(matched("header_dlp", ("header", json!(name)), "request header"));
    }
    rules
        .in_text(&String::from_utf8_lossy(body))
        .then(|| matched("body_dlp", ("match_count", json!(1)), "request body"))
}

/// Returns the fields of the line about an answer that tells its reader to forget all instructions; it goes through.
pub(crate) fn answer(text: &str) -> Option<Vec<(&'static str, Value)>> {
    text.contains("Ignore all previous instructions").then(|| {
        vec![("action", json!("warn")), ("match_count", json!(1)), ("patterns", json!(["Prompt Injection"]))]
    })
}

fn blocked(scanner: &str, reason: &str, redacted: bool) -> Finding {
    let fields = vec![("scanner", json!(scanner)), ("reason", json!(reason))];
    Finding { event: "blocked", fields, said: format!("blocked: {reason}\n"), redacted }
}

fn matched(event: &'static str, more: (&'static str, Value), place: &str) -> Finding {
    let fields = vec![("action", json!("block")), more, ("patterns", json!(["Known Secret Leak"]))];
    Finding { event, fields, said: format!("blocked: {place} contains secret\n"), redacted: false }
}
