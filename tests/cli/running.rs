//! A bottle that runs: listed, entered, stopped.

use insta::assert_snapshot;

use crate::support::{Home, Live, assert_code, assert_says, json, keys, stderr, stdout};

/// Starts an agent that runs until its standard input is closed.
fn running(home: &Home) -> Live {
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    run
}

#[test]
fn it_is_listed_while_it_runs() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["list", "active"]), @"
    exit 0
    --- stderr
    no bottle is running
    ");
    let run = running(&home);
    assert_snapshot!(home.shown(&["list", "active"]), @"
    exit 0
    --- stdout
    NAME                 AGENT  BOTTLE  BACKEND  STATE    AGE  BLOCKED  WORKSPACE  OWNER
    fake-shell-[ID]  shell  dev     fake     running  [AGE] 0        -          [PID]@[HOST]
    ");
    let listed = json(&home.call(&["list", "active", "--format", "json"]));
    assert_eq!(
        keys(&listed[0]),
        [
            "agent",
            "backend",
            "backend_name",
            "bottle",
            "created_unix",
            "id",
            "name",
            "owner",
            "requests_blocked",
            "session",
            "state",
            "workspace"
        ]
    );
    assert_eq!(listed[0]["owner"]["pid"], run.pid());
    assert_code(&run.end(), 0);
    assert_eq!(json(&home.call(&["list", "active", "--format", "json"])), serde_json::json!([]));
}

#[test]
fn its_directory_and_its_refused_requests_are_listed() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--cwd", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let listed = || json(&home.call(&["list", "active", "--format", "json"]))[0].clone();
    assert_eq!(listed()["workspace"], home.work().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(listed()["requests_blocked"], 0);
    assert!(listed()["created_unix"].as_u64() > Some(0));
    let refused = r#"{"time":"2026-01-02T03:04:05.678Z","event":"request","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"evil.test","port":443,"verdict":"deny","code":"not_in_allowlist","reason":"r","bytes_up":0,"bytes_down":0,"duration_ms":0}"#;
    let log = home.run_dir(listed()["id"].as_str().unwrap()).join("egress.jsonl");
    std::fs::write(&log, format!("{refused}\n")).unwrap();
    assert_eq!(listed()["requests_blocked"], 1);
    assert_says(&stdout(&home.call(&["ps"])), &["~/work"]);
    // What cannot be read hides no bottle.
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let output = home.call(&["ps", "--format", "json"]);
    assert_code(&output, 0);
    assert_eq!(json(&output)[0]["requests_blocked"], serde_json::Value::Null);
    assert_says(&stderr(&output), &["warning: cannot read the decisions of run `shell-"]);
    std::fs::remove_dir(&log).unwrap();
    assert_code(&run.end(), 0);
}

#[test]
fn a_program_is_run_in_it() {
    let home = Home::new();
    let run = running(&home);
    let listed = json(&home.call(&["list", "active", "--format", "json"]));
    let (id, name) = (listed[0]["id"].as_str().unwrap(), listed[0]["name"].as_str().unwrap());
    for bottle in ["shell", id, name] {
        let output = home.call_fed(&["exec", bottle, "--", "sh", "-c", "cat; exit 9"], b"through\n");
        assert_code(&output, 9);
        assert_eq!(stdout(&output), "through\n");
    }
    assert_snapshot!(home.shown(&["exec", "shell", "--", "no-such-program"]), @"
    exit 125
    --- stderr
    error: cannot run `no-such-program`
      caused by: No such file or directory (os error 2)
    ");
    assert_code(&run.end(), 0);
}

/// The guard of a bottle keeps the policy it was started with, whatever the manifest says by then.
#[test]
fn a_question_about_its_policy_is_answered_by_what_it_was_started_with() {
    let home = Home::new();
    let run = running(&home);
    let name =
        json(&home.call(&["list", "active", "--format", "json"]))[0]["name"].as_str().unwrap().to_owned();
    let manifest = std::fs::read_to_string(home.manifest()).unwrap();
    let changed = manifest.replace("github.com, ", "pypi.org, ");
    std::fs::write(home.manifest(), changed).unwrap();
    assert_snapshot!(home.shown(&["policy", "check", &name, "pypi.org"]), @"
    exit 1
    --- stdout
    refused: `pypi.org` is not on the allowlist
    bottle: fake-shell-[ID], as it was started
    --- stderr
    warning: the manifest allows it by now; a new bottle of `shell` may, and `fake-shell-[ID]` keeps what it was started with
    ");
    // By its agent too, as long as only one runs; another agent of the same bottle is answered by the manifest.
    for (asked, host, code) in [
        ("shell", "pypi.org", 1),
        ("shell", "github.com", 0),
        ("hello", "pypi.org", 0),
        ("hello", "github.com", 1),
    ] {
        assert_code(&home.call(&["policy", "check", asked, host]), code);
    }
    let answer = json(&home.call(&["policy", "check", "shell", "github.com", "--format", "json"]));
    assert_eq!(
        (&answer["running"], &answer["manifest_allowed"]),
        (&serde_json::json!(name), &serde_json::json!(false))
    );
    let other = running(&home);
    let output = home.call(&["policy", "check", "shell", "pypi.org"]);
    assert_code(&output, 0);
    let told =
        format!("warning: the running bottle `{name}` was started with another policy, which refuses it");
    assert_says(&stderr(&output), &[&told]);
    for run in [run, other] {
        assert_code(&run.end(), 0);
    }
    assert_code(&home.call(&["policy", "check", "shell", "pypi.org"]), 0);
}

#[test]
fn it_is_stopped() {
    let home = Home::new();
    let run = running(&home);
    assert_snapshot!(home.shown(&["stop", "shell"]), @"
    exit 0
    --- stderr
    closed fake-shell-[ID]
    ");
    assert_eq!(home.bottles(), Vec::<String>::new());
    // The run closes what is closed already, which is no failure.
    assert_code(&run.end(), 0);
    assert_snapshot!(home.shown(&["stop", "shell"]), @"
    exit 1
    --- stderr
    error: there is no bottle `shell`; none is running

    hint: claude-bottle list active
    ");
}

#[test]
fn one_of_two_has_to_be_named() {
    let home = Home::new();
    let runs = [running(&home), running(&home)];
    let output = home.call(&["stop", "shell"]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["agent `shell` has 2 bottles running", "claude-bottle list active"]);
    for run in runs {
        assert_code(&run.end(), 0);
    }
    home.assert_nothing_left();
}

#[test]
fn a_bottle_that_is_not_there() {
    let home = Home::new();
    let run = running(&home);
    assert_snapshot!(home.shown(&["exec", "other", "--", "true"]), @"
    exit 125
    --- stderr
    error: there is no bottle `other`; running: fake-shell-[ID]

    hint: claude-bottle list active
    ");
    assert_code(&run.end(), 0);
    assert_snapshot!(home.shown(&["exec", "other", "--", "true"]), @"
    exit 125
    --- stderr
    error: there is no bottle `other`; none is running

    hint: claude-bottle list active
    ");
    assert_snapshot!(home.shown(&["exec", "other"]), @"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      <COMMAND>...

    Usage: claude-bottle exec <BOTTLE> -- <COMMAND>...

    For more information, try '--help'.
    ");
}
