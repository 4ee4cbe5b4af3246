//! Lines as pipelock wrote them, built from the commit that `docs/testing.md` names; keys that are not read are left out.

use claude_bottle_egress_policy::Verdict;

use super::*;

/// As zerolog writes a line: its own keys first, the time and the message last.
fn line(level: &str, fields: &str) -> String {
    format!(
        r#"{{"level":"{level}","component":"pipelock",{fields},"client_ip":"172.18.0.3","request_id":"req-7","agent":"anonymous","time":"2026-01-02T03:04:05Z","message":"m"}}"#
    )
}

/// Returns a record as one text, after checking what is the same in all.
fn shown(record: &LogRecord) -> String {
    assert_eq!((record.time.as_str(), record.client.as_str()), ("2026-01-02T03:04:05Z", "172.18.0.3"));
    assert_eq!((record.bottle.as_str(), record.connection), ("dev-1", 0));
    let event = if record.event == LogEvent::Close { "close" } else { "request" };
    let verdict = serde_json::to_value(record.verdict).unwrap();
    format!(
        "{event} {} {}:{} {} {} | {} | {} {}",
        record.method,
        record.host,
        record.port,
        verdict.as_str().unwrap(),
        record.code,
        record.reason,
        record.bytes_down,
        record.duration_ms
    )
}

#[track_caller]
fn check(fields: &str, expected: &str) {
    let line = line("warn", fields);
    let Some(Reading::Decision(record)) = read(line.as_bytes(), "dev-1") else {
        panic!("no decision: {line}")
    };
    assert_eq!(shown(&record), expected);
}

#[track_caller]
fn check_remark(fields: &str, expected: &str) {
    let line = line("warn", fields);
    let Some(Reading::Remark(record)) = read(line.as_bytes(), "dev-1") else { panic!("no remark: {line}") };
    assert_eq!(record.verdict, Verdict::Warn);
    assert_eq!(shown(&record), expected);
}

#[track_caller]
fn check_notice(fields: &str, expected: &str) {
    let line = line("info", fields);
    let Some(Reading::Notice(notice)) = read(line.as_bytes(), "dev-1") else { panic!("no notice: {line}") };
    assert_eq!((notice.time.as_str(), notice.text.as_str()), ("2026-01-02T03:04:05Z", expected));
    assert!(serde_json::from_str::<Value>(&notice.json).is_ok_and(|json| json["event"].is_string()));
    assert!(!notice.json.contains("://") && !notice.json.contains("a.test"), "{}", notice.json);
}

#[test]
fn tunnels_and_requests_that_went_through() {
    check(
        r#""event":"tunnel_open","target":"api.anthropic.com:443""#,
        "request CONNECT api.anthropic.com:443 allow allowed | allowed by pipelock | 0 0",
    );
    check(
        r#""event":"tunnel_close","target":"api.anthropic.com:443","total_bytes":5120,"duration_ms":1250.5"#,
        "close CONNECT api.anthropic.com:443 allow allowed | allowed by pipelock | 5120 1250",
    );
    check(
        r#""event":"forward_http","method":"GET","url":"http://Deb.example:8080/a?b=c","status_code":200,"size_bytes":42,"duration_ms":7.004873"#,
        "request GET deb.example:8080 allow allowed | allowed by pipelock | 42 7",
    );
    // Its endpoint that fetches a page for the client. It writes the agent twice there.
    check(
        r#""agent":"anonymous","event":"allowed","method":"GET","url":"http://a.test/p","status_code":200,"size_bytes":5,"duration_ms":1.2"#,
        "request GET a.test:80 allow allowed | allowed by pipelock | 5 1",
    );
}

