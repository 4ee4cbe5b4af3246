//! A guard that is given everything on standard input, as in a container without files.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::lifecycle::allowing;
use crate::support::{Upstream, binary, get, send};

const SECRETS: &str = r#"[{"name":"TOKEN","value":"hunter2-hunter2-hunter2"}]"#;

fn config(more: &Value) -> String {
    let mut whole = json!({ "version": 1, "bottle": "b", "listen": "127.0.0.1:0" });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole.to_string()
}

fn start(input: &str) -> Child {
    let mut child = Command::new(binary())
        .args(["run", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

#[test]
fn it_serves_looks_for_the_secrets_and_keeps_all_on_a_reload() {
    let upstream = Upstream::echo();
    let mut child = start(&format!("{}\n...\n{SECRETS}", config(&allowing(&upstream))));
    let mut events = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut event = || serde_json::from_str::<Value>(&events.next().unwrap().unwrap()).unwrap();
    let listening = event();
    assert_eq!(listening["event"], "listening");
    let address = listening["address"].as_str().unwrap().parse().unwrap();
    let leak = get(&format!("ok.test:{}", upstream.port), "/?q=hunter2-hunter2-hunter2");
    for _ in 0..2 {
        assert_eq!(send(address, &leak).code(), "dlp_secret");
        assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(event()["event"], "reload_failed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_cut_off_wrong_or_said_twice_is_refused() {
    let whole = config(&json!({}));
    let elsewhere = config(&json!({ "dlp": { "secrets_file": "/nowhere" } }));
    for (input, part) in [
        (String::new(), "ended before"),
        (whole.clone(), "ended before"),
        (whole[..40].to_owned(), "ended before"),
        (format!("{}\n...\n", &whole[..40]), "configuration `-`"),
        (format!("{whole}\n...\n[{{\"name\":\"A\",\"value\":\"hunter2"), "line 1"),
        (format!("{elsewhere}\n...\n{SECRETS}"), "give one"),
    ] {
        let done = start(&input).wait_with_output().unwrap();
        let message = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{message}");
        assert!(message.contains(part) && !message.contains("hunter2"), "{message}");
    }
}
