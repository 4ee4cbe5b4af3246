//! Placeholders: replaced where they are the whole credential, in their place, towards their host; text anywhere else.

use std::io::Write as _;

use serde_json::json;

use crate::support::held::{HOLDER, OK, VALUE, World, config, start};
use crate::support::inside::{ask, handshake};
use crate::support::{Upstream, connect, get, open_tunnel, read_answer, send};

const BASIC: &str = "Z2hwX3BsYWNlaG9sZGVyLWZvci1UT0tFTi1xM3g3azJtdzV0";

/// Returns base64 of a text.
fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_placeholder_becomes_the_value_on_its_way_to_its_own_host() {
    assert_eq!(base64(HOLDER), BASIC);
    let world = World::new();
    let mut inside = world.inside("own.test");
    for headers in [
        format!("Authorization: Bearer {HOLDER}\r\n"),
        format!("Authorization: token {HOLDER}\r\n"),
        format!("Authorization: Basic {}\r\n", base64(&format!("x-access-token:{HOLDER}"))),
    ] {
        let answer = ask(&mut inside, &world.request("own.test", "GET /repos", (&headers, "")));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{headers}");
    }
    let answer = world.ask("own.test", &format!("GET /x?a=b&key={HOLDER}"), ("", ""));
    assert_eq!(answer.status, 200);
    let received = world.upstream.received();
    for expected in [
        format!("authorization: Bearer {VALUE}\r\n"),
        format!("authorization: token {VALUE}\r\n"),
        format!("authorization: Basic {}\r\n", base64(&format!("x-access-token:{VALUE}"))),
        format!("GET /x?a=b&key={VALUE} HTTP/1.1\r\n"),
    ] {
        assert!(received.contains(&expected), "{expected}{received}");
    }
    assert!(!received.contains(HOLDER));
    let line = world.guard.decision(&json!({ "method": "GET", "path": "/repos" }));
    assert_eq!((&line["verdict"], &line["secrets"]), (&json!("allow"), &json!(["TOKEN"])));
    world.is_silent();
}