#[test]
fn what_was_blocked_has_the_guards_code_where_it_means_the_same() {
    let blocked = |scanner: &str, reason: &str, code: &str| {
        let fields = format!(
            r#""event":"blocked","method":"CONNECT","target":"evil.test:443","scanner":"{scanner}","reason":"{reason}","mitre_technique":"T1071.001""#
        );
        check(&fields, &format!("request CONNECT evil.test:443 deny {code} | {reason} | 0 0"));
    };
    blocked("allowlist", "domain not in allowlist: evil.test", "not_in_allowlist");
    blocked("ssrf", "SSRF blocked: evil.test resolves to internal IP 10.0.0.1", "private_address");
    blocked("core_ssrf", "core SSRF: 10.0.0.1 is a private/internal IP address", "private_address");
    blocked("core_dlp", "core DLP match: GitHub Token (critical)", "dlp_rule");
    blocked("dlp", "known secret leak detected", "dlp_secret");
    blocked("length", "URL length 70028 exceeds maximum 65536", "too_large");
    blocked("body_dlp", "request body exceeds max_body_bytes (5242880)", "too_large");
    blocked("ratelimit", "rate limit exceeded for evil.test", "pipelock_ratelimit");
    blocked("response_scan", "compressed response cannot be scanned", "pipelock_response_scan");
}

/// It says `ssrf` of a lookup that failed, too.
#[test]
fn a_name_without_an_address_is_not_a_private_one() {
    let failed = |cause: &str, code: &str| {
        let reason = format!(
            "SSRF check failed: DNS resolution error for a.test: lookup a.test on 10.0.0.53:53: {cause}"
        );
        let fields = format!(
            r#""event":"blocked","method":"GET","url":"http://a.test/","scanner":"ssrf","reason":"{reason}""#
        );
        check(&fields, &format!("request GET a.test:80 deny {code} | {reason} | 0 0"));
    };
    failed("no such host", "no_such_host");
    failed("server misbehaving", "resolve_failed");
    failed("read udp 10.0.0.2:4711->10.0.0.53:53: i/o timeout", "resolve_failed");
}

#[test]
fn a_compressed_body_has_its_own_code_and_the_reason() {
    check(
        r#""event":"blocked","method":"POST","url":"http://a.test/[redacted]","scanner":"body_dlp","reason":"request body uses Content-Encoding \"gzip\"; compressed bodies cannot be scanned for secrets""#,
        "request POST a.test:80 deny body_encoded | request body uses Content-Encoding \"gzip\"; compressed bodies cannot be scanned for secrets | 0 0",
    );
}

