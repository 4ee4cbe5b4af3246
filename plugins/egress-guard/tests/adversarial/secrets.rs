//! Secrets that try to leave through what the guard can see.

use std::io::Write as _;
use std::net::Shutdown;

use serde_json::{Value, json};

use crate::support::{Dns, Guard, Upstream, connect, get, read_all, send};

const VALUE: &str = "s3cr3tValue0123456789xyz";

fn config(upstream: &Upstream) -> Value {
    json!({
        "dlp": { "secrets_env": "BOTTLE_SECRETS" },
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }, { "rule": format!("own.test:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"], "own.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }, { "host": "own.test", "range": "127.0.0.1/32" }],
        },
    })
}

fn start(config: &Value) -> Guard {
    let secrets = json!([{ "name": "API_TOKEN", "value": VALUE, "hosts": ["own.test"] }]).to_string();
    Guard::start_on("127.0.0.1:0", config, &[("BOTTLE_SECRETS", &secrets)])
}

/// Asks and checks that nothing of the request, and nothing of the secret in the log or answer, got anywhere.
fn refused(guard: &Guard, upstream: &Upstream, request: &[u8], code: &str) {
    let before = upstream.connections();
    let answer = send(guard.address(), request);
    assert_eq!(answer.code(), code, "{}", request.escape_ascii());
    assert_eq!(answer.status, 403);
    assert!(!answer.body.contains(VALUE));
    assert_eq!(upstream.connections(), before, "{} reached the upstream", request.escape_ascii());
    let line = guard.decision(&json!({ "code": code }));
    assert_eq!(line["verdict"], "deny");
    assert!(guard.log().iter().all(|line| !line.to_string().contains(VALUE)));
}

#[test]
fn secrets_in_urls_and_headers_reach_nobody() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let a = format!("ok.test:{}", upstream.port);
    for path in [
        format!("/?q={VALUE}"),
        "/?q=czNjcjN0VmFsdWUwMTIzNDU2Nzg5eHl6".to_owned(),
        "/?q=7333637233745661-6c756530-3132333435-3637383978-797a".to_owned(),
        "/?q=%2573%2533cr3tValue0123456789xyz".to_owned(),
        "/?q=Y3pOamNqTjBWbUZzZFdVd01USXpORFUyTnpnNWVIbDY=".to_owned(),
        "/?a=s3cr3tVa&b=lue01234&c=56789xyz".to_owned(),
        "/s3cr3tVa/lue01234/56789xyz".to_owned(),
    ] {
        refused(&guard, &upstream, &get(&a, &path), "dlp_secret");
    }
    for header in [
        format!("X-Note: {VALUE}"),
        format!("Authorization: Bearer {VALUE}"),
        format!("Cookie: a={VALUE}"),
        "X-Note: s3cr3t\u{200b}Value0123456789xyz".to_owned(),
        "X-Note: ѕ3сr3tVаluе0123456789хуz".to_owned(),
        "X-A: s3cr3tVa\r\nX-B: lue01234\r\nX-C: 56789xyz".to_owned(),
        "Cookie: a=s3cr3tVa; b=lue01234; c=56789xyz".to_owned(),
        "X-S3c: 1\r\nX-R3t: 1\r\nX-Val: 1\r\nX-Ue0: 1\r\nX-123: 1\r\nX-456: 1\r\nX-78: 9xyz\r\nCookie: Val; ue0".to_owned(),
    ] {
        let request = format!("GET http://{a}/ HTTP/1.1\r\nHost: {a}\r\n{header}\r\n\r\n");
        refused(&guard, &upstream, request.as_bytes(), "dlp_secret");
    }
}

