//! Every second spelling of an allowed host, and every spelling of a forbidden one, in all three places a host has.

use serde_json::json;

use crate::support::{Dns, Guard, Upstream, get, send};

struct Scene {
    guard: Guard,
    dns: Dns,
    upstream: Upstream,
}

/// `ok.test` is allowed on the upstream's port and leads there; nothing else is allowed.
fn scene() -> Scene {
    let upstream = Upstream::ok();
    let dns = Dns::start(&[("ok.test", &[&["127.0.0.1"]]), ("evil.test", &[&["127.0.0.1"]])]);
    let guard = Guard::start(&json!({
        "resolver": dns.address.to_string(),
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
            "private": [{ "host": "ok.test", "range": "127.0.0.0/8" }],
        },
    }));
    Scene { guard, dns, upstream }
}

impl Scene {
    /// Neither a lookup nor a connection may come of any of these.
    fn refuses(&self, request: &[u8]) {
        let before = self.upstream.connections();
        let answer = send(self.guard.address(), request);
        let shown = request.escape_ascii();
        assert!(matches!(answer.status, 400 | 403), "{shown}: {answer:?}");
        assert_ne!(answer.code(), "", "{shown}");
        assert_eq!(self.upstream.connections(), before, "{shown} reached the upstream");
        assert_eq!(self.dns.questions(), Vec::<String>::new(), "{shown} was looked up");
    }
}

/// Hosts that look like the allowed one, or like its neighbour, to one parser or another.
pub(crate) fn odd_hosts() -> Vec<Vec<u8>> {
    let mut hosts: Vec<Vec<u8>> = Vec::new();
    for glue in [
        "\0", "%00", "%0d%0a", "\t", "%20", "%09", "\x7f", "\x0b", "\\", "@", ":", ";", ",", "#", "?", "|",
        "%2e", "\u{200b}",
    ] {
        hosts.push(format!("ok.test{glue}.evil.test").into_bytes());
        hosts.push(format!("evil.test{glue}.ok.test").into_bytes());
        hosts.push(format!("evil.test{glue}ok.test").into_bytes());
    }
    for host in [
        "ok.test.",
        "ok.test..",
        ".ok.test",
        "ok..test",
        "ok%2etest",
        "%6fk.test",
        "user@ok.test",
        "user:pass@ok.test",
        "ok.test@evil.test",
        "[ok.test]",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "[fe80::1%25eth0]",
        "[::]",
        "::1",
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "1.2.3.4.5",
        "169.254.169.254",
        "0xa9fea9fe",
        "ok.test.evil.test",
        "evilok.test",
        "xn--ok-test",
        "*.test",
        "*",
        "localhost",
        "-ok.test",
        "",
    ] {
        hosts.push(host.as_bytes().to_vec());
    }
    hosts.push("оk.test".as_bytes().to_vec());
    hosts.push("ok。test".as_bytes().to_vec());
    hosts.push("ｏk.test".as_bytes().to_vec());
    hosts.push(b"ok\xff.test".to_vec());
    hosts.push(b"ok.test\r\nHost: ok.test".to_vec());
    hosts.push([&vec![b'a'; 300][..], b".test"].concat());
    hosts
}

#[test]
fn odd_hosts_are_refused_in_connect() {
    let scene = scene();
    let port = scene.upstream.port.to_string();
    for host in odd_hosts() {
        scene.refuses(&[b"CONNECT ", &host[..], b":", port.as_bytes(), b" HTTP/1.1\r\n\r\n"].concat());
    }
}

#[test]
fn odd_hosts_are_refused_in_absolute_form() {
    let scene = scene();
    let port = scene.upstream.port.to_string();
    for host in odd_hosts() {
        // What ends the authority there is part of the path, and the host in front of it is the allowed one.
        if host.starts_with(b"ok.test?") || host.is_empty() && port.is_empty() {
            continue;
        }
        let request = [
            b"GET http://",
            &host[..],
            b":",
            port.as_bytes(),
            b"/ HTTP/1.1\r\nHost: ",
            &host[..],
            b"\r\n\r\n",
        ];
        scene.refuses(&request.concat());
    }
}

#[test]
fn odd_hosts_are_refused_in_the_host_header() {
    let scene = scene();
    let port = scene.upstream.port.to_string();
    for host in odd_hosts() {
        let target = [b"GET http://ok.test:", port.as_bytes(), b"/ HTTP/1.1\r\nHost: "].concat();
        scene.refuses(&[&target[..], &host[..], b":", port.as_bytes(), b"\r\n\r\n"].concat());
        let target = [b"CONNECT ok.test:", port.as_bytes(), b" HTTP/1.1\r\nHost: "].concat();
        scene.refuses(&[&target[..], &host[..], b":", port.as_bytes(), b"\r\n\r\n"].concat());
    }
}

/// A resolver behind HTTPS would answer for any name, and carry anything away in the questions.
#[test]
fn a_resolver_over_https_that_is_not_listed_is_refused_by_name_and_by_address() {
    let scene = scene();
    // One that would answer, by the name and the address it has here; then the well-known ones.
    let resolver = Upstream::ok();
    let port = resolver.port;
    for authority in [
        format!("evil.test:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        "dns.google:443".to_owned(),
        "cloudflare-dns.com:443".to_owned(),
        "8.8.8.8:443".to_owned(),
        "1.1.1.1:443".to_owned(),
        "1.1.1.1:853".to_owned(),
        "[2606:4700:4700::1111]:443".to_owned(),
    ] {
        scene.refuses(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
        scene.refuses(&get(&authority, "/dns-query?dns=AAABAAABAAAAAAAABGV2aWwEdGVzdAAAAQAB"));
        let question = "\0\0\u{1}\0\0\u{1}\0\0\0\0\0\0\u{4}evil\u{4}test\0\0\u{1}\0\u{1}";
        let post = format!(
            "POST http://{authority}/dns-query HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/dns-message\r\nContent-Length: {}\r\n\r\n{question}",
            question.len()
        );
        scene.refuses(post.as_bytes());
    }
    assert_eq!(resolver.connections(), 0);
}

#[test]
fn upper_case_is_the_same_host_and_is_written_small() {
    let scene = scene();
    let authority = format!("OK.Test:{}", scene.upstream.port);
    let answer = send(scene.guard.address(), &get(&authority, "/"));
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let received = scene.upstream.received().to_ascii_lowercase();
    assert!(received.contains(&format!("host: ok.test:{}\r\n", scene.upstream.port)), "{received}");
    assert!(!scene.upstream.received().contains("OK.Test"));
    assert_eq!(scene.guard.decision(&json!({ "verdict": "allow" }))["host"], "ok.test");
    let mut questions = scene.dns.questions();
    questions.sort();
    assert_eq!(questions, ["ok.test A", "ok.test AAAA"]);
}

#[test]
fn an_unreadable_host_cannot_forge_log_or_answer() {
    let scene = scene();
    scene.refuses(b"CONNECT evil.test\",\"verdict\":\"allow\":443 HTTP/1.1\r\n\r\n");
    let line = scene.guard.decision(&json!({ "code": "bad_host" }));
    assert_eq!(line["verdict"], "deny");
    assert_eq!(line["host"], "evil.test\",\"verdict\":\"allow\":443");
}
