//! What an archive has of each kind of line.

use super::*;

fn line(text: &str) -> LogRecord {
    let mut whole = json!({
        "time": "2026-01-02T03:04:05.678Z", "event": "request", "connection": 3, "bottle": "b", "client": "unix",
        "method": "GET", "host": "a.test", "port": 443, "verdict": "allow", "code": "allowed", "reason": "answered 200",
        "bytes_up": 0, "bytes_down": 7, "duration_ms": 12,
    });
    let more: Value = serde_json::from_str(text).unwrap();
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn entries(lines: &[&str]) -> Vec<Value> {
    let mut archive = Archive::default();
    lines.iter().for_each(|text| archive.add(&line(text)));
    archive.document()["log"]["entries"].as_array().unwrap().clone()
}

#[test]
fn an_entry_is_a_request_and_its_answer() {
    let text = r#"{ "path": "/x/y", "status": 200, "secrets": ["TOKEN"], "exchange": { "protocol": "HTTP/2", "https": true,
        "request": [["accept", "*/*"], ["authorization", "***"]], "response": [["content-type", "text/html"]] } }"#;
    let entry = entries(&[text]).remove(0);
    let (request, response) = (&entry["request"], &entry["response"]);
    assert_eq!((&request["url"], &request["httpVersion"]), (&json!("https://a.test/x/y"), &json!("HTTP/2")));
    assert_eq!(request["headers"][1], json!({ "name": "authorization", "value": "***" }));
    assert_eq!((&response["status"], &response["content"]["mimeType"]), (&json!(200), &json!("text/html")));
    assert_eq!((&entry["time"], &entry["_secrets"]), (&json!(12), &json!(["TOKEN"])));
}

#[test]
fn what_is_not_a_request_is_not_an_entry() {
    let lines = [
        r#"{ "method": "CONNECT" }"#,
        r#"{ "method": "RESOLVE", "port": 0 }"#,
        r#"{ "method": "" }"#,
        r#"{ "event": "close" }"#,
        r#"{ "event": "policy", "method": "" }"#,
    ];
    assert!(entries(&lines).is_empty());
}

#[test]
fn plain_requests_and_masked_paths_have_a_url() {
    let check = |text: &str, url: &str| assert_eq!(entries(&[text])[0]["request"]["url"], url);
    check(r#"{ "port": 80 }"#, "http://a.test/");
    check(
        r#"{ "port": 8080, "path": "/p", "exchange": { "protocol": "HTTP/1.1", "https": false } }"#,
        "http://a.test:8080/p",
    );
    check(r#"{ "port": 8443, "path": "***" }"#, "https://a.test:8443/***");
}

#[test]
fn a_request_without_an_answer_has_the_status_that_readers_know() {
    let failed = entries(&[r#"{ "path": "/", "verdict": "error", "code": "connect_failed" }"#]).remove(0);
    assert_eq!((&failed["response"]["status"], &failed["_error"]), (&json!(0), &json!("connect_failed")));
}
