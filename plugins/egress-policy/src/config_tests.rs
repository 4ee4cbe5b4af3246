//! The configuration document: what it looks like, and what it refuses.

use super::*;
use crate::{DEFAULT_ORIGIN, DlpAction, DlpKind, Rule};

const MINIMAL: &str = "version: 1\nbottle: dev\nlisten: 0.0.0.0:8888\n";

fn refused(text: &str) -> String {
    let error = GuardConfig::from_yaml(text).expect_err(text);
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn the_minimal_document_allows_nothing() {
    let config = GuardConfig::from_yaml(MINIMAL).unwrap();
    assert!(config.policy.rules.is_empty());
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.dlp.secrets, DlpAction::Block);
    assert!(config.log.stdout);
}

#[test]
fn port_443_is_tls_only_whatever_else_is() {
    let mut config = GuardConfig::from_yaml(MINIMAL).unwrap();
    assert!(config.is_tls_only(443) && !config.is_tls_only(8443));
    config.tls_ports = vec![8443];
    assert!(config.is_tls_only(443) && config.is_tls_only(8443) && !config.is_tls_only(22));
}

#[test]
fn goes_there_and_back() {
    let rules = vec![Rule::parse("api.anthropic.com", DEFAULT_ORIGIN).unwrap()];
    let mut policy = Policy { rules, ..Policy::default() };
    policy.rules.push(Rule::parse("deny *.evil.example", "bottle dev, claude-bottle.yaml:12").unwrap());
    policy.hosts.insert(
        "git.example".parse().unwrap(),
        vec!["10.0.0.5".parse().unwrap(), "2001:db8::5".parse().unwrap()],
    );
    policy.private.push(crate::PrivateGrant {
        host: "git.example".parse().unwrap(),
        range: "10.0.0.0/24".parse().unwrap(),
    });
    let mut config = GuardConfig::new("dev", Listen::Unix("/run/guard.sock".into()), policy);
    config.dlp.secrets_file = Some("/run/secrets.json".into());
    config.dlp.also = DlpKind::ALL.map(|(_, kind)| kind).to_vec();
    config.resolver = Some("127.0.0.1:5353".parse().unwrap());
    let text = config.to_yaml().unwrap();
    assert_eq!(GuardConfig::from_yaml(&text).unwrap(), config, "{text}");
    let json = config.to_json().unwrap();
    assert!(!json.contains('\n'), "{json}");
    assert_eq!(GuardConfig::from_yaml(&json).unwrap(), config, "{json}");
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    for extra in [
        "allow: []",
        "policy: {allow: []}",
        "limits: {max: 1}",
        "dlp: {action: block}",
        "log: {path: /x}",
        "policy: {rules: [{rule: a.example, comment: x}]}",
        "policy: {private: [{host: a.example, range: 10.0.0.0/8, x: 1}]}",
    ] {
        let message = refused(&format!("{MINIMAL}{extra}\n"));
        assert!(message.contains("unknown field"), "{extra}: {message}");
    }
    assert!(refused("version: 1\nversion: 1\nbottle: a\nlisten: 0.0.0.0:1").contains("duplicate field"));
}

#[test]
fn wrong_values_are_refused() {
    for (text, part) in [
        ("version: 2\nbottle: a\nlisten: 0.0.0.0:1".to_owned(), "version `2`"),
        ("version: 1\nbottle: a".to_owned(), "missing field `listen`"),
        ("version: 1\nbottle: a\nlisten: nowhere".to_owned(), "neither"),
        ("version: 1\nbottle: a\nlisten: unix:relative".to_owned(), "no absolute path"),
        (format!("{MINIMAL}limits: {{max_connections: 0}}"), "`max_connections` must be at least 1"),
        (format!("{MINIMAL}limits: {{idle_timeout_seconds: 0}}"), "`idle_timeout_seconds`"),
        (format!("{MINIMAL}dlp: {{secrets_file: /a, secrets_env: B}}"), "both given"),
        (format!("{MINIMAL}dlp: {{secrets: off}}"), "unknown variant"),
        (format!("{MINIMAL}dlp: {{also: [passports]}}"), "unknown variant"),
        (format!("{MINIMAL}policy: {{hosts: {{a.example: []}}}}"), "has no address"),
        (format!("{MINIMAL}policy: {{hosts: {{a.example: [0.0.0.0]}}}}"), "can never be dialled"),
        (
            format!("{MINIMAL}policy: {{private: [{{host: a.example, range: 0.0.0.0/0}}]}}"),
            "covers every address",
        ),
        (
            format!("{MINIMAL}policy: {{private: [{{host: a.example, range: 10.0.0.1/8}}]}}"),
            "beyond its prefix",
        ),
        (format!("{MINIMAL}policy: {{private: [{{host: '*.example', range: 10.0.0.0/8}}]}}"), "'*'"),
        (format!("{MINIMAL}policy: {{rules: [{{rule: 'a..b'}}]}}"), "empty label"),
        (format!("{MINIMAL}---\n{MINIMAL}"), "more than one document"),
    ] {
        let message = refused(&text);
        assert!(message.contains(part), "{text}\n{message}");
    }
}

#[test]
fn every_kind_is_named_as_it_is_read() {
    for (name, kind) in DlpKind::ALL {
        let config = GuardConfig::from_yaml(&format!("{MINIMAL}dlp: {{also: [{name}]}}")).unwrap();
        assert_eq!(config.dlp.also, [kind]);
    }
}
