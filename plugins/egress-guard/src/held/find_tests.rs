//! What is put into requests, and what is refused.

use claude_bottle_egress_policy::HostOrIp;

use super::super::tests::held;
use super::*;
use crate::http::head;

const HOLDER: &str = "placeholder-for-TOKEN";
const OTHER: &str = "placeholder-for-OTHER";

/// One secret by bearer at one host and by other places at others, and a second one.
const SECRETS: &str = r#"[
    {"name": "TOKEN", "placeholder": "placeholder-for-TOKEN", "hosts": ["api.example"], "places": ["bearer", "query: key", "path: /bot{}/"]},
    {"name": "TOKEN", "placeholder": "placeholder-for-TOKEN", "hosts": ["git.example"], "places": ["basic"], "plain_http": true},
    {"name": "OTHER", "placeholder": "placeholder-for-OTHER", "hosts": ["api.example"], "places": ["header: X-Forge-Key"], "requests": ["GET /v1/**"]},
    {"name": "MODEL", "placeholder": "placeholder-for-MODEL", "hosts": ["model.example"], "places": ["header: X-Api-Key", "bearer"], "only": true, "always": true}
]"#;

const VALUES: [(&str, &str); 3] =
    [("TOKEN", "the-value/1"), ("OTHER", "another-value"), ("MODEL", "model-value")];