#[test]
fn what_an_inspection_found_is_a_refusal_only_when_it_blocked() {
    let found = |action: &str, patterns: &str| {
        format!(
            r#""event":"body_dlp","method":"POST","url":"http://a.test/x","action":"{action}","match_count":2,"patterns":[{patterns}]"#
        )
    };
    check(
        &found("block", r#""GitHub Token","JWT""#),
        "request POST a.test:80 deny dlp_rule | GitHub Token, JWT | 0 0",
    );
    check(
        &found("block", r#""Known Secret Leak""#),
        "request POST a.test:80 deny dlp_secret | Known Secret Leak | 0 0",
    );
    check_remark(
        &found("warn", r#""GitHub Token""#),
        "request POST a.test:80 warn dlp_rule | GitHub Token | 0 0",
    );
    check(
        r#""event":"header_dlp","method":"GET","url":"http://a.test/h","header":"Authorization","action":"block","patterns":["GitHub Token"]"#,
        "request GET a.test:80 deny dlp_rule | GitHub Token | 0 0",
    );
    check_remark(
        r#""event":"dlp_warn","mode":"warn","pattern":"Mine","severity":"low","transport":"forward","method":"GET","url":"http://a.test/h?x""#,
        "request GET a.test:80 warn dlp_rule | Mine | 0 0",
    );
    check_remark(
        r#""event":"response_scan","method":"GET","url":"http://a.test:8080/i?x","action":"warn","match_count":1,"patterns":["Prompt Injection"]"#,
        "request GET a.test:8080 warn pipelock_response_scan | Prompt Injection | 0 0",
    );
    check_remark(
        r#""event":"anomaly","method":"CONNECT","target":"a.test:443","reason":"r","score":0.5"#,
        "request CONNECT a.test:443 warn pipelock_anomaly | r | 0 0",
    );
}

#[test]
fn a_tunnel_is_ended_for_its_first_bytes() {
    let ended = |category: &str, sni: &str, expected: &str| {
        let fields = format!(
            r#""event":"sni_mismatch","connect_host":"a.test","sni_host":"{sni}","category":"{category}""#
        );
        check(&fields, &format!("request CONNECT a.test:0 deny {expected} | 0 0"));
    };
    ended("mismatch", "b.test", "sni_mismatch | the TLS server name is not the host of the tunnel");
    ended("malformed_tls", "", "not_tls | the tunnel began with a malformed TLS handshake");
    ended("timeout", "", "timeout | the client sent nothing for five seconds");
}

#[test]
fn a_failure_is_told_without_the_url() {
    check(
        r#""event":"error","method":"GET","url":"http://a.test:1/p?q=r","error":"Get \"http://a.test:1/p?q=r\": dial tcp 172.17.0.1:1: connect: connection refused""#,
        "request GET a.test:1 error connect_failed | dial tcp 172.17.0.1:1: connect: connection refused | 0 0",
    );
    check(
        r#""event":"error","method":"CONNECT","target":"[2001:db8::1]:443","error":"dial tcp: timeout""#,
        "request CONNECT [2001:db8::1]:443 error connect_failed | dial tcp: timeout | 0 0",
    );
    check(
        r#""event":"error","method":"GET","url":"http://a.test/","error":"Get \"http://a.test/\": EOF""#,
        "request GET a.test:80 error pipelock_error | EOF | 0 0",
    );
}

/// A secret may be a parameter's name, or a label below an allowed domain: both are in the line in full.
#[test]
fn a_finding_in_the_address_shows_no_piece_of_it() {
    check(
        r#""event":"blocked","method":"GET","url":"http://a.test/?x=y","scanner":"entropy","reason":"high entropy query key \"Zm9vYmFy\" (5.31 > 4.50 threshold)""#,
        "request GET a.test:80 deny pipelock_entropy | high entropy query key … (5.31 > 4.50 threshold) | 0 0",
    );
    check(
        r#""event":"blocked","method":"GET","url":"http://ghp-token.more.a.test/?t=ghp_x","scanner":"core_dlp","reason":"core DLP match: GitHub Token (critical)""#,
        "request GET *.a.test:80 deny dlp_rule | core DLP match: GitHub Token (critical) | 0 0",
    );
    check(
        r#""event":"blocked","method":"GET","url":"http://10.0.0.5:8080/?t=ghp_x","scanner":"core_dlp","reason":"core DLP match: GitHub Token (critical)""#,
        "request GET 10.0.0.5:8080 deny dlp_rule | core DLP match: GitHub Token (critical) | 0 0",
    );
    // It hides a target that holds a secret.
    check(
        r#""event":"blocked","method":"CONNECT","target":"[redacted-url]","scanner":"dlp","reason":"DLP match""#,
        "request CONNECT [redacted-url]:0 deny dlp_rule | DLP match | 0 0",
    );
}

/// It takes any token for a method.
#[test]
fn a_method_that_carries_something_is_not_shown() {
    check(
        r#""event":"blocked","method":"GHP_0123456789","url":"http://a.test/","scanner":"allowlist","reason":"r""#,
        "request [unusual] a.test:80 deny not_in_allowlist | r | 0 0",
    );
}

#[test]
fn lines_about_itself_are_notices_without_a_request() {
    check_notice(
        r#""event":"startup","listen":"0.0.0.0:8888","mode":"strict","version":"2.3.0""#,
        "startup: m",
    );
    check_notice(r#""event":"config_reload","status":"ok""#, "config_reload: m");
    check_notice(r#""event":"an_event_of_tomorrow","target":"a.test:443""#, "an_event_of_tomorrow: m");
    check_notice(
        r#""event":"redirect","original_url":"http://a.test/r?x=y","redirect_url":"http://b.test:81/?secret=1","hop":1"#,
        "redirect: m to b.test",
    );
    for other in [
        &b"panic: something"[..],
        br#"{"event":"blocked","target":"a.test:443"}"#,
        br#"{"component":"pipelock","target":7}"#,
    ] {
        assert_eq!(read(other, "b"), None);
    }
}