#[test]
fn nothing_else_of_a_request_changes() {
    let world = World::new();
    let headers = format!(
        "User-Agent: x/1 {HOLDER}\r\nCookie: a={HOLDER}\r\nX-Note: {HOLDER}\r\nAuthorization: Bearer {HOLDER}\r\nAccept: */*\r\n"
    );
    let body = format!("{{\"text\": \"{HOLDER}\"}}");
    let line = format!("POST /{HOLDER}/x?q={HOLDER}");
    assert_eq!(world.ask("own.test", &line, (&headers, &body)).status, 200);
    let authority = world.authority("own.test");
    let expected = format!(
        "{line} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: x/1 {HOLDER}\r\ncookie: a={HOLDER}\r\nx-note: {HOLDER}\r\n\
         authorization: Bearer {VALUE}\r\naccept: */*\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(world.upstream.received(), expected);
}

#[test]
fn a_placeholder_that_is_no_whole_credential_passes_as_it_came() {
    let world = World::new();
    let credentials = [
        format!("Bearer {}", &HOLDER[..HOLDER.len() / 2]),
        format!("Bearer x{HOLDER}"),
        format!("Bearer {HOLDER} {HOLDER}"),
        format!("Bearer {HOLDER},{HOLDER}"),
        format!("Basic {}", base64(&format!("{HOLDER}:{HOLDER}"))),
        format!("Basic {}", base64(&format!("a:x{HOLDER}"))),
        format!("Bearer {BASIC}"),
    ];
    for credential in &credentials {
        let headers = format!("Authorization: {credential}\r\n");
        for host in ["own.test", "else.test"] {
            assert_eq!(world.ask(host, "GET /", (&headers, "")).status, 200, "{credential}");
        }
        let sent = format!("authorization: {credential}\r\n");
        assert_eq!(world.upstream.received().matches(&sent).count(), 2, "{credential}");
    }
    assert!(!world.upstream.received().contains(VALUE));
}

#[test]
fn two_hundred_requests_with_placeholders_in_the_history_pass() {
    let world = World::new();
    let mut inside = world.inside("model.test");
    let mut history = String::from("{\"messages\": [");
    for number in 0..200 {
        history.push_str(&format!(
            "{{\"role\": \"user\", \"text\": \"{number}: GITHUB_TOKEN={HOLDER} api_key = {HOLDER}\"}},"
        ));
        let body = format!("{history}{{}}]}}");
        let key = format!("X-Api-Key: {HOLDER}\r\n");
        let answer = ask(&mut inside, &world.request("model.test", "POST /v1/messages", (&key, &body)));
        assert_eq!(answer.status, 200, "{number}: {}", answer.body);
    }
    let received = world.upstream.received();
    assert_eq!(received.matches(&format!("x-api-key: {VALUE}\r\n")).count(), 200);
    assert_eq!(received.matches(VALUE).count(), 200, "the value is in no body");
    // A host with rules that refuse takes a placeholder for nothing, too, whatever its first letters are.
    let body = format!("token={HOLDER}");
    assert_eq!(world.ask("else.test", "POST /", ("", &body)).status, 200);
}

#[test]
fn a_placeholder_as_a_credential_elsewhere_is_refused_and_says_where_it_may_go() {
    let world = World::new();
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    let key = format!("X-Api-Key: {HOLDER}\r\n");
    let check = |host: &str, headers: &str, code: &str, part: &str| {
        let answer = world.ask(host, "GET /", (headers, ""));
        assert_eq!((answer.status, answer.code()), (403, code), "{host} {headers}");
        assert!(answer.body.contains(part), "{}", answer.body);
    };
    check("else.test", &bearer, "secret_wrong_host", "own.test");
    check("else.test", &key, "secret_wrong_host", "model.test");
    check("model.test", &bearer, "secret_wrong_place", "header: x-api-key");
    check("own.test", &key, "secret_wrong_place", "`basic`, `bearer`");
    assert_eq!(world.ask("own.test", "GET /", (&format!("{bearer}{bearer}"), "")).code(), "bad_request");
    assert_eq!(world.upstream.received(), "", "nothing was sent");
    world.guard.decision(&json!({ "code": "secret_wrong_host", "verdict": "deny", "host": "else.test" }));
}

#[test]
fn no_name_of_a_place_is_a_way_to_have_it_put_in() {
    let world = World::new();
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    // The tunnel's host decides, and no header.
    let own = world.authority("own.test");
    let request = format!("GET / HTTP/1.1\r\nHost: {own}\r\n{bearer}\r\n");
    assert_eq!(ask(&mut world.inside("else.test"), &request).code(), "host_mismatch");
    let request = format!("GET https://{own}/ HTTP/1.1\r\nHost: {own}\r\n{bearer}\r\n");
    assert_eq!(ask(&mut world.inside("else.test"), &request).code(), "bad_request");
    let request = format!("GET / HTTP/1.1\r\nHost: {HOLDER}\r\n\r\n");
    assert_eq!(ask(&mut world.inside("own.test"), &request).status, 400);
    // Behind one that is let through, in the same piece.
    let first = world.request("else.test", "GET /1", ("", ""));
    let mut inside = world.inside("else.test");
    assert_eq!(
        ask(&mut inside, &format!("{first}GET /2 HTTP/1.1\r\nHost: {own}\r\n{bearer}\r\n")).status,
        200
    );
    assert_eq!(read_answer(&mut inside).code(), "host_mismatch");
    let tunnel = open_tunnel(world.guard.address(), &own);
    let ca = world.guard.event("listening")["ca"].as_str().unwrap().to_owned();
    assert!(handshake(tunnel, (&ca, &format!("{}.test", &HOLDER[4..])), &[]).is_err());
    assert!(!world.upstream.received().contains(VALUE));
}

#[test]
fn a_redirect_carries_no_value_to_another_host() {
    let world = World::answering(|request| {
        let query = request.split("key=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        vec![
            format!(
                "HTTP/1.1 302 Found\r\nLocation: https://else.test/?key={query}\r\nContent-Length: 0\r\n\r\n"
            )
            .into_bytes(),
        ]
    });
    let answer = world.ask("own.test", &format!("GET /?key={HOLDER}"), ("", ""));
    assert_eq!(answer.status, 302);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("https://else.test/?key={HOLDER}"));
    // As a client would follow it.
    world.ask("else.test", &format!("GET /?key={HOLDER}"), ("", ""));
    let headers = format!("Authorization: Bearer {HOLDER}\r\n");
    assert_eq!(world.ask("else.test", "GET /", (&headers, "")).code(), "secret_wrong_host");
    assert_eq!(world.upstream.received().matches(VALUE).count(), 1);
}

