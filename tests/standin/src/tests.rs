//! The stand-in over real sockets: what it answers, streams, records, and that it stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::{Config, Recorded, Script, Standin, Tls, ToolCall};

fn start(script: Script) -> Standin {
    Standin::start(Config { script, ..Config::default() }).unwrap()
}

fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: standin\r\nauthorization: Bearer token-1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn ask(standin: &Standin, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(standin.address()).unwrap();
    stream.write_all(request(method, path, body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn json_body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The data of each event of a chunked stream; no event of ours is longer than a chunk.
fn events(answer: &str) -> Vec<Value> {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[test]
fn a_message_is_answered_whole_or_as_a_stream() {
    let standin = start(Script { reply: "all well".into(), run: None });
    let whole = ask(&standin, "POST", "/v1/messages?beta=true", r#"{"model":"m"}"#);
    assert!(whole.starts_with("HTTP/1.1 200 "), "{whole}");
    let message = json_body(&whole);
    assert_eq!(message["content"][0]["text"], "all well");
    assert_eq!(message["model"], "m");
    assert_eq!(message["stop_reason"], "end_turn");

    let streamed = ask(&standin, "POST", "/v1/messages", r#"{"model":"m","stream":true}"#);
    assert!(streamed.contains("text/event-stream") && streamed.contains("chunked"), "{streamed}");
    let events = events(&streamed);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert_eq!(events[2]["delta"]["text"], "all well");
}

#[test]
fn a_command_is_given_once_and_only_where_the_tool_is_offered() {
    let standin = start(Script { reply: "done".into(), run: Some(ToolCall::bash("id -u")) });
    let tools = json!([{"name": "Bash"}]);
    let without_tool = json!({"model": "m"});
    let first = json!({"model": "m", "tools": tools, "messages": [{"role": "user", "content": "hi"}]});
    let second = json!({"model": "m", "tools": tools, "messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_standin", "content": "1000"}]}]});
    let content = |body: &Value| {
        json_body(&ask(&standin, "POST", "/v1/messages", &body.to_string()))["content"][0].clone()
    };

    assert_eq!(content(&without_tool)["text"], "done");
    assert_eq!(content(&first)["input"]["command"], "id -u");
    assert_eq!(content(&second)["text"], "done");

    let mut streaming = first;
    streaming["stream"] = json!(true);
    let events = events(&ask(&standin, "POST", "/v1/messages", &streaming.to_string()));
    let input: Value = serde_json::from_str(events[2]["delta"]["partial_json"].as_str().unwrap()).unwrap();
    assert_eq!(input["command"], "id -u");
    assert_eq!(events[4]["delta"]["stop_reason"], "tool_use");
}

#[test]
fn tools_are_called_one_after_the_other_and_then_the_answer_comes() {
    let more =
        ["Read", "Edit"].map(|tool| ToolCall { tool: tool.to_owned(), input: json!({"file_path": "/x"}) });
    let script = Script { reply: "done".into(), run: Some(ToolCall::bash("true")) };
    let standin = Standin::start(Config { script, more: more.into(), ..Config::default() }).unwrap();
    let result =
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "y"}]});
    let offered = json!([{"name": "Bash"}, {"name": "Read"}, {"name": "Edit"}]);
    let called = |results: usize| {
        let body = json!({"model": "m", "tools": offered, "messages": vec![result.clone(); results]});
        let content =
            json_body(&ask(&standin, "POST", "/v1/messages", &body.to_string()))["content"][0].clone();
        content["name"].as_str().map_or_else(|| content["text"].as_str().unwrap().to_owned(), str::to_owned)
    };
    assert_eq!([0, 1, 2, 3].map(called), ["Bash", "Read", "Edit", "done"]);
}