#[test]
fn a_secret_in_a_name_is_never_looked_up() {
    let dns = Dns::start(&[]);
    let mut config = config(&Upstream::ok());
    config["resolver"] = json!(dns.address.to_string());
    config["policy"]["rules"] = json!([{ "rule": "*.wild.test" }]);
    let guard = start(&config);
    for label in [
        VALUE,
        "OMZWG4RTORLGC3DVMUYDCMRTGQ2TMNZYHF4HS6Q",
        "s3cr3tvalue.0123456789xyz",
        "7333637233745661.6c75653031323334.353637383978797a",
    ] {
        let answer =
            send(guard.address(), format!("CONNECT {label}.wild.test:443 HTTP/1.1\r\n\r\n").as_bytes());
        assert_eq!(answer.code(), "dlp_secret", "{label}");
    }
    assert!(dns.questions().is_empty());
}

#[test]
fn secrets_in_bodies_are_stopped_before_they_leave() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let a = format!("ok.test:{}", upstream.port);
    let filler = "an ordinary line\n".repeat(5_000);
    let whole = format!("{filler}{VALUE}{filler}");
    let plain =
        format!("POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nContent-Length: {}\r\n\r\n{whole}", whole.len());
    assert_eq!(send(guard.address(), plain.as_bytes()).code(), "dlp_secret");
    let pieces: String = whole
        .as_bytes()
        .chunks(11)
        .map(|p| format!("{:x}\r\n{}\r\n", p.len(), String::from_utf8_lossy(p)))
        .collect();
    let chunked = format!(
        "POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nTransfer-Encoding: chunked\r\n\r\n{pieces}0\r\n\r\n"
    );
    assert_eq!(send(guard.address(), chunked.as_bytes()).code(), "dlp_secret");
    let json = format!("{{\"k\":\"\\u0073\\u0033{}\"}}", &VALUE[2..]);
    let escaped =
        format!("POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nContent-Length: {}\r\n\r\n{json}", json.len());
    assert_eq!(send(guard.address(), escaped.as_bytes()).code(), "dlp_secret");
    let form = "a=s3&b=cr&c=3tVa&d=lue01234&e=56789xyz";
    let fields = format!(
        "POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(send(guard.address(), fields.as_bytes()).code(), "dlp_secret");
    assert!(!upstream.received().contains("s3cr3t"), "part of the secret left");
}

/// A client that waits for an answer in the middle of its body has to get it, and a secret cut by such a pause is still
/// known when its other half comes.
#[test]
fn a_pause_in_a_body_holds_nothing_up_and_hides_nothing() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let a = format!("ok.test:{}", upstream.port);
    let mut stream = connect(guard.address());
    write!(stream, "POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    stream.write_all(b"b\r\nfirst words\r\n").unwrap();
    upstream.wait_for("first words");
    stream.write_all(b"8\r\ns3cr3tVa\r\n").unwrap();
    upstream.wait_for("s3cr3tVa");
    stream.write_all(b"10\r\nlue0123456789xyz\r\n0\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream);
    guard.decision(&json!({ "code": "dlp_secret" }));
    assert!(!upstream.received().contains("lue0"), "the second half left");
}

#[test]
fn packed_bodies_are_looked_into_or_refused() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let a = format!("ok.test:{}", upstream.port);
    let send_packed = |encoding: &str, body: &[u8]| {
        let head = format!(
            "POST http://{a}/ HTTP/1.1\r\nHost: {a}\r\nConnection: close\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        send(guard.address(), &[head.as_bytes(), body].concat())
    };
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(send_packed("gzip", &gzip("nothing of note")).status, 200);
    assert_eq!(send_packed("gzip", &gzip(&format!("and {VALUE}"))).code(), "dlp_secret");
    assert_eq!(send_packed("identity", &gzip(&format!("and {VALUE}"))).code(), "dlp_secret");
    assert_eq!(send_packed("identity", &gzip("nothing of note")).status, 200);
    assert_eq!(send_packed("br", b"\x0b\x02\x80hello\x03").code(), "body_encoded");
    assert_eq!(send_packed("gzip", b"not gzip").code(), "body_encoded");
    let of_s3 = send_packed("aws-chunked", b"5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n");
    assert_eq!(of_s3.code(), "body_encoded");
    assert!(of_s3.body.contains("`secrets: warn` and `rules: warn` under `egress.dlp`"), "{of_s3:?}");
    // What the hint says is so.
    let mut lenient = config(&upstream);
    lenient["dlp"]["secrets"] = json!("warn");
    lenient["dlp"]["rules"] = json!("warn");
    guard.reload(&lenient);
    guard.event("reloaded");
    assert_eq!(send_packed("aws-chunked", b"5;chunk-signature=0\r\nhello\r\n").status, 200);
}

#[test]
fn a_secret_goes_to_its_own_host_as_a_credential() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let own = format!("own.test:{}", upstream.port);
    let request = format!(
        "GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\nAuthorization: Bearer {VALUE}\r\n\r\n"
    );
    assert_eq!(send(guard.address(), request.as_bytes()).status, 200);
    refused(&guard, &upstream, &get(&own, &format!("/?q={VALUE}")), "dlp_secret");
}