#[test]
fn the_value_from_the_agent_is_a_leak_at_every_host() {
    let world = World::new();
    let encoded = base64(VALUE);
    for host in ["own.test", "else.test"] {
        for (line, headers, body) in [
            ("GET /", format!("Authorization: Bearer {VALUE}\r\n"), ""),
            ("GET /", format!("Authorization: Basic {}\r\n", base64(&format!("a:{VALUE}"))), ""),
            ("POST /", String::new(), VALUE),
            ("POST /", String::new(), encoded.as_str()),
        ] {
            let answer = world.ask(host, line, (&headers, body));
            assert_eq!((answer.status, answer.code()), (403, "dlp_secret"), "{host} {headers} {body}");
        }
    }
    assert!(!world.upstream.received().contains(VALUE));
    world.is_silent();
}

#[test]
fn plain_http_carries_the_value_only_where_that_is_said() {
    let upstream = Upstream::ok();
    let roots = crate::support::certificates::Roots::new();
    let mut config = config(upstream.port, &roots.pem);
    config["tls_ports"] = json!([]);
    for secret in config["policy"]["secrets"].as_array_mut().unwrap() {
        secret["hosts"] = json!(["own.test"]);
    }
    let port = upstream.port;
    let authority = format!("own.test:{port}");
    let request = |connection: &str| {
        format!(
            "GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{connection}Authorization: Bearer {HOLDER}\r\n\r\n"
        )
    };
    // A port of its own is not the secret's.
    let guard = start(&config);
    assert_eq!(send(guard.address(), request("").as_bytes()).code(), "secret_wrong_host");
    for (plain, expected) in [(false, "secret_needs_tls"), (true, "")] {
        for secret in config["policy"]["secrets"].as_array_mut().unwrap() {
            secret["hosts"] = json!(["own.test", authority]);
            secret["plain_http"] = json!(true);
        }
        config["policy"]["secrets"][0]["plain_http"] = json!(plain);
        if !plain {
            // Its port has to be one of TLS then.
            config["tls_ports"] = json!([port]);
        }
        let guard = start(&config);
        let answer = send(guard.address(), request("Connection: close\r\n").as_bytes());
        match expected {
            "" => assert_eq!(answer.status, 200),
            code => assert_eq!(answer.code(), code),
        }
        config["tls_ports"] = json!([]);
    }
    let received = upstream.received();
    assert_eq!(received.matches(VALUE).count(), 1, "{received}");
    assert!(received.contains(&format!("authorization: Bearer {VALUE}\r\n")));
    // Without a placeholder plain HTTP is as it was.
    assert_eq!(send(start(&config).address(), &get(&authority, "/")).status, 200);
}

#[test]
fn an_attackers_own_key_does_not_reach_a_host_that_takes_the_bottles_alone() {
    let world = World::with(
        |_| vec![OK.to_vec()],
        None,
        |config| {
            config["policy"]["secrets"][1]["only"] = json!(true);
        },
    );
    let own = format!("X-Api-Key: {HOLDER}\r\n");
    assert_eq!(world.ask("model.test", "POST /v1", (&own, "{}")).status, 200);
    assert_eq!(
        world.ask("model.test", "GET /", ("", "")).status,
        200,
        "without a credential nothing is foreign"
    );
    let before = world.upstream.received();
    for (line, headers) in [
        ("POST /v1", "X-Api-Key: attackers-own-key\r\n".to_owned()),
        ("POST /v1", "Authorization: Bearer attackers-own-key\r\n".to_owned()),
        ("POST /v1", format!("{own}Authorization: Bearer attackers-own-key\r\n")),
        ("POST /v1", "Authorization: Basic YTpi\r\n".to_owned()),
        ("POST /v1", "Cookie: sessionKey=attackers-own\r\n".to_owned()),
        ("POST /v1?key=attackers-own-key", own.clone()),
    ] {
        let answer = world.ask("model.test", line, (&headers, "{}"));
        assert_eq!((answer.status, answer.code()), (403, "foreign_credential"), "{line} {headers}");
        assert!(!answer.body.contains("attackers"));
    }
    assert_eq!(world.upstream.received(), before);
    // Elsewhere it is the agent's own affair.
    assert_eq!(
        world.ask("own.test", "GET /", ("Authorization: Bearer attackers-own-key\r\n", "")).status,
        200
    );
}