#[test]
fn other_paths_are_answered_as_the_cli_expects() {
    let standin = start(Script::default());
    for (method, path, status) in [
        ("HEAD", "/api/hello", "200"),
        ("GET", "/v1/oauth/hello", "200"),
        ("GET", "/v1/models?limit=1000", "200"),
        ("POST", "/v1/messages/count_tokens", "200"),
        ("GET", "/v1/messages", "404"),
        ("GET", "/api/claude_code/settings", "404"),
    ] {
        let answer = ask(&standin, method, path, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
    }
}

#[test]
fn requests_are_recorded_in_memory_and_as_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record.jsonl");
    let standin = Standin::start(Config { record: Some(file.clone()), ..Config::default() }).unwrap();
    let body = r#"{"model":"m","system":[{"type":"text","text":"first"},{"type":"text","text":"appended"}]}"#;
    ask(&standin, "POST", "/v1/messages?beta=true", body);
    ask(&standin, "POST", "/v1/other", "not json");

    let recorded = standin.requests();
    assert_eq!(recorded.len(), 2);
    assert_eq!(recorded[0].header("authorization"), Some("Bearer token-1"));
    assert_eq!(recorded[0].path, "/v1/messages?beta=true");
    assert_eq!(recorded[0].system_prompt(), "first\nappended");
    assert!(recorded[0].peer.is_loopback());
    assert_eq!(recorded[1].body, json!("not json"));
    assert_eq!(standin.messages(), recorded[..1]);

    let lines = std::fs::read_to_string(&file).unwrap();
    let from_file: Vec<Recorded> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(from_file, recorded);
}

#[test]
fn waiting_ends_with_the_request_or_the_timeout() {
    let standin = start(Script::default());
    assert_eq!(standin.wait_for(Duration::from_millis(20), |_| true), None);
    std::thread::scope(|scope| {
        scope.spawn(|| ask(&standin, "GET", "/late", ""));
        let found = standin.wait_for(Duration::from_secs(30), |request| request.path == "/late");
        assert_eq!(found.unwrap().method, "GET");
    });
}

#[test]
fn tls_is_trusted_through_the_written_authority_and_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    let tls = Tls { names: vec!["api.example.test".into()], ca_file: ca_file.clone() };
    let standin = Standin::start(Config { tls: Some(tls), ..Config::default() }).unwrap();
    assert!(standin.url().starts_with("https://127.0.0.1:"));

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca_file).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let connect = |name: &'static str| {
        let client = ClientConnection::new(Arc::clone(&config), ServerName::try_from(name).unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(standin.address()).unwrap());
        stream.write_all(request("POST", "/v1/messages", r#"{"model":"m"}"#).as_bytes())?;
        let mut answer = Vec::new();
        // The server closes without a TLS goodbye when it is dropped mid-way; here the answer is complete.
        stream.read_to_end(&mut answer).map(|_| String::from_utf8(answer).unwrap())
    };
    assert!(connect("api.example.test").unwrap().contains("Hello from the stand-in."));
    assert!(connect("other.example.test").is_err());
}

#[test]
fn dropping_it_frees_the_port() {
    let standin = start(Script::default());
    let address = standin.address();
    drop(standin);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_taken_port_is_an_error_with_the_address() {
    let standin = start(Script::default());
    let error = Standin::start(Config { listen: standin.address(), ..Config::default() }).unwrap_err();
    assert_eq!(error.to_string(), format!("listen on `{}`", standin.address()));
}

#[test]
fn another_credential_than_the_one_that_is_taken_is_answered_with_401() {
    for (accepted, status) in [("token-1", "200"), ("token-2", "401")] {
        let config = Config { accepts: Some(accepted.to_owned()), ..Config::default() };
        let standin = Standin::start(config).unwrap();
        let answer = ask(&standin, "POST", "/v1/messages", r#"{"model":"m"}"#);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let hello = ask(&standin, "GET", "/api/hello", "");
        assert!(hello.starts_with("HTTP/1.1 200 "), "{hello}");
    }
}

#[test]
fn a_server_of_tools_is_spoken_to_over_http() {
    let standin = start(Script::default());
    let call = |message: Value| ask(&standin, "POST", "/mcp", &message.to_string());
    let listed = json_body(&call(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })));
    assert_eq!(listed["result"]["tools"][0]["name"], "look");
    let called = json_body(&call(json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" })));
    assert_eq!(
        (&called["id"], &called["result"]["content"][0]["text"]),
        (&json!(2), &json!(crate::mcp::SEEN))
    );
    let told = call(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    assert!(told.starts_with("HTTP/1.1 202 "), "{told}");
}
