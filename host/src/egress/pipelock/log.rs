//! pipelock's log lines as decisions.
//!
//! <https://github.com/luckyPipewrench/pipelock/blob/v2.3.0/internal/audit/logger.go> has the events and their keys. Those that
//! are a decision about one request, or the end of a tunnel, are translated. Every other line is no decision and stays what it
//! is: nothing is guessed.

use claude_bottle_egress_policy::{Code, HostOrIp, LogEvent, LogRecord, Verdict};
use serde::Deserialize;

/// How much of a host that has no canonical form is kept, as the guard does.
const HOST_KEPT: usize = 128;

/// The keys of the events that are translated.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    component: String,
    time: String,
    event: String,
    method: String,
    url: String,
    target: String,
    client_ip: String,
    scanner: String,
    reason: String,
    error: String,
    action: String,
    patterns: Vec<String>,
    connect_host: String,
    sni_host: String,
    size_bytes: u64,
    total_bytes: u64,
    duration_ms: f64,
}

/// What became of a request.
struct Outcome {
    event: LogEvent,
    verdict: Verdict,
    code: String,
    reason: String,
}

/// Reads a line of a bottle's log; `None` when it is no decision.
pub(in crate::egress) fn read(line: &[u8], bottle: &str) -> Option<LogRecord> {
    let line: Line = serde_json::from_slice(line).ok()?;
    if line.component != "pipelock" {
        return None;
    }
    let outcome = outcome(&line)?;
    let (host, port) = place(&line);
    let tunnel = line.url.is_empty();
    Some(LogRecord {
        time: line.time,
        event: outcome.event,
        // pipelock numbers requests by a text, and no connections.
        connection: 0,
        bottle: bottle.to_owned(),
        client: line.client_ip,
        method: if tunnel { "CONNECT".to_owned() } else { line.method },
        host,
        port,
        verdict: outcome.verdict,
        rule: None,
        origin: None,
        code: outcome.code,
        reason: outcome.reason,
        bytes_up: 0,
        // Of a tunnel it counts both directions as one.
        bytes_down: line.size_bytes.max(line.total_bytes),
        duration_ms: line.duration_ms as u64,
    })
}

fn outcome(line: &Line) -> Option<Outcome> {
    let request = |verdict, code: &str, reason: String| Outcome {
        event: LogEvent::Request,
        verdict,
        code: code.to_owned(),
        reason,
    };
    let allowed = || request(Verdict::Allow, Code::Allowed.as_str(), "allowed by pipelock".to_owned());
    Some(match line.event.as_str() {
        "tunnel_open" | "forward_http" => allowed(),
        "tunnel_close" => Outcome { event: LogEvent::Close, ..allowed() },
        "blocked" => request(Verdict::Deny, &code(&line.scanner), line.reason.clone()),
        "body_dlp" | "header_dlp" if line.action == "block" => {
            request(Verdict::Deny, Code::DlpRule.as_str(), line.patterns.join(", "))
        }
        "sni_mismatch" => request(
            Verdict::Deny,
            Code::SniMismatch.as_str(),
            format!("the TLS server name is `{}`", line.sni_host),
        ),
        "error" => request(Verdict::Error, "pipelock_error", line.error.clone()),
        _ => return None,
    })
}

/// Returns the guard's code where it means the same, else one of pipelock's own.
fn code(scanner: &str) -> String {
    let same = match scanner {
        "allowlist" => Code::NotInAllowlist,
        "ssrf" | "core_ssrf" => Code::PrivateAddress,
        "dlp" | "core_dlp" | "body_dlp" | "header_dlp" => Code::DlpRule,
        _ => return format!("pipelock_{scanner}"),
    };
    same.as_str().to_owned()
}

