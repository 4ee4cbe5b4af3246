//! Decision logs, and what is told of them.

use super::*;

fn line(event: &str, method: &str, host: &str, port: u16, verdict: &str, code: &str) -> String {
    format!(
        r#"{{"time":"2026-01-02T03:04:05.678Z","event":"{event}","connection":1,"bottle":"b","client":"unix",
        "method":"{method}","host":"{host}","port":{port},"verdict":"{verdict}","code":"{code}","reason":"r",
        "bytes_up":0,"bytes_down":0,"duration_ms":1,"more":true}}"#
    )
    .replace('\n', "")
        + "\n"
}

fn sum(lines: &[String]) -> Summary {
    let mut counter = Counter::default();
    counter.take(lines.concat().as_bytes()).unwrap();
    counter.finish()
}

#[test]
fn the_most_frequent_is_first_and_each_request_counts_once() {
    let lines = [
        line("request", "CONNECT", "api.test", 443, "allow", "allowed"),
        line("close", "CONNECT", "api.test", 443, "allow", "allowed"),
        line("request", "CONNECT", "b.test", 443, "deny", "not_in_allowlist"),
        line("request", "GET", "a.test", 80, "deny", "not_in_allowlist"),
        line("request", "CONNECT", "a.test", 22, "deny", "port_not_allowed"),
        line("request", "CONNECT", "a.test", 22, "deny", "port_not_allowed"),
        line("close", "CONNECT", "api.test", 443, "deny", "sni_mismatch"),
        "not json\n".to_owned(),
    ];
    let summary = sum(&lines);
    assert_eq!((summary.allowed, summary.blocked), (1, 5));
    let text = "5 requests blocked
    2  a.test:22     port_not_allowed
    1  a.test:80     not_in_allowlist
    1  api.test:443  sni_mismatch
    1  b.test:443    not_in_allowlist";
    assert_eq!(summary.text().unwrap(), text);
    assert_eq!(summary.rules(), ["a.test:22", "a.test", "b.test"]);
}

#[test]
fn what_the_agents_program_asks_for_by_itself_is_counted_apart() {
    let own = ["statsig.anthropic.com", "http-intake.logs.us5.datadoghq.com"];
    let denied = |host| line("request", "CONNECT", host, 443, "deny", "not_in_allowlist");
    let summary = sum(&own.map(denied));
    assert_eq!((summary.own, summary.blocked, summary.text(), summary.rules()), (2, 0, None, Vec::new()));
    // What an agent may want itself is told, and so is what was allowed.
    let summary = sum(&[denied("github.com"), line("request", "CONNECT", own[0], 443, "allow", "allowed")]);
    assert_eq!((summary.own, summary.blocked, summary.allowed), (0, 1, 1));
}

#[test]
fn only_a_host_that_a_rule_would_let_through_is_offered() {
    let check = |host: &str, port, code: &str, rule: Option<&str>| {
        let summary = sum(&[line("request", "CONNECT", host, port, "deny", code)]);
        assert_eq!(summary.rules(), rule.into_iter().collect::<Vec<_>>(), "{host} {code}");
    };
    check("a.test", 443, "not_in_allowlist", Some("a.test"));
    check("a.test", 8443, "not_in_allowlist", Some("a.test:8443"));
    check("[2001:db8::1]", 22, "ip_literal", Some("[2001:db8::1]:22"));
    check("a.test", 443, "denied_by_rule", None);
    check("a.test", 443, "dlp_secret", None);
    check("a.test", 443, "a_code_of_tomorrow", None);
    check("not a host", 443, "not_in_allowlist", None);
    check("", 0, "not_in_allowlist", None);
    // A name that was asked for.
    check("a.test", 0, "not_in_allowlist", Some("a.test"));
}

#[test]
fn what_pipelock_refused_is_offered_without_a_port() {
    let blocked = |target: &str, scanner: &str| {
        format!(
            r#"{{"level":"warn","component":"pipelock","event":"blocked","method":"CONNECT","target":"{target}","scanner":"{scanner}","reason":"r","time":"2026-01-02T03:04:05Z"}}"#
        ) + "\n"
    };
    // It was let through, and has a line of its own that says so.
    let remark = r#"{"component":"pipelock","event":"response_scan","method":"GET","url":"http://c.test/","action":"warn","patterns":["p"],"time":"2026-01-02T03:04:05Z"}"#;
    let remark = format!("{remark}\n");
    let summary = sum(&[blocked("a.test:8443", "allowlist"), blocked("b.test:443", "ssrf"), remark]);
    assert_eq!(summary.allowed, 0);
    assert_eq!(summary.blocked, 2);
    assert_eq!(summary.rules(), ["a.test"]);
    let text =
        "2 requests blocked\n    1  a.test:8443  not_in_allowlist\n    1  b.test:443   private_address";
    assert_eq!(summary.text().unwrap(), text);
}

#[test]
fn many_hosts_are_counted_and_few_named() {
    let lines: Vec<_> = (0..8)
        .map(|n| line("request", "CONNECT", &format!("h{n}.test"), 443, "deny", "not_in_allowlist"))
        .collect();
    let text = sum(&lines).text().unwrap();
    assert!(text.starts_with("8 requests blocked\n") && text.ends_with("and 3 more"), "{text}");
}

