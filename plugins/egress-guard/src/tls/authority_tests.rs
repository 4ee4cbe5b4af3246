//! An authority is good for its bottle's hosts, and for nothing else, in the eyes of a client that reads its constraints.

use claude_bottle_egress_policy::{Intercept, Rule};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::tls::roots;

fn policy(rules: &[&str]) -> Policy {
    let rules = rules.iter().map(|text| Rule::parse(text, "").unwrap()).collect();
    Policy { rules, intercept: Intercept::All, ..Policy::default() }
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
fn the_name_of_a_bottle_fits_whatever_its_length() {
    let authority = Authority::new(&"x".repeat(200), &policy(&["a.example"])).unwrap();
    assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(authority.fingerprint().len(), 64);
    assert!(is_trusted(&authority, &authority, "a.example"));
}
