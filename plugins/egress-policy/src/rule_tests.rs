//! What is a rule and what is not, and which places and requests it is about.

use super::*;
use crate::error::HostError;

fn check(text: &str, expected: &str) {
    let got = match Rule::parse(text, "test") {
        Ok(rule) => rule.to_string(),
        Err(error) => error.with_cause(),
    };
    assert_eq!(got, expected, "{text:?}");
}

#[test]
fn reads_every_form() {
    check("example.org", "example.org");
    check("  Example.ORG ", "example.org");
    check("*.Example.org:8443", "*.example.org:8443");
    check("deny  *.com", "deny *.com");
    check("DENY example.org:22", "deny example.org:22");
    check("10.1.2.3:22", "10.1.2.3:22");
    check("[::1]:80", "[::1]:80");
    check("GET,HEAD a.example:80/releases/**", "GET,HEAD a.example:80/releases/**");
    check("POST,GET\t a.example", "GET,POST a.example");
    check("deny POST GitHub.com/**/git-receive-pack", "deny POST github.com/**/git-receive-pack");
    check("*.a.example/%7Eu/*/x", "*.a.example/~u/*/x");
    check("[::1]/a%20b/", "[::1]/a%20b/");
    check("a.example/", "a.example/");
}

#[test]
fn says_what_is_wrong() {
    check("", "the rule is blank");
    check(" \t ", "the rule is blank");
    check("deny", "the rule is blank");
    check("deny ", "the rule is blank");
    check("*", "rule `*`: a wildcard is written `*.domain` and stands for every name below the domain");
    check(
        "a.*.b",
        "rule `a.*.b`: a wildcard is written `*.domain` and stands for every name below the domain",
    );
    check("*.com", "rule `*.com`: a wildcard over a whole top-level domain allows too much; name the domain");
    check(
        "https://a.example/x",
        "rule `https://a.example/x`: a rule has no scheme: it is `host` or `*.domain`, with `:port` and `/path` if need be",
    );
    check("a.example:0", "rule `a.example:0`: the port is not a plain number from 1 to 65535");
    check("a b", "rule `a b`: the host name contains the character ' '");
    check("a\u{1b}[2J", "rule `a\\u{1b}[2J`: the host name contains the character '\\u{1b}'");
    check(
        "127.1",
        "rule `127.1`: the host name is an IP address in an unusual notation; write four plain decimal numbers",
    );
    check("*.", "rule `*.`: the host name is empty");
    check("/x", "rule `/x`: the host name is empty");
    check("GET /x", "rule `GET /x`: the host name is empty");
    check("a.example/a?b", "rule `a.example/a?b`: the path has a query or a fragment");
    check("a.example/..", "rule `a.example/..`: the path has a `.` or `..` segment");
    check(
        "deny PSOT a.example/x",
        "rule `deny PSOT a.example/x`: `PSOT` is not a method of HTTP; write methods in capitals, with commas between them",
    );
    check("WS a.example", "rule `WS a.example`: `WS` is kept for WebSockets, which no rule can name yet");
    check("get a.example", "rule `get a.example`: the host name contains the character ' '");
}

#[test]
fn ports_follow_the_scheme() {
    let cases = [
        ("a.example", 443, Scheme::Connect, true),
        ("a.example", 80, Scheme::Connect, false),
        ("a.example", 22, Scheme::Connect, false),
        ("a.example", 80, Scheme::Http, true),
        ("a.example", 443, Scheme::Http, false),
        ("a.example:443", 443, Scheme::Connect, true),
        ("a.example:443", 443, Scheme::Http, false),
        ("a.example:443", 80, Scheme::Http, false),
        ("a.example:80", 80, Scheme::Http, true),
        ("a.example:80", 80, Scheme::Connect, false),
        ("a.example:8080", 8080, Scheme::Connect, true),
        ("a.example:8080", 8080, Scheme::Http, true),
        ("a.example:8080", 443, Scheme::Connect, false),
        ("deny a.example", 22, Scheme::Connect, true),
        ("deny a.example:22", 22, Scheme::Connect, true),
        ("deny a.example:22", 443, Scheme::Connect, false),
    ];
    for (text, port, scheme, expected) in cases {
        let rule = Rule::parse(text, "test").unwrap();
        assert_eq!(rule.matches_port(port, scheme), expected, "{text} {port} {scheme:?}");
    }
}

#[test]
fn patterns_match_names_not_apexes() {
    let pattern = HostPattern::parse("*.example.org").unwrap();
    let matches = |text| pattern.matches(&HostOrIp::parse(text).unwrap());
    assert!(matches("a.example.org"));
    assert!(matches("a.b.example.org"));
    assert!(!matches("example.org"));
    assert!(!matches("evil-example.org"));
    assert!(!matches("10.0.0.1"));
}

#[test]
fn a_host_error_is_kept_as_source() {
    let error = Rule::parse("a%00.example", "test").unwrap_err();
    let RuleError::Host { source, .. } = error else { panic!("{error}") };
    assert_eq!(source, HostError::ForbiddenCharacter { character: '%' });
}

#[test]
fn a_rule_about_some_requests_is_narrow() {
    let tls = |port| port == 443;
    for (text, narrow, about_tls) in [
        ("a.example", false, false),
        ("GET a.example", true, true),
        ("a.example/", true, true),
        ("deny POST a.example:443/x", true, true),
        ("GET a.example:80", true, false),
        ("a.example:8080/x", true, false),
    ] {
        let rule = Rule::parse(text, "test").unwrap();
        assert_eq!((rule.is_narrow(), rule.is_about_tls(tls)), (narrow, about_tls), "{text}");
    }
}

proptest::proptest! {
    /// The text of a rule reads as an equal rule, and nothing makes the parser panic.
    #[test]
    fn a_rule_goes_there_and_back(text in "(deny )?((GET|POST|PUT)(,GET)? )?(\\*\\.)?[a-c.]{1,9}(:[0-9]{1,5})?(/[a-c*%2.;/]{0,9})?") {
        if let Ok(rule) = Rule::parse(&text, "test") {
            proptest::prop_assert_eq!(Rule::parse(&rule.to_string(), "test"), Ok(rule));
        }
    }

    #[test]
    fn any_text_is_a_rule_or_an_error(text in "\\PC{0,40}") {
        if let Ok(rule) = Rule::parse(&text, "") {
            proptest::prop_assert_eq!(Rule::parse(&rule.to_string(), ""), Ok(rule));
        }
    }
}
