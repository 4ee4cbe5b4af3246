//! Decisions and address vetting, table first.

use super::*;
use crate::DEFAULT_ORIGIN;

fn policy(rules: &[&str]) -> Policy {
    Policy {
        rules: rules.iter().map(|text| Rule::parse(text, "test").unwrap()).collect(),
        ..Policy::default()
    }
}

fn decide(policy: &Policy, authority: &str, scheme: Scheme) -> (Code, Option<String>) {
    let (host, port) = crate::parse_authority(authority, None).unwrap();
    let decision = policy.decide(&host, port, scheme);
    assert_eq!(decision.is_allowed(), decision.code == Code::Allowed);
    (decision.code, decision.rule)
}

fn check(rules: &[&str], authority: &str, scheme: Scheme, code: Code, rule: Option<&str>) {
    assert_eq!(
        decide(&policy(rules), authority, scheme),
        (code, rule.map(str::to_owned)),
        "{rules:?} {authority}"
    );
}

#[test]
fn the_empty_policy_denies_all() {
    for authority in ["a.example:443", "api.anthropic.com:443", "localhost:80"] {
        check(&[], authority, Scheme::Connect, Code::NotInAllowlist, None);
        check(&[], authority, Scheme::Http, Code::NotInAllowlist, None);
    }
    check(&[], "127.0.0.1:443", Scheme::Connect, Code::IpLiteral, None);
}

#[test]
fn rules_decide() {
    use Scheme::{Connect, Http};
    let rules = [
        "a.example",
        "*.b.example",
        "c.example:22",
        "deny x.b.example",
        "deny a.example:8443",
        "198.51.100.1:22",
    ];
    let cases = [
        ("a.example:443", Connect, Code::Allowed, Some("a.example")),
        ("a.example:80", Http, Code::Allowed, Some("a.example")),
        ("a.example:22", Connect, Code::PortNotAllowed, Some("a.example")),
        ("a.example:25", Connect, Code::PortNotAllowed, Some("a.example")),
        ("a.example:3306", Http, Code::PortNotAllowed, Some("a.example")),
        ("a.example:8443", Connect, Code::DeniedByRule, Some("deny a.example:8443")),
        ("b.example:443", Connect, Code::NotInAllowlist, None),
        ("y.b.example:443", Connect, Code::Allowed, Some("*.b.example")),
        ("z.y.b.example:443", Connect, Code::Allowed, Some("*.b.example")),
        ("x.b.example:443", Connect, Code::DeniedByRule, Some("deny x.b.example")),
        ("c.example:22", Connect, Code::Allowed, Some("c.example:22")),
        ("c.example:443", Connect, Code::PortNotAllowed, Some("c.example:22")),
        ("198.51.100.1:22", Connect, Code::Allowed, Some("198.51.100.1:22")),
        ("198.51.100.2:22", Connect, Code::IpLiteral, None),
        ("nota.example:443", Connect, Code::NotInAllowlist, None),
        ("a.example.evil.example:443", Connect, Code::NotInAllowlist, None),
    ];
    for (authority, scheme, code, rule) in cases {
        check(&rules, authority, scheme, code, rule);
    }
}

#[test]
fn deny_wins_in_any_order() {
    for rules in [["a.example", "deny *.example"], ["deny *.example", "a.example"]] {
        check(&rules, "a.example:443", Scheme::Connect, Code::DeniedByRule, Some("deny *.example"));
    }
}

#[test]
fn a_decision_names_its_origin() {
    let rules = vec![Rule::parse("sentry.io", DEFAULT_ORIGIN).unwrap()];
    let policy = Policy { rules, ..Policy::default() };
    let host = HostOrIp::parse("sentry.io").unwrap();
    assert_eq!(policy.decide(&host, 443, Scheme::Connect).origin.as_deref(), Some("default"));
}

fn vet(policy: &Policy, host: &str, addresses: &[&str]) -> Result<usize, Code> {
    let host = HostOrIp::parse(host).unwrap();
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    vet_addresses(&host, &addresses, policy).map(|vetted| vetted.len()).map_err(|refusal| refusal.code())
}