/// Returns host and port; the port is 0 when the line does not say it.
fn place(line: &Line) -> (String, u16) {
    let (authority, usual) = match line.url.split_once("://") {
        Some((scheme, rest)) => (
            rest.split(['/', '?', '#']).next().unwrap_or_default(),
            if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 },
        ),
        None if line.target.is_empty() => (line.connect_host.as_str(), 0),
        None => (line.target.as_str(), 0),
    };
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        // Not the colon inside an IPv6 address.
        Some((host, port)) if !port.contains(']') && !host.is_empty() => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => (authority, 0),
        },
        _ => (authority, usual),
    };
    let host =
        HostOrIp::parse(host).map_or_else(|_| host.chars().take(HOST_KEPT).collect(), |h| h.to_string());
    (host, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As zerolog writes a line: its own keys first, the time and the message last.
    fn line(level: &str, fields: &str) -> String {
        format!(
            r#"{{"level":"{level}","component":"pipelock",{fields},"client_ip":"172.18.0.3","request_id":"req-7","time":"2026-01-02T03:04:05Z","message":"m"}}"#
        )
    }

    #[track_caller]
    fn check(level: &str, fields: &str, expected: &str) {
        let line = line(level, fields);
        let r = read(line.as_bytes(), "dev-1").unwrap_or_else(|| panic!("no decision: {line}"));
        let event = if r.event == LogEvent::Close { "close" } else { "request" };
        let verdict = serde_json::to_value(r.verdict).unwrap();
        let shown = format!(
            "{event} {} {}:{} {} {} | {} | {} {}",
            r.method,
            r.host,
            r.port,
            verdict.as_str().unwrap(),
            r.code,
            r.reason,
            r.bytes_down,
            r.duration_ms
        );
        assert_eq!(shown, expected);
        assert_eq!((r.time.as_str(), r.client.as_str()), ("2026-01-02T03:04:05Z", "172.18.0.3"));
        assert_eq!(r.bottle, "dev-1");
    }

    #[test]
    fn tunnels_and_requests_that_went_through() {
        check(
            "info",
            r#""event":"tunnel_open","target":"api.anthropic.com:443""#,
            "request CONNECT api.anthropic.com:443 allow allowed | allowed by pipelock | 0 0",
        );
        check(
            "info",
            r#""event":"tunnel_close","target":"api.anthropic.com:443","total_bytes":5120,"duration_ms":1250.5"#,
            "close CONNECT api.anthropic.com:443 allow allowed | allowed by pipelock | 5120 1250",
        );
        check(
            "info",
            r#""event":"forward_http","method":"GET","url":"http://Deb.example:8080/a?b=c","status_code":200,"size_bytes":42,"duration_ms":7"#,
            "request GET deb.example:8080 allow allowed | allowed by pipelock | 42 7",
        );
    }

    #[test]
    fn what_was_blocked_has_the_guards_code_where_it_means_the_same() {
        let blocked = |scanner: &str, reason: &str, code: &str| {
            check(
                "warn",
                &format!(
                    r#""event":"blocked","method":"CONNECT","target":"evil.test:443","scanner":"{scanner}","reason":"{reason}""#
                ),
                &format!("request CONNECT evil.test:443 deny {code} | {reason} | 0 0"),
            );
        };
        blocked("allowlist", "domain not in allowlist: evil.test", "not_in_allowlist");
        blocked("ssrf", "SSRF blocked: evil.test resolves to internal IP 10.0.0.1", "private_address");
        blocked("core_dlp", "DLP match: AWS Access Key (critical)", "dlp_rule");
        blocked("ratelimit", "rate limit exceeded for evil.test", "pipelock_ratelimit");
        blocked("blocklist", "domain blocked: evil.test matches evil.test", "pipelock_blocklist");
    }

    #[test]
    fn what_an_inspection_found_is_a_refusal_only_when_it_blocked() {
        let found = |action: &str| {
            format!(
                r#""event":"body_dlp","method":"POST","url":"http://a.test/x","action":"{action}","match_count":2,"patterns":["GitHub Token","JWT"]"#
            )
        };
        check("warn", &found("block"), "request POST a.test:80 deny dlp_rule | GitHub Token, JWT | 0 0");
        assert_eq!(read(line("warn", &found("warn")).as_bytes(), "b"), None);
        check(
            "warn",
            r#""event":"sni_mismatch","connect_host":"a.test","sni_host":"b.test","category":"mismatch""#,
            "request CONNECT a.test:0 deny sni_mismatch | the TLS server name is `b.test` | 0 0",
        );
        check(
            "error",
            r#""event":"error","method":"CONNECT","target":"[2001:db8::1]:443","error":"dial tcp: timeout""#,
            "request CONNECT [2001:db8::1]:443 error pipelock_error | dial tcp: timeout | 0 0",
        );
        // It hides a target that holds a secret.
        check(
            "warn",
            r#""event":"blocked","method":"CONNECT","target":"[redacted-url]","scanner":"dlp","reason":"DLP match""#,
            "request CONNECT [redacted-url]:0 deny dlp_rule | DLP match | 0 0",
        );
    }

    #[test]
    fn other_lines_are_no_decisions() {
        for fields in [
            r#""event":"startup","listen":"0.0.0.0:8888","mode":"strict","version":"2.3.0""#,
            r#""event":"anomaly","method":"CONNECT","target":"a.test:443","reason":"r","score":0.5"#,
            r#""event":"config_reload","status":"ok""#,
            r#""event":"an_event_of_tomorrow","target":"a.test:443""#,
            r#""event":"blocked","target":7"#,
        ] {
            assert_eq!(read(line("info", fields).as_bytes(), "b"), None, "{fields}");
        }
        assert_eq!(read(b"panic: something", "b"), None);
        assert_eq!(read(br#"{"event":"blocked","target":"a.test:443"}"#, "b"), None);
    }
}
