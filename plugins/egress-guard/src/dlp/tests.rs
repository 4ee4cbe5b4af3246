//! Whole requests and bodies: what is found, what is named, what passes.

use std::io::Write as _;

use claude_bottle_egress_policy::GuardSecrets;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::body::BodyScan;
use super::unpack::{Packing, PackingError, packing};
use super::*;
use crate::http::destination::destination;
use crate::http::head;

const VALUE: &str = "s3cr3tValue0123456789xyz";

fn inspector(config: &DlpConfig) -> Inspector {
    let json = serde_json::json!([{ "name": "TOKEN", "value": VALUE, "hosts": ["api.example"] }]).to_string();
    Inspector::new(config, &GuardSecrets::from_json(&json).unwrap()).unwrap()
}

/// A token of a well-known form, put together at run time.
fn token() -> String {
    ["gh", "p_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat()
}

fn base64(text: &[u8]) -> String {
    super::limits_tests::base64(text)
}

fn look(config: &DlpConfig, request: &str) -> Findings {
    let text = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
    let head = head::parse(text.as_bytes(), 32).unwrap();
    let (inspector, wanted) = (inspector(config), destination(&head).unwrap());
    let (method, host) = (inspector.word(&head.method, "method"), wanted.host.to_string());
    let words = [method, inspector.word(&host, "host name"), inspector.head(&head, &wanted)];
    words.into_iter().find(Findings::any).unwrap_or_default()
}

fn blocked(request: &str) -> Option<String> {
    let found = look(&DlpConfig::default(), request).block.map(|finding| finding.to_string());
    assert!(!found.as_deref().unwrap_or_default().contains(VALUE), "a finding holds the secret");
    found
}

fn get(path: &str, headers: &str) -> String {
    format!("GET http://a.example{path} HTTP/1.1\nHost: a.example{headers}")
}

#[test]
fn secrets_are_found_wherever_they_are() {
    for request in [
        get(&format!("/?q={VALUE}"), ""),
        get(&format!("/{VALUE}"), ""),
        get("/?q=czNjcjN0VmFsdWUwMTIzNDU2Nzg5eHl6", ""),
        get("/?q=733363723374 56616c756530313233343536373839 78797a".replace(' ', "").as_str(), ""),
        get("/?q=%73%33%63%72%33%74Value0123456789xyz", ""),
        get("/?a=s3cr3tVa&b=lue01234&c=56789xyz", ""),
        get("/s3cr3tVa", "\nX-One: lue01234\nX-Two: 56789xyz"),
        get("/", &format!("\nX-Note: {VALUE}")),
        get("/", "\nX-Note: Y3pOamNqTjBWbUZzZFdVd01USXpORFUyTnpnNWVIbDY="),
        get("/", "\nX-Note: s3cr3t\u{200b}Value0123456789xyz"),
        get("/", "\nX-Note: ѕ3сr3tVаluе0123456789хуz"),
        get("/", &format!("\nAuthorization: Bearer {VALUE}")),
        get("/", &format!("\n{VALUE}: 1")),
        format!("CONNECT {VALUE}.a.example:443 HTTP/1.1"),
        "CONNECT OMZWG4RTORLGC3DVMUYDCMRTGQ2TMNZYHF4HS6Q.a.example:443 HTTP/1.1".to_owned(),
        format!("CONNECT a.example:443 HTTP/1.1\nUser-Agent: {VALUE}"),
    ] {
        let found = blocked(&request);
        assert!(
            found.as_deref().is_some_and(|text| text.starts_with("the secret `TOKEN` is in the ")),
            "{request}: {found:?}"
        );
    }
}

#[test]
fn a_secret_may_go_to_its_own_host_as_a_credential_only() {
    let to_own = |path: &str, headers: &str| {
        blocked(&format!("GET http://api.example{path} HTTP/1.1\nHost: api.example{headers}"))
    };
    assert_eq!(to_own("/", &format!("\nAuthorization: Bearer {VALUE}")), None);
    assert_eq!(to_own("/", &format!("\nX-Api-Key: {VALUE}")), None);
    assert!(to_own("/", &format!("\nX-Note: {VALUE}")).is_some());
    assert!(to_own(&format!("/?q={VALUE}"), "").is_some());
}

#[test]
fn rules_find_foreign_credentials() {
    let token = token();
    assert_eq!(
        blocked(&get(&format!("/?q={token}"), "")),
        Some("the rule `github-pat` fits something in the URL of the request".to_owned())
    );
    assert!(blocked(&get("/", &format!("\nX-Note: {token}"))).is_some());
    let warn = DlpConfig { rules: DlpAction::Warn, ..DlpConfig::default() };
    let findings = look(&warn, &get(&format!("/?q={token}"), ""));
    assert!(findings.block.is_none() && findings.warn.is_some());
    let exempt =
        DlpConfig { exempt_hosts: vec![HostPattern::parse("a.example").unwrap()], ..DlpConfig::default() };
    assert_eq!(look(&exempt, &get(&format!("/?q={token}"), "")), Findings::default());
    assert!(look(&exempt, &get(&format!("/?q={VALUE}"), "")).block.is_some());
    let off = DlpConfig { exempt_rules: vec!["github-pat".to_owned()], ..DlpConfig::default() };
    assert_eq!(look(&off, &get(&format!("/?q={token}"), "")), Findings::default());
    let unknown = DlpConfig { exempt_rules: vec!["no-such-rule".to_owned()], ..DlpConfig::default() };
    assert!(matches!(
        Inspector::new(&unknown, &GuardSecrets::default()),
        Err(GuardError::UnknownRule { .. })
    ));
}

#[test]
fn a_vendors_token_is_shown_to_its_vendor_and_to_hosts_named_for_it() {
    let token = token();
    let basic = base64(format!("x-access-token:{token}").as_bytes());
    let to = |host: &str, header: &str| format!("GET http://{host}/ HTTP/1.1\nHost: {host}\n{header}");
    let headers = [
        format!("Authorization: Bearer {token}"),
        format!("Authorization: token {token}"),
        format!("Authorization: Basic {basic}"),
        format!("X-Api-Key: {token}"),
        format!("Private-Token: {token}"),
        format!("Cookie: a=b; session={token}; c=d"),
    ];
    for header in &headers {
        let found = blocked(&to("a.example", header));
        assert_eq!(
            found.as_deref(),
            Some("the rule `github-pat` fits something in the headers of the request"),
            "{header}"
        );
        assert_eq!(blocked(&to("api.github.com", header)), None, "{header}");
        // The bottle's own secret, towards a host that is named for it, and nothing else next to it.
        let known = serde_json::json!([{ "name": "GIT", "value": token, "hosts": ["git.corp.example"] }]);
        let known = GuardSecrets::from_json(&known.to_string()).unwrap();
        let inspector = Inspector::new(&DlpConfig::default(), &known).unwrap();
        let passes = |request: &str| {
            let text = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
            let head = head::parse(text.as_bytes(), 32).unwrap();
            inspector.head(&head, &destination(&head).unwrap()).block.is_none()
        };
        assert!(passes(&to("git.corp.example", header)), "{header}");
        let other = ["np", "m_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat();
        assert!(!passes(&to("git.corp.example", &format!("{header}\nX-Api-Key: {other}"))), "{header}");
        assert!(!passes(&to("git.corp.example", &format!("{header} {other}"))), "{header}");
    }
    // What only a word in front of it makes a credential is what every such header holds.
    let value = "0123456789abcdef0123456789abcde1";
    assert_eq!(blocked(&to("a.example", &format!("Cookie: adobe_session={value}"))), None);
}

#[test]
fn ordinary_requests_pass() {
    for (path, headers) in [
        ("/debian/dists/bookworm/InRelease", "\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)"),
        (
            "/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
            "",
        ),
        ("/simple/numpy/", "\nAccept: application/vnd.pypi.simple.v1+json, text/html;q=0.1"),
        ("/packages/3b/ed/e1/numpy-2.1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", ""),
        ("/@types%2fnode", "\nNpm-Command: install\nAuthorization: Bearer npm-token-of-somebody"),
        ("/index/se/rd/serde", "\nIf-None-Match: \"9b2cf535f27731c974343645a3985328\""),
        ("/org/repo.git/info/refs?service=git-upload-pack", "\nGit-Protocol: version=2"),
        (
            "/v1/models/x:generate?alt=sse",
            "\nCookie: session=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLXRva2Vu",
        ),
        ("/search?q=how+to+set+an+api_key+in+python&client=curl&token=1", ""),
    ] {
        assert_eq!(blocked(&get(path, headers)), None, "{path}");
    }
    assert_eq!(
        blocked(
            "CONNECT registry.example:443 HTTP/1.1\nHost: registry.example:443\nUser-Agent: npm/10.8.2 node/v22.9.0 linux x64"
        ),
        None
    );
}

/// Pushes a body in pieces and returns what was given back, and whether something blocks.
fn scan(body: &[u8], piece: usize, packing: Packing) -> Result<(Vec<u8>, bool), PackingError> {
    let inspector = inspector(&DlpConfig::default());
    let host = HostOrIp::parse("a.example").unwrap();
    let mut scan = BodyScan::new(&inspector, &host, packing);
    let mut sent = Vec::new();
    for data in body.chunks(piece) {
        let given = scan.push(data)?;
        if scan.findings().block.is_some() {
            return Ok((sent, true));
        }
        sent.extend_from_slice(&given);
    }
    let given = scan.finish()?;
    if scan.findings().block.is_some() {
        return Ok((sent, true));
    }
    sent.extend_from_slice(&given);
    Ok((sent, false))
}

#[test]
fn a_clean_body_comes_out_as_it_went_in() {
    let body: Vec<u8> =
        (0..300_000_u32).flat_map(|n| format!("line {n} of the text\n").into_bytes()).take(200_000).collect();
    for piece in [7_000, 65_536, 200_000] {
        assert_eq!(scan(&body, piece, Packing::Plain), Ok((body.clone(), false)), "{piece}");
    }
    assert_eq!(scan(b"x", 1, Packing::Plain), Ok((b"x".to_vec(), false)));
    assert_eq!(scan(b"", 1, Packing::Plain), Ok((vec![], false)));
}

#[test]
fn no_byte_of_a_secret_leaves_wherever_the_pieces_end() {
    let filler = "an ordinary line of text\n".repeat(4_000);
    for before in [0, 1_000, 16_380, 40_000, 99_000] {
        let body = [&filler.as_bytes()[..before], VALUE.as_bytes(), filler.as_bytes()].concat();
        for piece in [5_000, 16_384, 65_536] {
            let (sent, stopped) = scan(&body, piece, Packing::Plain).unwrap();
            assert!(stopped, "{before} {piece}");
            assert!(sent.len() <= before, "{} of {before} in pieces of {piece}", sent.len());
        }
    }
}

#[test]
fn a_pause_gives_everything_and_still_finds_what_goes_on_behind_it() {
    let inspector = inspector(&DlpConfig::default());
    let host = HostOrIp::parse("a.example").unwrap();
    let filler = "an ordinary line of text\n".repeat(900);
    for before in [0, 10, 5_000, 20_000] {
        for cut in [1, 12, VALUE.len() - 1] {
            let mut scan = BodyScan::new(&inspector, &host, Packing::Plain);
            let first = [&filler.as_bytes()[..before], &VALUE.as_bytes()[..cut]].concat();
            let sent = scan.push(&first).unwrap();
            assert!(scan.holds_back());
            assert_eq!([sent, scan.pause()].concat(), first);
            assert!(!scan.holds_back() && scan.pause().is_empty() && scan.findings().block.is_none());
            drop(scan.push(&VALUE.as_bytes()[cut..]).unwrap());
            drop(scan.pause());
            assert!(scan.findings().block.is_some(), "{before} {cut}");
        }
    }
    // Pauses at any place leave a clean body as it is.
    let mut scan = BodyScan::new(&inspector, &host, Packing::Plain);
    let mut sent = Vec::new();
    for (index, piece) in filler.as_bytes().chunks(700).enumerate() {
        sent.extend_from_slice(&scan.push(piece).unwrap());
        if index % 5 == 0 {
            sent.extend_from_slice(&scan.pause());
        }
    }
    sent.extend_from_slice(&scan.finish().unwrap());
    assert_eq!(sent, filler.as_bytes());
}

#[test]
fn packed_bodies_are_looked_into() {
    let filler = "an ordinary line of text\n".repeat(9_000);
    let pack = |text: &str| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text.as_bytes()).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(text.as_bytes()).unwrap();
        [
            (gzip.finish().unwrap(), Packing::Gzip),
            (zlib.finish().unwrap(), Packing::Deflate),
            (bare.finish().unwrap(), Packing::Deflate),
        ]
    };
    for (body, packing) in pack(&filler) {
        assert_eq!(scan(&body, 100, packing), Ok((body.clone(), false)), "{packing:?}");
        assert_eq!(scan(&body[..body.len() - 9], 100, packing), Err(PackingError::Malformed), "{packing:?}");
    }
    for (body, packing) in pack(&format!("{filler}{VALUE}{filler}")) {
        assert!(scan(&body, 100, packing).unwrap().1, "{packing:?}");
        let (inspector, host) = (inspector(&DlpConfig::default()), HostOrIp::parse("a.example").unwrap());
        let mut scan = BodyScan::new(&inspector, &host, packing);
        for piece in body.chunks(200) {
            drop(scan.push(piece).unwrap());
            drop(scan.pause());
        }
        drop(scan.finish().unwrap());
        assert!(scan.findings().block.is_some(), "{packing:?} with pauses");
    }
    assert_eq!(scan(b"not packed at all", 5, Packing::Gzip), Err(PackingError::Malformed));
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b'a'; 8 * 1024 * 1024]).unwrap();
    assert_eq!(scan(&bomb.finish().unwrap(), 1_000, Packing::Gzip), Err(PackingError::Bomb));
}

#[test]
fn unknown_packings_are_refused() {
    let named = |values: &[&'static str]| packing(values.iter().map(|value| value.as_bytes()));
    assert_eq!(named(&[]), Ok(Packing::Plain));
    assert_eq!(named(&["identity"]), Ok(Packing::Plain));
    assert_eq!(named(&["GZip"]), Ok(Packing::Gzip));
    for values in [&["br"][..], &["zstd"], &["gzip, gzip"], &["gzip", "gzip"], &["x"]] {
        assert_eq!(named(values), Err(PackingError::Unknown), "{values:?}");
    }
}