#[test]
fn vets_addresses() {
    let mut policy = policy(&["a.example"]);
    policy.private.push(PrivateGrant {
        host: HostOrIp::parse("db.example").unwrap(),
        range: "10.1.0.0/16".parse().unwrap(),
    });
    let cases: &[(&str, &[&str], Result<usize, Code>)] = &[
        ("a.example", &["1.1.1.1", "2606:4700::1111"], Ok(2)),
        ("a.example", &[], Err(Code::NoSuchHost)),
        ("a.example", &["127.0.0.1"], Err(Code::PrivateAddress)),
        ("a.example", &["10.1.0.1"], Err(Code::PrivateAddress)),
        ("a.example", &["::ffff:1.1.1.1"], Err(Code::PrivateAddress)),
        ("a.example", &["1.1.1.1", "10.1.0.1"], Err(Code::MixedAddresses)),
        ("a.example", &["169.254.169.254", "1.1.1.1"], Err(Code::MixedAddresses)),
        ("db.example", &["10.1.0.1", "10.1.2.3"], Ok(2)),
        ("db.example", &["10.2.0.1"], Err(Code::PrivateAddress)),
        ("db.example", &["10.1.0.1", "10.2.0.1"], Err(Code::MixedAddresses)),
        ("db.example", &["10.1.0.1", "1.1.1.1"], Err(Code::MixedAddresses)),
        ("db.example", &["::ffff:10.1.0.1"], Err(Code::PrivateAddress)),
        ("db.example", &["1.1.1.1"], Ok(1)),
    ];
    for (host, addresses, expected) in cases {
        assert_eq!(vet(&policy, host, addresses), *expected, "{host} {addresses:?}");
    }
}

#[test]
fn a_refusal_text_never_holds_the_address() {
    let host = HostOrIp::parse("a.example").unwrap();
    let refusal = vet_addresses(&host, &["10.9.8.7".parse().unwrap()], &Policy::default()).unwrap_err();
    assert!(!refusal.to_string().contains("10.9.8.7"));
}

#[test]
fn missing_null_and_empty_rules_are_the_empty_policy() {
    for text in
        ["{}", "rules:", "rules: null", "rules: ~", "rules: []", "{rules: null, hosts: null, private: null}"]
    {
        assert_eq!(serde_yaml::from_str::<Policy>(text).unwrap(), Policy::default(), "{text}");
    }
    for text in [
        "rules: ['']",
        "rules: [{rule: ''}]",
        "rules: [{rule: ' '}]",
        "rules: [null]",
        "rules: '*'",
        "rules: [{rule: '*'}]",
        "allow: []",
    ] {
        assert!(serde_yaml::from_str::<Policy>(text).is_err(), "{text}");
    }
}

#[test]
fn the_ports_of_a_host_are_those_at_which_something_is_allowed() {
    let check = |rules: &[&str], host: &str, expected: Result<&[u16], Code>| {
        let ports = policy(rules).ports(&HostOrIp::parse(host).unwrap());
        let ports = ports.as_deref().map_err(|refusal| refusal.code);
        assert_eq!(ports, expected, "{rules:?} {host}");
    };
    check(&["a.example"], "a.example", Ok(&[80, 443]));
    check(&["*.a.example:8443", "x.a.example:22"], "x.a.example", Ok(&[22, 8443]));
    check(&["a.example:443", "deny a.example:8080", "a.example:8080"], "a.example", Ok(&[443]));
    check(&["a.example", "deny a.example"], "a.example", Err(Code::DeniedByRule));
    check(&["deny *.example"], "a.example", Err(Code::DeniedByRule));
    check(&["b.example"], "a.example", Err(Code::NotInAllowlist));
    check(&[], "a.example", Err(Code::NotInAllowlist));
    let many: Vec<String> = (1..=40).map(|port| format!("a.example:{port}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(policy(&many).ports(&HostOrIp::parse("a.example").unwrap()).unwrap().len(), MOST_PORTS);
}
