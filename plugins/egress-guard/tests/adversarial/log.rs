//! A disk that is full: no decision is lost, and nothing goes out that could not be written.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Guard, PATIENCE, Upstream, get, send};

/// Bytes of the disk the log is on.
const DISK: &str = "65536";

/// A guard whose log is on a small disk of its own, which bubblewrap makes for it.
fn start(upstream: &Upstream, disk: &Path) -> Guard {
    let config = json!({
        "log": { "stdout": true, "file": disk.join("egress.jsonl") },
        "policy": {
            "rules": [{ "rule": format!("ok.test:{}", upstream.port) }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    });
    let disk = disk.to_str().unwrap();
    let bwrap = ["bwrap", "--dev-bind", "/", "/", "--size", DISK, "--tmpfs", disk, "--die-with-parent", "--"];
    Guard::start_within(&bwrap, &config)
}

/// Writes into a file until there is no room.
fn fill(path: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    while file.write_all(&[b'x'; 512]).is_ok() {}
    while file.write_all(b"x").is_ok() {}
}

#[test]
fn on_a_full_disk_nothing_goes_out_and_no_line_is_lost_or_torn() {
    let (upstream, dir) = (Upstream::ok(), tempfile::tempdir().unwrap());
    let guard = start(&upstream, dir.path());
    let disk = guard.root().join(dir.path().strip_prefix("/").unwrap());
    let ask = || send(guard.address(), &get(&format!("ok.test:{}", upstream.port), "/"));
    let deadline = Instant::now() + PATIENCE;
    let until = |status: u16| {
        let mut asked = 1;
        while ask().status != status {
            assert!(Instant::now() < deadline, "no answer with {status}");
            asked += 1;
        }
        asked
    };

    let mut asked = until(200);
    fill(&disk.join("filler"));
    // The last page of the log has room for a few lines more, and then for half a one.
    asked += until(503);
    let reached = upstream.connections();
    let refusal = ask();
    assert_eq!(refusal.code(), "log_failed");
    assert_eq!(upstream.connections(), reached, "a request went out unwritten");
    guard.event("log_failed");

    fs::remove_file(disk.join("filler")).unwrap();
    asked += 1 + until(200);
    guard.event("log_works_again");
    let text = fs::read_to_string(disk.join("egress.jsonl")).unwrap();
    let written: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    // The line of an answer is written behind it.
    assert!(written.len() == asked || written.len() == asked - 1, "{} of {asked} lines", written.len());
    assert!(written.iter().any(|line| line["code"] == "log_failed"));
    let numbers: Vec<u64> = written.iter().map(|line| line["connection"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}
