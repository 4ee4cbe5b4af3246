//! `logs`, and what `start` says of refused requests. The agent itself plays the proxy and writes the log.

use std::fs;

use insta::assert_snapshot;

use crate::support::live::wait_for_change;
use crate::support::{Home, Live, assert_code, assert_says, json, keys, stderr, stdout};

fn line(event: &str, verdict: &str, code: &str, host: &str, port: u16) -> String {
    format!(
        r#"{{"time":"2026-01-02T03:04:05.678Z","event":"{event}","connection":1,"bottle":"b","client":"unix","method":"CONNECT","host":"{host}","port":{port},"verdict":"{verdict}","code":"{code}","reason":"the reason","bytes_up":1,"bytes_down":2,"duration_ms":3}}"#
    )
}

/// Returns a script that appends what it reads to the log of the run it is in.
fn log_writer(home: &Home) -> String {
    let log = home.run_dir("shell-*").join("egress.jsonl");
    format!(
        "set -- {}; log=${{1%record.json}}egress.jsonl; echo ready; while read -r line; do printf '%s\\n' \"$line\" >> \"$log\"; done",
        log.with_file_name("record.json").display()
    )
}

/// Runs an agent whose proxy decided this.
fn after_a_run(lines: &[String]) -> (Home, std::process::Output) {
    let home = Home::new();
    let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let output = home.call_fed(&["start", "shell", "--yes", "--", &log_writer(&home)], input.as_bytes());
    assert_code(&output, 0);
    (home, output)
}

fn decisions() -> Vec<String> {
    vec![
        line("request", "allow", "allowed", "api.anthropic.com", 443),
        line("close", "allow", "allowed", "api.anthropic.com", 443),
        line("request", "deny", "not_in_allowlist", "evil.test", 443),
        line("request", "deny", "not_in_allowlist", "evil.test", 443),
        line("request", "deny", "port_not_allowed", "github.com", 22),
        line("request", "deny", "denied_by_rule", "gist.github.com", 443),
        line("request", "error", "connect_failed", "github.com", 443),
        line("request", "deny", "bad_host", "", 0),
    ]
}

