//! What goes to a model: a conversation is sent again with each request, so a finding in it is masked and does not end it.

use std::io::Write as _;

use serde_json::json;

use crate::support::held::{HOLDER, OK, VALUE, World};
use crate::support::inside::ask;

fn key() -> String {
    format!("X-Api-Key: {HOLDER}\r\n")
}

#[test]
fn a_secret_in_a_conversation_is_masked_and_the_next_request_works() {
    let world = World::new();
    let mut inside = world.inside("model.test");
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("x{VALUE}"))
    };
    let body = json!({ "messages": [format!("TOKEN={VALUE}\n"), encoded, "and more"] }).to_string();
    for _ in 0..2 {
        let answer = ask(&mut inside, &world.request("model.test", "POST /v1", (&key(), &body)));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let received = world.upstream.received();
    let (_, sent) = received.split_once("\r\n\r\n").unwrap();
    let sent = sent.split("POST ").next().unwrap();
    assert_eq!(sent.len(), body.len(), "the length stays");
    let read: serde_json::Value = serde_json::from_str(sent).unwrap();
    assert_eq!(read["messages"][0], format!("TOKEN={}\n", "*".repeat(VALUE.len())));
    assert!(!received.contains(&encoded[4..encoded.len() - 4]));
    assert_eq!(received.matches(VALUE).count(), 2, "in its place, and nowhere else");
    let line = world.guard.decision(&json!({ "verdict": "warn", "code": "dlp_secret" }));
    assert!(
        line["reason"].as_str().unwrap().contains("`TOKEN` in the body of the request was masked"),
        "{line}"
    );
    world.is_silent();
    // Elsewhere the same body is refused.
    assert_eq!(world.ask("else.test", "POST /v1", ("", &body)).code(), "dlp_secret");
}

#[test]
fn a_value_split_over_reads_is_masked_too() {
    let world = World::new();
    let mut inside = world.inside("model.test");
    let head = world.request("model.test", "POST /v1", ("Transfer-Encoding: chunked\r\n", ""));
    inside.write_all(head.as_bytes()).unwrap();
    for piece in [&VALUE[..3], &VALUE[3..11], &VALUE[11..], " end"] {
        inside.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).unwrap();
    }
    assert_eq!(ask(&mut inside, "0\r\n\r\n").status, 200);
    let received = world.upstream.received();
    assert!(!received.contains(&VALUE[11..]) && received.contains("end"), "{received}");
}

#[test]
fn what_cannot_be_masked_is_refused_at_a_model_as_well() {
    let world = World::new();
    let packed = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(format!("TOKEN={VALUE}").as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let head = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
    let mut inside = world.inside("model.test");
    inside.write_all(world.request("model.test", "POST /v1", (&head, "")).as_bytes()).unwrap();
    inside.write_all(&packed).unwrap();
    assert_eq!(ask(&mut inside, "").code(), "dlp_secret");
    // Letters apart are a reading that cannot be overwritten.
    let spread: String = VALUE.chars().flat_map(|letter| [letter, ' ']).collect();
    assert_eq!(world.ask("model.test", "POST /v1", (&key(), &spread)).code(), "dlp_secret");
    let headers = format!("X-Note: {VALUE}\r\n");
    assert_eq!(world.ask("model.test", "POST /v1", (&headers, "")).code(), "dlp_secret");
    assert!(!world.upstream.received().contains(VALUE));
}

#[test]
fn what_fits_a_rule_is_a_warning_at_a_model_and_refused_elsewhere() {
    let world = World::with(|_| vec![OK.to_vec()], None, |_| ());
    // Put together at run time, so that no scanner takes this file for a leak.
    let token = ["gh", "p_", "9aZ3kQ7xW1vB5nM8cL2jH6gF4dS0pReTyU1q"].concat();
    let body = json!({ "text": format!("token = {token}") }).to_string();
    assert_eq!(world.ask("model.test", "POST /v1", (&key(), &body)).status, 200);
    world.guard.decision(&json!({ "verdict": "warn", "code": "dlp_rule" }));
    assert_eq!(world.ask("else.test", "POST /v1", ("", &body)).code(), "dlp_rule");
}