#[test]
fn a_secret_is_put_into_the_requests_it_is_meant_for() {
    let world = World::with(
        |_| vec![OK.to_vec()],
        None,
        |config| {
            config["policy"]["secrets"][0]["requests"] = json!(["GET /repos/**"]);
            config["policy"]["secrets"][0]["always"] = json!(true);
        },
    );
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    assert_eq!(world.ask("own.test", "GET /repos/x", (&bearer, "")).status, 200);
    for line in ["DELETE /repos/x", "GET /user", "GET /repos/../user", "GET /repos%2f..%2fuser"] {
        assert_eq!(world.ask("own.test", line, (&bearer, "")).code(), "secret_wrong_request", "{line}");
    }
    // Put in without being asked for, for such requests alone, and over no credential.
    assert_eq!(world.ask("own.test", "GET /repos/y", ("", "")).status, 200);
    assert_eq!(world.ask("own.test", "GET /user", ("", "")).status, 200);
    assert_eq!(world.ask("own.test", "GET /repos/z", ("Authorization: Bearer x\r\n", "")).status, 200);
    let received = world.upstream.received();
    assert_eq!(received.matches(&format!("authorization: Bearer {VALUE}\r\n")).count(), 2, "{received}");
}

#[test]
fn without_its_value_no_guard_starts_and_none_takes_other_secrets_later() {
    let world = World::new();
    let roots = crate::support::certificates::Roots::new();
    let mut other = config(world.upstream.port, &roots.pem);
    other["policy"]["secrets"][0]["places"] = json!(["bearer"]);
    let guard = start(&config(world.upstream.port, &roots.pem));
    guard.reload(&other);
    let failed = guard.event("reload_failed");
    assert!(failed["error"].as_str().unwrap().contains("`policy.secrets`"), "{failed}");
    let mut told = other.clone();
    told["version"] = json!(1);
    told["bottle"] = json!("b");
    told["listen"] = json!("127.0.0.1:0");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("guard.yaml");
    std::fs::write(&file, told.to_string()).unwrap();
    for (secrets, part) in
        [("[]", "is missing"), ("[{\"name\":\"TOKEN\",\"value\":\"a b c d e f\"}]", "not a valid value")]
    {
        let mut command = std::process::Command::new(crate::support::binary());
        let done =
            command.args(["run", "--config"]).arg(&file).env("BOTTLE_SECRETS", secrets).output().unwrap();
        let says = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && says.contains(part) && says.contains("`TOKEN`"), "{says}");
    }
}

#[test]
fn a_caught_client_has_its_placeholder_replaced_as_well() {
    let world = World::new();
    let mut stream = connect(world.guard.address());
    write!(stream, "CATCH {} HTTP/1.1\r\n\r\n", world.authority("own.test")).unwrap();
    let ca = world.guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let mut inside = handshake(stream, (&ca, "own.test"), &[]).unwrap();
    let headers = format!("Authorization: Bearer {HOLDER}\r\n");
    assert_eq!(ask(&mut inside, &world.request("own.test", "GET /", (&headers, ""))).status, 200);
    assert!(world.upstream.received().contains(VALUE));
}

#[test]
fn a_field_of_a_body_that_a_secret_names_is_filled_and_any_other_body_is_not() {
    let world = World::with(
        |_| vec![OK.to_vec()],
        None,
        |config| config["policy"]["secrets"][0]["places"] = json!(["bearer", "json: /auth/token"]),
    );
    let body = format!(r#"{{"auth":{{"token":"{HOLDER}"}},"text":"{HOLDER}"}}"#);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(world.ask("own.test", "POST /own", (json, &body)).status, 200);
    let filled = body.replacen(HOLDER, VALUE, 1);
    let received = world.upstream.received();
    let (head, sent) = received.split_once("\r\n\r\n").unwrap();
    assert_eq!(sent, filled);
    assert!(head.contains(&format!("content-length: {}", filled.len())), "{head}");
    world.guard.decision(&json!({ "path": "/own", "secrets": ["TOKEN"] }));
    // Of another type, without a length and towards another host it is text.
    for (host, headers) in [("own.test", "Content-Type: text/plain\r\n"), ("else.test", json)] {
        assert_eq!(world.ask(host, "POST /text", (headers, &body)).status, 200);
    }
    let chunked = format!("{json}Transfer-Encoding: chunked\r\n");
    let head = world.request("own.test", "POST /chunked", (&chunked, ""));
    let request = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(ask(&mut world.inside("own.test"), &request).status, 200);
    assert_eq!(world.upstream.received().matches(VALUE).count(), 1);
    // What is found in the rest of it is refused before any of it goes.
    let leak = format!(r#"{{"auth":{{"token":"{HOLDER}"}},"text":"{VALUE}"}}"#);
    assert_eq!(world.ask("own.test", "POST /leak", (json, &leak)).code(), "dlp_secret");
    assert!(!world.upstream.received().contains("/leak"));
    world.is_silent();
}