#[test]
fn a_warning_lets_pass_and_says_so() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["dlp"]["secrets"] = json!("warn");
    let guard = start(&config);
    let answer = send(guard.address(), &get(&format!("ok.test:{}", upstream.port), &format!("/?q={VALUE}")));
    assert_eq!(answer.status, 200);
    let line = guard.decision(&json!({ "verdict": "warn" }));
    assert_eq!(line["code"], "dlp_secret");
    assert!(line["reason"].as_str().unwrap().contains("`API_TOKEN`"), "{line}");
    assert!(!line.to_string().contains(VALUE));
}

#[test]
fn credentials_of_known_forms_are_found_and_ordinary_traffic_passes() {
    let upstream = Upstream::ok();
    let guard = start(&config(&upstream));
    let a = format!("ok.test:{}", upstream.port);
    // Put together at run time, so that no scanner takes this file for a leak.
    let token = ["gh", "p_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat();
    refused(&guard, &upstream, &get(&a, &format!("/?note={token}")), "dlp_rule");
    for path in [
        "/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
        "/packages/3b/ed/e1/numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "/org/repo.git/info/refs?service=git-upload-pack",
        "/@babel%2fcore/-/core-7.25.2.tgz",
    ] {
        assert_eq!(send(guard.address(), &get(&a, path)).status, 200, "{path}");
    }
}

#[test]
fn a_strangers_token_in_a_credential_header_reaches_its_vendor_alone() {
    let upstream = Upstream::ok();
    let mut config = config(&upstream);
    config["policy"]["rules"] = json!([{ "rule": format!("ok.test:{}", upstream.port) }, { "rule": format!("api.github.com:{}", upstream.port) }]);
    config["policy"]["hosts"]["api.github.com"] = json!(["127.0.0.1"]);
    config["policy"]["private"] = json!([{ "host": "ok.test", "range": "127.0.0.1/32" }, { "host": "api.github.com", "range": "127.0.0.1/32" }]);
    let guard = start(&config);
    let token = ["gh", "p_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat();
    let with = |host: &str| {
        let authority = format!("{host}:{}", upstream.port);
        format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
    };
    refused(&guard, &upstream, with("ok.test").as_bytes(), "dlp_rule");
    assert_eq!(send(guard.address(), with("api.github.com").as_bytes()).status, 200);
}

#[test]
fn more_kinds_are_looked_for_when_they_are_asked_for() {
    let upstream = Upstream::ok();
    let a = format!("ok.test:{}", upstream.port);
    let values = [
        ("cards", "4111-1111-1111-1111".to_owned()),
        ("accounts", "DE89370400440532013000".to_owned()),
        ("wallets", ["5HueCGU8rMjxEXxiPuD5BDk", "u4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"].concat()),
        ("jwts", ["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0In0", "c2lnbmF0dXJlLW9mLXRoaXM"].join(".")),
    ];
    let plain = start(&config(&upstream));
    for (kind, value) in &values {
        let request = get(&a, &format!("/?v={value}&x=1"));
        assert_eq!(send(plain.address(), &request).status, 200, "{kind}");
        let mut config = config(&upstream);
        config["dlp"]["also"] = json!([kind]);
        refused(&start(&config), &upstream, &request, "dlp_rule");
    }
}
