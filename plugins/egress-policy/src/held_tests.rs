//! Secrets that the guard holds: what is read, what is refused, and where they go.

use super::*;
use crate::{ConfigError, GuardConfig, Intercept, Rule};

const HOLDER: &str = "placeholder-for-TOKEN-abcdefgh";

fn config(intercept: &str, secrets: &str) -> Result<GuardConfig, ConfigError> {
    GuardConfig::from_yaml(&format!(
        "version: 1\nbottle: dev\nlisten: 0.0.0.0:8888\nroots: some\ntls_ports: [8443]\n\
         policy:\n  intercept: {intercept}\n  passthrough: [pinned.example]\n  secrets:\n{secrets}"
    ))
}

fn secret(rest: &str) -> String {
    format!("  - {{name: TOKEN, placeholder: {HOLDER}, {rest}}}\n")
}

fn refused(secrets: &str) -> String {
    let error = config("all", secrets).expect_err(secrets);
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn goes_there_and_back() {
    let secrets = secret(
        "hosts: [api.example, '*.b.example:8443'], places: [bearer, 'header: X-Api-Key', 'query: key'], \
         always: true, only: true, requests: ['GET,HEAD', POST /v1/**, /x], plain_http: true",
    );
    let first = config("all", &secrets).unwrap();
    let text = first.to_yaml().unwrap();
    assert_eq!(GuardConfig::from_yaml(&text).unwrap(), first, "{text}");
    let written = serde_json::to_value(&first.policy.secrets[0]).unwrap();
    assert_eq!(written["hosts"], serde_json::json!(["api.example", "*.b.example:8443"]));
    assert_eq!(written["places"], serde_json::json!(["bearer", "header: x-api-key", "query: key"]));
    assert_eq!(written["requests"], serde_json::json!(["GET,HEAD", "POST /v1/**", "/x"]));
    // What is not said is off, and a secret's value has no key.
    let plain = config("all", &secret("hosts: [a.example], places: [basic]")).unwrap();
    let written = serde_json::to_value(&plain.policy.secrets[0]).unwrap();
    assert_eq!(written.as_object().unwrap().len(), 4, "{written}");
    let valued = refused(&secret("hosts: [a.example], places: [basic], value: hunter2"));
    assert!(valued.contains("unknown field `value`"), "{valued}");
}

#[test]
fn wrong_secrets_are_refused_by_name() {
    let ok = "hosts: [a.example], places: [bearer]";
    let named =
        |name: &str, placeholder: &str| format!("  - {{name: {name}, placeholder: {placeholder}, {ok}}}\n");
    let long = "x".repeat(257);
    for (secrets, part) in [
        (secret("hosts: [], places: [bearer]"), "secret `TOKEN`: no host"),
        (secret("hosts: [a.example], places: []"), "secret `TOKEN`: no place"),
        (secret("hosts: [a.example], places: [cookie]"), "`cookie` is not a place"),
        (secret("hosts: [a.example], places: ['header: Host']"), "not a header for a credential"),
        (secret("hosts: [a.example], places: [basic], always: true"), "`always`"),
        (secret("hosts: ['*.com'], places: [bearer]"), "top-level domain"),
        (secret("hosts: ['https://a.example'], places: [bearer]"), "a.example"),
        (secret("hosts: [a.example], places: [bearer], requests: [get]"), "`get` is not a method"),
        (secret("hosts: [a.example], places: [bearer], requests: ['']"), "blank"),
        (secret("hosts: [pinned.example], places: [bearer]"), "tunnels to `pinned.example`"),
        (secret("hosts: ['a.example:8080'], places: [bearer]"), "tunnels to `a.example:8080`"),
        (named("''", HOLDER), "not a valid name"),
        (named("TOKEN", "short"), "placeholder"),
        (named("TOKEN", "'with a blank in it'"), "placeholder"),
        (named("TOKEN", &long), "placeholder"),
        (format!("{}{}", named("A", HOLDER), named("B", HOLDER)), "placeholder of another"),
        (format!("{}{}", named("A", HOLDER), named("B", &format!("x-{HOLDER}"))), "placeholder of another"),
        (format!("{}{}", named("A", HOLDER), named("A", "another-placeholder")), "placeholder of another"),
    ] {
        let message = refused(&secrets);
        assert!(message.contains(part), "{secrets}\n{message}");
    }
    // One secret may have other places at other hosts.
    config("all", &format!("{}{}", named("A", HOLDER), named("A", HOLDER))).unwrap();
}

#[test]
fn a_secret_needs_tunnels_that_are_opened() {
    let tls = secret("hosts: [a.example], places: [bearer]");
    let error = config("none", &tls).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("`a.example`"));
    config("none", &secret("hosts: ['a.example:80'], places: [bearer], plain_http: true")).unwrap();
    let policy = config("needed", &tls).unwrap().policy;
    let opens = |policy: &Policy, host: &str| policy.opens(&HostOrIp::parse(host).unwrap());
    assert!(opens(&policy, "a.example") && !opens(&policy, "b.example"));
    let plain = secret("hosts: ['a.example:80'], places: [bearer], plain_http: true");
    assert!(!opens(&config("needed", &plain).unwrap().policy, "a.example"));
}

#[test]
fn a_secret_is_for_its_places_and_requests() {
    let hosts = "hosts: [a.example, '*.b.example:8443'], places: [bearer]";
    let policy = config("all", &secret(&format!("{hosts}, requests: [GET, POST /v1/*]"))).unwrap().policy;
    let check = |host: &str, port: u16, scheme: Scheme, expected: bool| {
        let host = HostOrIp::parse(host).unwrap();
        assert_eq!(policy.held_for(&host, port, scheme).count() == 1, expected, "{host}:{port} {scheme:?}");
    };
    check("a.example", 443, Scheme::Https, true);
    check("a.example", 80, Scheme::Http, true);
    check("a.example", 8443, Scheme::Https, false);
    check("a.example", 443, Scheme::Http, false);
    check("x.a.example", 443, Scheme::Https, false);
    check("x.b.example", 8443, Scheme::Https, true);
    check("x.b.example", 443, Scheme::Https, false);
    check("b.example", 8443, Scheme::Https, false);
    let put = |method, target| policy.secrets[0].is_put_into(Asked { method, target });
    assert!(put("GET", "/x//..") && put("POST", "/v1/a?b"));
    for (method, target) in [("POST", "/v1/a/b"), ("POST", "/v1/../v1/a"), ("get", "/"), ("PUT", "/v1/a")] {
        assert!(!put(method, target), "{method} {target}");
    }
}

#[test]
fn a_policy_with_other_secrets_is_another_policy() {
    let policy = |secrets: &str| config("all", secrets).unwrap().policy;
    let one = policy(&secret("hosts: [a.example], places: [bearer]"));
    let two = policy(&secret("hosts: [b.example], places: [bearer]"));
    assert_eq!(one.change_to(&two).as_deref(), Some("secrets that are put in changed"));
    assert_eq!(one.intercept, Intercept::All);
    assert_eq!(one.rules, Vec::<Rule>::new());
}
