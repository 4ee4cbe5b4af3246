//! Hosts of opened tunnels that are not as they should be: each is an answer with its code inside, and none was told a secret.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;
use tokio_rustls::rustls::{ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::support::certificates::{Roots, read_server};
use crate::support::held::{HOLDER, HOSTS, VALUE, World, config, start};
use crate::support::inside::{ask, handshake};
use crate::support::{Answer, Guard, Upstream, open_tunnel, read_answer};

/// A fatal `protocol_version` alert, <https://www.rfc-editor.org/rfc/rfc8446#section-6>: what a server of TLS 1.1 says to a client of today.
const TOO_NEW: &[u8] = &[21, 3, 2, 0, 2, 2, 70];

/// The beginning of a ServerHello of TLS 1.0, which no client here has offered.
const OLD_HELLO: &[u8] = &[
    22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 47, 0,
];

/// Asks this host with the placeholder.
fn asked(upstream: &Upstream, roots: &str, protocols: &[&str]) -> (Answer, Guard) {
    let guard = start(&config(upstream.port, roots));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", upstream.port);
    let tunnel = open_tunnel(guard.address(), &authority);
    let mut inside = handshake(tunnel, (&ca, "own.test"), protocols).unwrap();
    let request =
        format!("GET /secret HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {HOLDER}\r\n\r\n");
    (ask(&mut inside, &request), guard)
}

#[test]
fn a_handshake_that_fails_in_any_way_is_an_answer_and_no_secret_was_sent() {
    let cases: [(&str, Vec<u8>); 4] = [
        ("a server of TLS 1.1", TOO_NEW.to_vec()),
        ("a server of TLS 1.0", OLD_HELLO.to_vec()),
        ("one that leaves", Vec::new()),
        ("one that is no server of TLS", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    for (name, answer) in cases {
        let (roots, upstream) = (Roots::new(), Upstream::once(answer));
        let (answer, guard) = asked(&upstream, &roots.pem, &[]);
        assert_eq!((answer.status, answer.code()), (502, "upstream_tls"), "{name}");
        assert!(!upstream.received().contains(VALUE) && !upstream.received().contains("/secret"), "{name}");
        guard.decision(
            &json!({ "code": "upstream_tls", "verdict": "error", "path": "/secret", "status": 502 }),
        );
    }
}

#[test]
fn a_host_without_a_protocol_in_common_is_an_answer() {
    let roots = Roots::new();
    let mut server = ServerConfig::clone(&roots.server("own.test"));
    server.alpn_protocols = vec![b"spdy/1".to_vec()];
    let upstream = Upstream::tls(Arc::new(server), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (answer, _guard) = asked(&upstream, &roots.pem, &["http/1.1"]);
    assert_eq!((answer.status, answer.code()), (502, "upstream_tls"));
    assert_eq!(upstream.received(), "");
}

#[test]
fn a_certificate_that_is_signed_by_sha_1_is_refused() {
    // openssl signs by what the libraries here no longer know. The same certificate by SHA-256 is taken.
    let dir = tempfile::tempdir().unwrap();
    let [key, chain] = ["key", "chain"].map(|name| dir.path().join(name));
    for (digest, expected) in [("-sha256", 200), ("-sha1", 502)] {
        let made = Command::new("openssl")
            .args(["req", "-x509", digest, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"])
            .args(["-days", "2", "-subj", "/CN=own.test", "-addext", "subjectAltName=DNS:own.test"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .args([key.as_path(), Path::new("-out"), &chain])
            .output()
            .expect("run openssl, which tests/setup installs");
        assert!(made.status.success(), "{made:?}");
        let [key, chain] = [&key, &chain].map(|file| std::fs::read_to_string(file).unwrap());
        let server = read_server(&chain, &key);
        let upstream = Upstream::tls(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let (answer, _guard) = asked(&upstream, &chain, &[]);
        assert_eq!(answer.status, expected, "{digest}: {answer:?}");
        assert_eq!(upstream.received().contains(VALUE), expected == 200, "{digest}");
        if expected == 502 {
            assert_eq!(answer.code(), "upstream_certificate");
        }
    }
}

#[test]
fn a_hundred_certificates_make_no_host_trusted_and_cost_no_secret() {
    let (roots, stranger) = (Roots::new(), Roots::new());
    // Of a trusted authority the host is what it says, whatever it shows besides; of another, nothing makes it so.
    for (made_by, expected) in [(&roots, 200), (&stranger, 502)] {
        let server = made_by.server_with_chain("own.test", 100);
        let upstream = Upstream::tls(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let (answer, _guard) = asked(&upstream, &roots.pem, &[]);
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(upstream.received().contains(VALUE), expected == 200);
        if expected == 502 {
            assert_eq!(answer.code(), "upstream_certificate");
        }
    }
}

#[test]
fn a_host_that_asks_for_a_certificate_fails_where_it_is_opened_and_works_where_it_is_not() {
    let roots = Roots::new();
    let (server, certificate, key) = roots.mutual("own.test");
    let upstream = Upstream::tls(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let (answer, guard) = asked(&upstream, &roots.pem, &[]);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(["upstream_tls", "upstream_failed"].contains(&answer.code()), "{answer:?}");
    assert!(!upstream.received().contains(VALUE));
    drop(guard);

    let mut config = config(upstream.port, &roots.pem);
    config["policy"]["passthrough"] = json!(HOSTS);
    config["policy"]["secrets"] = json!([]);
    let guard = start(&config);
    let authority = format!("own.test:{}", upstream.port);
    let mut trusted = RootCertStore::empty();
    let pem = tokio_rustls::rustls::pki_types::pem::PemObject::from_pem_slice(roots.pem.as_bytes()).unwrap();
    trusted.add(pem).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let client = tokio_rustls::rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let connection = ClientConnection::new(Arc::new(client), "own.test".try_into().unwrap()).unwrap();
    let mut inside = StreamOwned::new(connection, open_tunnel(guard.address(), &authority));
    write!(inside, "GET /mutual HTTP/1.1\r\nHost: {authority}\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut inside).status, 200);
}

#[test]
fn lines_of_json_arrive_as_they_are_written() {
    // The second line is written when the first has been read; a guard that waits for more would wait for ever.
    let (go_on, next) = std::sync::mpsc::channel();
    let answer = |_: &str| {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_vec();
        vec![[head.as_slice(), b"8\r\n{\"a\":1}\n\r\n"].concat(), b"8\r\n{\"a\":2}\n\r\n0\r\n\r\n".to_vec()]
    };
    let world = World::with(answer, Some(next), |_| ());
    let mut inside = world.inside("own.test");
    inside.write_all(world.request("own.test", "GET /lines", ("", "")).as_bytes()).unwrap();
    let mut read = Vec::new();
    let mut until = |wanted: &[u8]| {
        while !read.windows(wanted.len()).any(|window| window == wanted) {
            let mut byte = [0];
            std::io::Read::read_exact(&mut inside, &mut byte).unwrap();
            read.push(byte[0]);
        }
    };
    until(b"{\"a\":1}");
    go_on.send(()).unwrap();
    until(b"{\"a\":2}");
}
