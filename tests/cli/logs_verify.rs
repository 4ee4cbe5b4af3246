//! `logs --verify`: whether a run's decision log is as its proxy wrote it. The agent itself plays the proxy.

use std::fs;
use std::path::PathBuf;

use claude_bottle_egress_policy::Head;
use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, stdout};

/// Returns lines with their places in a chain.
fn chained(hosts: &[&str]) -> String {
    let mut head = Head::default();
    let lines = hosts.iter().map(|host| {
        let line = head.stamp(
            format!(r#"{{"time":"t","event":"request","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"{host}","port":443,"verdict":"deny","code":"not_in_allowlist","reason":"r","bytes_up":1,"bytes_down":2,"duration_ms":3}}"#)
                .as_bytes(),
        );
        head = head.after(&line);
        String::from_utf8(line).unwrap()
    });
    lines.collect()
}

/// Runs an agent whose proxy wrote this, and returns where its log is.
fn after_a_run(text: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let record = home.run_dir("shell-*").join("record.json");
    let script = format!("set -- {}; cat > \"${{1%record.json}}egress.jsonl\"", record.display());
    let output = home.call_fed(&["start", "shell", "--yes", "--", &script], text.as_bytes());
    assert_code(&output, 0);
    let id = json(&home.call(&["logs", "--format", "json"]))[0]["id"].as_str().unwrap().to_owned();
    let log = home.run_dir(&id).join("egress.jsonl");
    assert_eq!(fs::read_to_string(&log).unwrap(), text);
    (home, log)
}

#[test]
fn a_run_has_the_end_of_its_log_and_what_was_changed_since_is_named() {
    let text = chained(&["a.test", "b.test", "c.test", "d.test"]);
    let (home, log) = after_a_run(&text);
    let verify = || home.call(&["logs", "shell", "--verify"]);
    let intact = verify();
    assert_code(&intact, 0);
    let hash = Head::last(text.as_bytes()).unwrap().hash.to_string();
    assert_says(
        &stdout(&intact),
        &["intact: it ends where the record", "lines  4\n", &format!("line 4, {hash}")],
    );

    let changed = text.replace("b.test", "x.test").replace("\"d.test\"", "\"y.test\"");
    fs::write(&log, changed.replacen('\n', "\n\n", 1)).unwrap();
    assert_code(&verify(), 1);
    assert_snapshot!(home.shown(&["logs", "shell", "--verify"]), @"
    exit 1
    --- stdout
    not intact: 3 problems
      egress.jsonl:2  not a line of the guard's: added, or half of one
      egress.jsonl:4  line 2 was changed
      egress.jsonl:5  line 4 was changed
    lines  5
    end    line 4, [SHA256]
    ");

    fs::write(&log, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let cut = home.call(&["logs", "shell", "--verify", "--format", "json"]);
    assert_code(&cut, 1);
    let cut = json(&cut);
    assert_eq!((&cut["state"], &cut["lines"]), (&"broken".into(), &2.into()));
    assert_eq!(
        cut["problems"],
        serde_json::json!([{ "kind": "missing", "from": 3, "to": 4, "file": "egress.jsonl", "at": 3, "text": "cut out: lines 3 to 4" }])
    );
    fs::remove_file(&log).unwrap();
    assert_says(&stdout(&verify()), &["cut out: lines 1 to 4"]);
    fs::write(&log, &text).unwrap();
    assert_code(&verify(), 0);
}

#[test]
fn a_log_that_cannot_be_checked_is_said_to_be_one_and_fails() {
    let (home, _) = after_a_run("{\"component\":\"pipelock\",\"event\":\"startup\"}\n");
    let output = home.call(&["logs", "shell", "--verify"]);
    assert_code(&output, 1);
    assert_says(&stdout(&output), &["cannot be checked: no line carries a hash"]);

    let (home, log) = after_a_run(&chained(&["a.test"]));
    let record = log.with_file_name("record.json");
    let mut of_an_older_host: serde_json::Value =
        serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(of_an_older_host.as_object_mut().unwrap().remove("log_end").is_some());
    fs::write(&record, of_an_older_host.to_string()).unwrap();
    let output = home.call(&["logs", "shell", "--verify"]);
    assert_code(&output, 1);
    assert_says(&stdout(&output), &["the record of the run does not say where its log ended"]);
}