#[test]
fn what_failed_is_told_apart_from_what_was_refused() {
    let summary = sum(&[
        line("request", "CONNECT", "api.test", 443, "error", "resolve_failed"),
        line("request", "CONNECT", "api.test", 443, "error", "resolve_failed"),
        line("close", "CONNECT", "b.test", 443, "error", "timeout"),
    ]);
    assert_eq!((summary.allowed, summary.blocked, summary.failed), (0, 0, 2));
    assert_eq!(summary.text(), None);
    let text = "2 allowed requests failed\n    2  api.test:443  resolve_failed";
    assert_eq!(summary.failed_text().unwrap(), text);
}

/// As on a backend whose guard has a directory of its own for its log.
#[test]
fn a_log_behind_a_link_has_its_other_files_there_and_what_they_lost_counts() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("egress/egress.jsonl", dir.path().join(LOG_FILE)).unwrap();
    std::fs::create_dir(dir.path().join("egress")).unwrap();
    let denied = line("request", "GET", "b.test", 80, "deny", "not_in_allowlist");
    let log = log(dir.path());
    for _ in 0..3 {
        std::fs::write(&log, &denied).unwrap();
        rotation::rotate(&log).unwrap();
    }
    std::fs::write(&log, line("request", "GET", "a.test", 80, "allow", "allowed")).unwrap();
    let summary = read(dir.path()).unwrap();
    assert_eq!((summary.allowed, summary.blocked, summary.dropped.lines), (1, 3, 2));
    let text = summary.text().unwrap();
    assert!(text.starts_with("3 requests blocked, of which the log still has 1\n"), "{text}");
    assert!(summary.dropped_text().unwrap().starts_with("2 older lines"));
    assert_eq!(
        Summary { dropped: Tally { unknown: 1, ..summary.dropped }, ..summary }.number(3),
        "at least 3"
    );
}

#[test]
fn a_run_without_a_log_or_refusals_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), Summary::default());
    assert_eq!(Summary::default().text(), None);
    let allowed = line("request", "GET", "a.test", 80, "allow", "allowed");
    let denied = line("request", "GET", "b.test", 80, "deny", "not_in_allowlist");
    std::fs::write(dir.path().join("egress.jsonl.1"), denied).unwrap();
    std::fs::write(dir.path().join("egress.jsonl"), allowed).unwrap();
    let summary = read(dir.path()).unwrap();
    assert_eq!((summary.allowed, summary.blocked), (1, 1));
}

#[test]
fn what_was_asked_for_most_is_first_and_each_rule_is_there_once() {
    let target = |count, host: &str, port, code: &str| {
        let (host, code) = (host.to_owned(), code.to_owned());
        Target { count, host, port, tunnel: true, code, knows_ports: true }
    };
    let rules = rules(&[
        target(2, "b.test", 443, "not_in_allowlist"),
        // The name alone, and then its port of TLS.
        target(3, "a.test", 0, "not_in_allowlist"),
        target(1, "a.test", 443, "not_in_allowlist"),
        target(9, "denied.test", 443, "denied_by_rule"),
        target(1, "c.test", 8443, "port_not_allowed"),
        target(1, "[2001:db8::1]", 443, "ip_literal"),
    ]);
    let rules: Vec<_> = rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
    assert_eq!(rules, [("a.test", 4), ("b.test", 2), ("[2001:db8::1]", 1), ("c.test:8443", 1)]);
}

#[test]
fn clients_that_left_at_the_sight_of_the_certificate_are_named_with_their_host() {
    let left = |host| line("close", "CONNECT", host, 443, "error", "client_distrusts");
    let opened = |host| line("request", "CONNECT", host, 443, "allow", "allowed");
    let summary = sum(&[opened("b.test"), left("b.test"), left("a.test"), left("b.test")]);
    assert_eq!((summary.blocked, summary.text(), summary.failed_text()), (0, None, None));
    let text = "3 clients left at the sight of the bottle's certificate
    2  b.test:443  client_distrusts
    1  a.test:443  client_distrusts";
    assert_eq!(summary.distrusted_text().unwrap(), text);
    assert_eq!(summary.distrusted_hosts(), ["a.test", "b.test"]);
    assert_eq!(sum(&[opened("b.test")]).distrusted_text(), None);
}

#[test]
fn who_left_a_host_that_serves_others_and_said_nothing_is_not_named() {
    let left = |host| line("close", "CONNECT", host, 443, "error", "client_left");
    let opened = |host| line("request", "CONNECT", host, 443, "allow", "allowed");
    let served = |host| line("request", "GET", host, 443, "allow", "allowed");
    let tunnels = [opened("a.test"), left("a.test"), opened("b.test"), left("b.test")];
    assert_eq!(sum(&tunnels).distrusted_hosts(), ["a.test", "b.test"]);
    assert_eq!(sum(&[&tunnels[..], &[served("a.test")]].concat()).distrusted_hosts(), ["b.test"]);
    let said = line("close", "CONNECT", "a.test", 443, "error", "client_distrusts");
    assert_eq!(sum(&[said, served("a.test")]).distrusted_hosts(), ["a.test"]);
}
