//! An authority is good for its bottle's hosts, and for nothing else, in the eyes of a client that reads its constraints.

use claude_bottle_egress_policy::{Intercept, Rule};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::tls::roots;

/// Every host that a rule allows is opened, since another rule is about its requests.
fn policy(rules: &[&str]) -> Policy {
    let deny = |text: &&str| {
        let allowed = !text.starts_with("deny");
        allowed.then(|| Rule::parse(&format!("deny PUT {}/never", text.rsplit(' ').next().unwrap()), ""))
    };
    let narrow = rules.iter().filter_map(deny).flatten();
    let rules = rules.iter().map(|text| Rule::parse(text, "").unwrap()).chain(narrow).collect();
    Policy { rules, intercept: Intercept::Needed, ..Policy::default() }
}

/// Every host is opened but these.
fn all(rules: &[&str], passthrough: &[&str]) -> Policy {
    Policy {
        rules: rules.iter().map(|text| Rule::parse(text, "").unwrap()).collect(),
        intercept: Intercept::All,
        passthrough: passthrough.iter().map(|text| HostPattern::parse(text).unwrap()).collect(),
        ..Policy::default()
    }
}

/// Whether a client that trusts one authority takes what the other shows for a host.
fn is_trusted(trusted: &Authority, shown: &Authority, host: &str) -> bool {
    let parsed = HostOrIp::parse(host).unwrap();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).unwrap();
    let mut client = ClientConnection::new(roots::client(trusted.pem()).unwrap(), name).unwrap();
    let mut server = ServerConnection::new(shown.server(&parsed, b"http/1.1").unwrap()).unwrap();
    let mut bytes = Vec::new();
    while client.is_handshaking() {
        bytes.clear();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
        }
        if client.process_new_packets().is_err() {
            return false;
        }
    }
    true
}

#[test]
fn the_hosts_of_a_bottle_are_trusted_there_and_no_others() {
    let names = policy(&["a.example", "*.b.example", "deny c.example"]);
    let authority = Authority::new("dev", &names).unwrap();
    for host in ["a.example", "x.b.example", "y.x.b.example"] {
        assert!(is_trusted(&authority, &authority, host), "{host}");
    }
    for host in ["c.example", "evil.example", "10.0.0.1", "[::1]"] {
        assert!(!is_trusted(&authority, &authority, host), "{host}");
    }
    let other = Authority::new("dev", &names).unwrap();
    assert_ne!(authority.fingerprint(), other.fingerprint());
    assert!(!is_trusted(&other, &authority, "a.example"));
}

#[test]
fn addresses_are_trusted_one_by_one() {
    let authority = Authority::new("dev", &policy(&["10.0.0.1:443", "[2001:db8::1]:443"])).unwrap();
    for host in ["10.0.0.1", "[2001:db8::1]"] {
        assert!(is_trusted(&authority, &authority, host), "{host}");
    }
    for host in ["10.0.0.2", "[2001:db8::2]", "a.example"] {
        assert!(!is_trusted(&authority, &authority, host), "{host}");
    }
}

#[test]
fn a_host_that_was_not_allowed_at_the_start_is_outside() {
    let authority = Authority::new("dev", &policy(&["a.example", "GET *.b.example:8443/x"])).unwrap();
    assert_eq!(authority.outside(&policy(&["a.example:8080", "*.b.example", "deny z.example"])), None);
    assert_eq!(authority.outside(&policy(&["a.example", "z.example"])).as_deref(), Some("z.example"));
}

#[test]
fn where_every_host_is_opened_one_that_is_allowed_later_is_inside_and_a_closed_one_is_not() {
    let start = all(&["a.example", "*.b.example"], &["pin.example", "*.pinned.example", "192.0.2.1"]);
    let authority = Authority::new("dev", &start).unwrap();
    for host in ["a.example", "later.example", "10.0.0.1"] {
        assert!(is_trusted(&authority, &authority, host), "{host}");
    }
    for host in ["pin.example", "x.pin.example", "pinned.example", "x.pinned.example", "192.0.2.1"] {
        assert!(!is_trusted(&authority, &authority, host), "{host}");
    }
    assert_eq!(authority.outside(&all(&["later.example", "*.example.org"], &["pin.example"])), None);
    let opened = all(&["pin.example"], &[]);
    assert_eq!(authority.outside(&opened).as_deref(), Some("pin.example"));
    let below = all(&["*.pin.example"], &["pin.example"]);
    assert_eq!(authority.outside(&below).as_deref(), Some("*.pin.example"));
    assert_eq!(authority.outside(&start), None);
}

#[test]
fn a_closed_host_above_an_opened_one_does_not_close_it() {
    let start = all(&["*.example.org", "example.net"], &["pin.example.org", "*.example.net"]);
    let authority = Authority::new("dev", &start).unwrap();
    for host in ["x.pin.example.org", "y.example.org", "example.net"] {
        assert!(is_trusted(&authority, &authority, host), "{host}");
    }
    assert_eq!(authority.outside(&start), None);
}

#[test]
fn the_name_of_a_bottle_fits_whatever_its_length() {
    let authority = Authority::new(&"x".repeat(200), &policy(&["a.example"])).unwrap();
    assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(authority.fingerprint().len(), 64);
    assert!(is_trusted(&authority, &authority, "a.example"));
}