#[test]
fn a_run_ends_with_what_was_blocked() {
    let (home, output) = after_a_run(&decisions());
    assert_snapshot!(home.show(&output), @r#"
    exit 0
    --- stdout
    ready
    --- stderr
      agent      shell: sh -c 'set -- [HOME]/.local/state/claude-bottle/bottles/shell-*/record.json; log=${1%record.json}egress.jsonl; echo ready; while read -r line; do printf '"'%s\\n' \""'$line" >> "$log"; done'; in bottle dev (fake, none)
      workspace  none (--cwd copies one in)
      secrets    none
      egress     NOT ENFORCED by this backend: every host may be reached, not only 9 (git.example:22, github.com, 7 defaults)
      given      env: COLOUR
      note: the fake backend isolates nothing; it is for tests
    5 requests blocked
        2  evil.test:443        not_in_allowlist
        1  -                    bad_host
        1  gist.github.com:443  denied_by_rule
        1  github.com:22        port_not_allowed
    1 allowed request failed
        1  github.com:443  connect_failed
    hint: to allow evil.test, github.com:22, add them to `egress.allowlist` of bottle `dev` (~/claude-bottle.yaml:2): claude-bottle edit
    hint: see every decision: claude-bottle logs shell-[ID] --egress
    "#);
}

#[test]
fn a_run_that_asked_for_nothing_forbidden_ends_silently() {
    let (home, output) = after_a_run(&decisions()[..2]);
    assert!(!stderr(&output).contains("blocked"), "{}", stderr(&output));
    assert_snapshot!(home.shown(&["logs", "shell"]), @"
    exit 0
    --- stdout
    run       shell-[ID]
    agent     shell
    bottle    dev
    backend   fake
    name      fake-shell-[ID]
    phase     ended
    began     [AGE] ago
    took      [AGE] 
    exit code 0
    requests  1 allowed, 0 blocked, 0 failed
    files     [HOME]/.local/state/claude-bottle/bottles/shell-[ID]
    steps     make-record [MS], close [MS]
    ");
}

#[test]
fn runs_are_listed() {
    let (home, _) = after_a_run(&decisions());
    assert_snapshot!(Home::new().shown(&["logs"]), @"
    exit 0
    --- stdout
    RUN  AGENT  BOTTLE  BACKEND  PHASE  AGE  TOOK  EXIT  BLOCKED
    ");
    assert_snapshot!(home.shown(&["logs"]), @"
    exit 0
    --- stdout
    RUN             AGENT  BOTTLE  BACKEND  PHASE  AGE  TOOK  EXIT  BLOCKED
    shell-[ID]  shell  dev     fake     ended  [AGE] [AGE] 0     5
    ");
    let listed = json(&home.call(&["logs", "--format", "json"]));
    let expected = [
        "agent",
        "backend",
        "bottle",
        "created_unix",
        "credentials_refused",
        "directory",
        "duration_seconds",
        "ended_unix",
        "exit_code",
        "id",
        "lines_dropped",
        "name",
        "owner",
        "phase",
        "requests_allowed",
        "requests_blocked",
        "requests_exact",
        "requests_failed",
        "requests_own",
        "timings",
        "workspace",
    ];
    assert_eq!(keys(&listed[0]), expected);
    assert_eq!(json(&home.call(&["logs", "shell", "--format", "json"])), listed[0]);
}

#[test]
fn how_a_run_went_is_kept() {
    let home = Home::new();
    assert_code(&home.call(&["start", "shell", "--yes", "--cwd", "--", "exit 7"]), 7);
    let run = json(&home.call(&["logs", "shell", "--format", "json"]));
    assert_eq!(run["exit_code"], 7);
    assert_eq!(run["workspace"], home.work().canonicalize().unwrap().to_str().unwrap());
    let number = |key: &str| run[key].as_u64().unwrap();
    assert_eq!(number("ended_unix") - number("created_unix"), number("duration_seconds"));
    let steps: Vec<_> = run["timings"].as_array().unwrap().iter().map(keys).collect();
    assert!(!steps.is_empty() && steps.iter().all(|keys| *keys == ["millis", "step"]), "{run:#}");
    assert_says(
        &stdout(&home.call(&["logs", "shell"])),
        &["exit code 7\n", "workspace ~/work\n", "steps     "],
    );
}

#[test]
fn how_a_killed_run_ended_is_not_guessed() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let running = json(&home.call(&["logs", "shell", "--format", "json"]));
    run.send(rustix::process::Signal::KILL);
    run.end();
    home.wait_until_nothing_left();
    let directory = home.run_dir(running["id"].as_str().unwrap());
    let ended = || json(&home.call(&["logs", "shell", "--format", "json"]));
    wait_for_change(&[directory], || ended()["phase"] == "ended");
    for found in [running, ended()] {
        for unknown in ["exit_code", "ended_unix", "duration_seconds"] {
            assert_eq!(found[unknown], serde_json::Value::Null, "{unknown}");
        }
    }
    assert!(!stdout(&home.call(&["logs", "shell"])).contains("exit code"));
}

/// A run may ask for more than its log keeps: the numbers stay exact, and what is missing is told.
#[test]
fn what_a_full_log_has_dropped_is_counted_and_told() {
    let (home, _) = after_a_run(&decisions());
    let id = json(&home.call(&["logs", "--format", "json"]))[0]["id"].as_str().unwrap().to_owned();
    let log = home.run_dir(&id).join("egress.jsonl");
    let all = std::fs::read(&log).unwrap();
    for _ in 0..3 {
        claude_bottle_egress_policy::rotation::rotate(&log).unwrap();
        std::fs::write(&log, &all).unwrap();
    }
    let run = json(&home.call(&["logs", &id, "--format", "json"]));
    assert_eq!(run["requests_blocked"], 4 * 5);
    let output = home.call(&["logs", &id, "--egress"]);
    assert_code(&output, 0);
    let dropped = run["lines_dropped"].as_u64().unwrap();
    assert_says(
        &stderr(&output),
        &[&format!("{dropped} older lines are no longer in the log: "), "10 blocked"],
    );
}

#[test]
fn decisions_are_a_table_or_the_lines_themselves() {
    let (home, _) = after_a_run(&decisions());
    let id = json(&home.call(&["logs", "--format", "json"]))[0]["id"].as_str().unwrap().to_owned();
    assert_snapshot!(home.shown(&["logs", "shell", "--egress"]), @"
    exit 0
    --- stdout
    TIME                      VERDICT  HOST                          REASON
    2026-01-02T03:04:05.678Z  allow    api.anthropic.com:443         the reason
    2026-01-02T03:04:05.678Z  deny     evil.test:443                 the reason
    2026-01-02T03:04:05.678Z  deny     evil.test:443                 the reason
    2026-01-02T03:04:05.678Z  deny     github.com:22                 the reason
    2026-01-02T03:04:05.678Z  deny     gist.github.com:443           the reason
    2026-01-02T03:04:05.678Z  error    github.com:443                the reason
    2026-01-02T03:04:05.678Z  deny     -                             the reason
    ");
    for bottle in ["shell", &id, &format!("fake-{id}")] {
        let output = home.call(&["logs", bottle, "--egress", "--format", "json"]);
        assert_eq!(stdout(&output).lines().collect::<Vec<_>>(), decisions(), "by `{bottle}`");
    }
}

#[test]
fn what_was_refused_is_suggested_as_lines_of_a_manifest() {
    let (home, _) = after_a_run(&decisions());
    let suggested = home.call(&["policy", "suggest", "shell"]);
    assert_code(&suggested, 0);
    let lines = "egress:\n  allowlist:\n    - evil.test  # 2 requests\n    - github.com:22  # 1 request\n";
    assert_eq!(stdout(&suggested), lines);
    assert_says(
        &stderr(&suggested),
        &[
            "add those that you trust to bottle `dev`: claude-bottle policy suggest shell --save",
            "claude-bottle policy allow fake-shell-",
        ],
    );
    // What the manifest has by now would go through.
    let manifest = fs::read_to_string(home.path().join("claude-bottle.yaml")).unwrap();
    let with = manifest.replacen("allowlist: [", "allowlist: [evil.test, ", 1);
    assert_ne!(with, manifest);
    home.write("claude-bottle.yaml", &with);
    let left = json(&home.call(&["policy", "suggest", "shell", "--format", "json"]));
    assert_eq!(left, serde_json::json!([{ "rule": "github.com:22", "requests": 1 }]));
    let unknown = home.call(&["policy", "suggest", "nothing"]);
    assert_code(&unknown, 1);
    assert_says(&stderr(&unknown), &["there is no record of a run `nothing`"]);
    let (home, _) = after_a_run(&decisions()[..2]);
    let nothing = home.call(&["policy", "suggest", "shell"]);
    assert_code(&nothing, 0);
    assert_eq!(stdout(&nothing), "");
    assert_says(&stderr(&nothing), &["was refused nothing that a new rule would let through"]);
}

#[test]
fn a_log_cannot_drive_the_terminal() {
    let hostile = line("request", "deny", "bad_host", "\u{9b}2J\u{202e}x", 443);
    let (home, output) = after_a_run(&[hostile, "not json \u{1b}[2J".to_owned()]);
    let table = home.call(&["logs", "shell", "--egress"]);
    let raw = home.call(&["logs", "shell", "--egress", "--format", "json"]);
    for text in [stderr(&output), stdout(&table), stdout(&raw)] {
        assert!(!text.contains(['\u{9b}', '\u{1b}', '\u{202e}']), "{text:?}");
    }
    assert_says(&stdout(&table), &["\\u{9b}2J\\u{202e}x:443", "not json \\u{1b}[2J"]);
    let first: serde_json::Value = serde_json::from_str(stdout(&raw).lines().next().unwrap()).unwrap();
    assert_eq!(first["host"], "\u{9b}2J\u{202e}x");
}

#[test]
fn there_is_nothing_to_show() {
    let home = Home::new();
    assert_code(&home.call(&["start", "hello", "--yes"]), 0);
    assert_snapshot!(home.shown(&["logs", "hello", "--egress"]), @"
    exit 0
    --- stderr
    the run made no request
    ");
    assert_snapshot!(home.shown(&["logs", "helo", "--egress"]), @"
    exit 1
    --- stderr
    error: there is no record of a run `helo`

    hint: did you mean `hello`?
    hint: see the runs there were: claude-bottle logs
    ");
    assert_snapshot!(home.shown(&["logs", "--follow"]), @"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      <BOTTLE>

    Usage: claude-bottle logs --follow <BOTTLE>

    For more information, try '--help'.
    ");
}

#[test]
fn a_run_is_followed_to_its_end() {
    let home = Home::new();
    let mut run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", &log_writer(&home)]));
    run.wait_for_stdout("ready");
    run.feed(&(line("request", "allow", "allowed", "before.test", 443) + "\n"));
    let table = Live::start(&mut home.command(&["logs", "shell", "--follow"]));
    let lines = Live::start(&mut home.command(&["logs", "shell", "--follow", "--format", "json"]));
    for follower in [&table, &lines] {
        follower.wait_for_stdout("before.test");
    }
    run.feed(&(line("request", "deny", "not_in_allowlist", "after.test", 443) + "\n"));
    for follower in [&table, &lines] {
        follower.wait_for_stdout("after.test");
    }
    assert_code(&run.end(), 0);
    for follower in [table, lines] {
        let output = follower.end();
        assert_code(&output, 0);
        assert_eq!(stdout(&output).matches("after.test").count(), 1, "{}", stdout(&output));
    }
}

#[test]
fn following_goes_on_over_a_renamed_log_and_ends_on_an_interrupt() {
    let home = Home::new();
    let mut run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", &log_writer(&home)]));
    run.wait_for_stdout("ready");
    let follower = Live::start(&mut home.command(&["logs", "shell", "--follow"]));
    run.feed(&(line("request", "allow", "allowed", "first.test", 443) + "\n"));
    follower.wait_for_stdout("first.test");
    let runs = home.names_in(".local/state/claude-bottle/bottles");
    let log = home.run_dir(&runs[0]).join("egress.jsonl");
    fs::rename(&log, log.with_extension("jsonl.1")).unwrap();
    run.feed(&(line("request", "allow", "allowed", "second.test", 443) + "\n"));
    follower.wait_for_stdout("second.test");
    follower.send(rustix::process::Signal::INT);
    assert_code(&follower.end(), 130);
    assert_code(&run.end(), 0);
}

/// Lines of pipelock's are decisions too; what is none of them is shown and not counted.
#[test]
fn what_pipelock_decided_reads_as_the_guards() {
    let pipelock = |fields: &str| {
        format!(
            r#"{{"level":"warn","component":"pipelock",{fields},"client_ip":"172.18.0.3","time":"2026-01-02T03:04:05Z","message":"m"}}"#
        )
    };
    let lines = [
        pipelock(r#""event":"startup","listen":"0.0.0.0:8888""#),
        pipelock(r#""event":"tunnel_open","target":"api.anthropic.com:443""#),
        pipelock(
            r#""event":"blocked","method":"CONNECT","target":"evil.test:8443","scanner":"allowlist","reason":"domain not in allowlist: evil.test""#,
        ),
    ];
    let (home, output) = after_a_run(&lines);
    // It knows no ports, so neither does the rule that would allow the host.
    assert_says(
        &stderr(&output),
        &["1 request blocked", "evil.test:8443  not_in_allowlist", "allow evil.test, add it"],
    );
    let shown = stdout(&home.call(&["logs", "shell", "--egress", "--format", "json"]));
    let shown: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown[0]["event"], "startup");
    assert_eq!((&shown[1]["verdict"], &shown[1]["host"]), (&"allow".into(), &"api.anthropic.com".into()));
    assert_eq!((&shown[2]["code"], &shown[2]["port"]), (&"not_in_allowlist".into(), &8443.into()));
}

#[test]
fn a_bottle_behind_pipelock_is_told_that_ports_do_not_count() {
    let shown = Home::new().shown_with(
        &["policy", "check", "hello", "api.anthropic.com"],
        &[("CLAUDE_BOTTLE_PIPELOCK_IMAGE", "pipelock:1")],
    );
    assert_says(&shown, &["warning: this bottle's proxy is pipelock, which knows no ports"]);
}