/// Returns the lines that go up, or the code of the refusal.
fn asked(scheme: Scheme, host: &str, line: &str, headers: &str) -> Result<Vec<String>, Code> {
    let held = held(SECRETS, &VALUES).unwrap();
    let head = head::parse(format!("{line} HTTP/1.1\r\n{headers}\r\n").as_bytes(), 32).unwrap();
    let port = if scheme == Scheme::Http { 80 } else { 443 };
    let (host, path) = (HostOrIp::parse(host).unwrap(), head.target.clone());
    let wanted = Destination { scheme, host, port, path };
    let put = held.put_into(&head, &wanted).map_err(|denial| denial.code)?;
    let mut lines = vec![put.target().unwrap_or(&head.target).to_owned()];
    for (index, header) in head.headers.iter().enumerate() {
        let value = put.header(index).map_or(header.value.as_slice(), |value| value.as_bytes());
        lines.push(format!("{}: {}", header.name, String::from_utf8_lossy(value)));
    }
    lines.extend(put.added().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    Ok(lines)
}

fn goes(host: &str, line: &str, headers: &str, expected: &[&str]) {
    let expected = expected.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(asked(Scheme::Https, host, line, headers), Ok(expected), "{host} {line} {headers}");
}

fn refused(host: &str, line: &str, headers: &str, code: Code) {
    assert_eq!(asked(Scheme::Https, host, line, headers), Err(code), "{host} {line} {headers}");
}

#[test]
fn a_placeholder_is_replaced_in_its_place_at_its_host() {
    let bearer = format!("A: b\r\nAuthorization: Bearer {HOLDER}\r\n");
    goes("api.example", "GET /x", &bearer, &["/x", "a: b", "authorization: Bearer the-value/1"]);
    goes("api.example", &format!("GET /x?a=b&key={HOLDER}&c"), "", &["/x?a=b&key=the-value%2F1&c"]);
    goes("api.example", &format!("GET /bot{HOLDER}/send?x"), "", &["/botthe-value%2F1/send?x"]);
    goes(
        "api.example",
        "GET /v1/x",
        &format!("X-Forge-Key: {OTHER}\r\n"),
        &["/v1/x", "x-forge-key: another-value"],
    );
    // x-access-token:placeholder-for-TOKEN
    let basic = "Authorization: basic eC1hY2Nlc3MtdG9rZW46cGxhY2Vob2xkZXItZm9yLVRPS0VO\r\n";
    let expected = ["/x", "authorization: basic eC1hY2Nlc3MtdG9rZW46dGhlLXZhbHVlLzE="];
    goes("git.example", "GET /x", basic, &expected);
    let plain = asked(Scheme::Http, "git.example", "GET /x", basic);
    assert_eq!(plain.unwrap(), expected);
}

#[test]
fn anywhere_else_it_is_text() {
    for headers in [
        format!("Cookie: key={HOLDER}\r\n"),
        format!("User-Agent: {HOLDER}\r\n"),
        format!("X-Note: {HOLDER}\r\n"),
        format!("Authorization: Bearer x{HOLDER}\r\n"),
        format!("Authorization: Bearer {HOLDER} {HOLDER}\r\n"),
        format!("X-Api-Key: {HOLDER}{HOLDER}\r\n"),
    ] {
        for host in ["api.example", "git.example", "else.example"] {
            let sent = headers.trim_end();
            let (name, value) = sent.split_once(": ").unwrap();
            goes(host, "POST /x", &headers, &["/x", &format!("{}: {value}", name.to_ascii_lowercase())]);
        }
    }
    for target in [
        format!("/{HOLDER}/x"),
        format!("/x?q={HOLDER}"),
        format!("/x?key=x{HOLDER}"),
        format!("/x/bot{HOLDER}/"),
        format!("/x?KEY={HOLDER}"),
    ] {
        goes("api.example", &format!("GET {target}"), "", &[&target]);
    }
    // The key and the path of another host.
    for target in [format!("/x?key={HOLDER}"), format!("/bot{HOLDER}/x")] {
        goes("git.example", &format!("GET {target}"), "", &[&target]);
    }
}

#[test]
fn what_could_only_fail_is_refused_and_says_where_it_may_go() {
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    for host in ["else.example", "x.api.example", "model.example"] {
        refused(host, "GET /", &bearer, Code::SecretWrongHost);
        refused(host, "GET /", &format!("X-Api-Key: {HOLDER}\r\n"), Code::SecretWrongHost);
    }
    refused("git.example", "GET /", &bearer, Code::SecretWrongPlace);
    refused("api.example", "GET /", &format!("X-Api-Key: {HOLDER}\r\n"), Code::SecretWrongPlace);
    refused("api.example", "GET /", &format!("Authorization: {HOLDER}\r\n"), Code::SecretWrongPlace);
    let key = format!("X-Forge-Key: {OTHER}\r\n");
    for line in ["POST /v1/x", "GET /v2", "GET /v1/../v1/x"] {
        refused("api.example", line, &key, Code::SecretWrongRequest);
    }
    assert_eq!(asked(Scheme::Http, "api.example", "GET /", &bearer), Err(Code::SecretNeedsTls));
    let query = format!("GET /x?key={HOLDER}");
    assert_eq!(asked(Scheme::Http, "api.example", &query, ""), Err(Code::SecretNeedsTls));
    refused("api.example", "GET /", &format!("{bearer}{bearer}"), Code::BadRequest);
    refused("api.example", "GET /", &format!("{bearer}Authorization: Bearer x\r\n"), Code::BadRequest);
    refused("api.example", &format!("GET /?key={HOLDER}&key=x"), "", Code::BadRequest);
    refused("api.example", &format!("GET /bot{HOLDER}/?key={HOLDER}"), "", Code::BadRequest);

    let held = held(SECRETS, &VALUES).unwrap();
    let head = head::parse(format!("GET / HTTP/1.1\r\n{bearer}\r\n").as_bytes(), 32).unwrap();
    let host = HostOrIp::parse("else.example").unwrap();
    let wanted = Destination { scheme: Scheme::Https, host, port: 443, path: "/".to_owned() };
    let denial = held.put_into(&head, &wanted).err().unwrap();
    assert_eq!(denial.reason, "the placeholder of `TOKEN` is for `api.example`, `git.example`");
}

#[test]
fn where_one_secret_is_wanted_no_other_credential_passes() {
    let holder = "placeholder-for-MODEL";
    let own = format!("X-Api-Key: {holder}\r\n");
    goes("model.example", "POST /v1", &own, &["/v1", "x-api-key: model-value"]);
    let cookie = "Cookie: __cf_bm=x; _cfuvid=y\r\n";
    let expected = ["/v1", "x-api-key: model-value", "cookie: __cf_bm=x; _cfuvid=y"];
    goes("model.example", "POST /v1", &format!("{own}{cookie}"), &expected);
    for foreign in [
        "X-Api-Key: another-key\r\n".to_owned(),
        "Authorization: Bearer another-key\r\n".to_owned(),
        format!("Authorization: Bearer x{holder}\r\n"),
        "Authorization: Basic YTpi\r\n".to_owned(),
        "X-Auth-Token: another-key\r\n".to_owned(),
        "X-Forge-Key: another-key\r\n".to_owned(),
        "Cookie: session=another-key\r\n".to_owned(),
        format!("{own}Authorization: Bearer another-key\r\n"),
        format!("{own}Cookie: __cf_bm=x; session=y\r\n"),
    ] {
        refused("model.example", "POST /v1", &foreign, Code::ForeignCredential);
        if !foreign.contains(holder) {
            assert!(asked(Scheme::Https, "api.example", "GET /", &foreign).is_ok(), "{foreign}");
        }
    }
    for target in ["/v1?key=another", "/v1?a=b&API_KEY=another", "/v1?access%5Ftoken=another"] {
        refused("model.example", &format!("POST {target}"), &own, Code::ForeignCredential);
    }
    goes("model.example", "GET /v1?key=&q=x", &own, &["/v1?key=&q=x", "x-api-key: model-value"]);
}

#[test]
fn what_is_always_put_in_is_never_put_over_something() {
    goes("model.example", "POST /v1", "A: b\r\n", &["/v1", "a: b", "x-api-key: model-value"]);
    let bearer = "Authorization: Bearer placeholder-for-MODEL\r\n";
    goes("model.example", "POST /v1", bearer, &["/v1", "authorization: Bearer model-value"]);
    goes("api.example", "POST /v1", "A: b\r\n", &["/v1", "a: b"]);
    assert_eq!(asked(Scheme::Http, "model.example", "POST /v1", "A: b\r\n").unwrap(), ["/v1", "a: b"]);
}
