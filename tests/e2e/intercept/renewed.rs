//! Another value for a secret of a bottle that runs: by `secret set`, and by a command that is asked again.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use claude_bottle_standin::{Recorded, Script};

use super::secrets::outside;
use crate::egress::session::Session;
use crate::intercept::above::Bottle;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::screen::Screen;
use crate::support::{assert_code, stderr, stdout};

on_each_backend!(
    a_running_bottle_gets_a_new_value_that_is_typed_or_read_and_is_nowhere_else,
    a_command_is_asked_again_while_the_agent_runs_and_a_failure_is_told_at_the_end,
);

const FORGE: &str = "api.forge.test";
const VALUES: [&str; 3] = ["canary-forge-10000000aa", "canary-forge-20000000bb", "canary-forge-30000000cc"];

fn fed(mut command: Command, text: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn a_running_bottle_gets_a_new_value_that_is_typed_or_read_and_is_nowhere_else(backend: Backend) {
    let agent = &format!("e2e-renewed-{}", backend.name());
    let (server, above, ca) = outside(backend, &[FORGE], Script::default());
    let secrets = format!("secrets: {{ FORGE_KEY: {{ from: '${{MY_KEY}}', hosts: [{FORGE}] }} }}");
    let home = Bottle::new(above, &[&ca], "").line(&secrets).home(&[agent]);
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    start.env("MY_KEY", VALUES[0]);
    let mut inside = Session::start_by(start, &home, agent);
    let mut arrives = |path: &str, value: &str| {
        let placeholder = inside.ok("echo $FORGE_KEY");
        inside.ok(&format!("curl -sS -H \"Authorization: Bearer $FORGE_KEY\" https://{FORGE}/{path}"));
        let path = format!("/{path}");
        let request = server.wait_for(Duration::from_secs(20), |request: &Recorded| request.path == path);
        let request = request.unwrap_or_else(|| panic!("{path} has not arrived"));
        assert_eq!(request.header("authorization"), Some(format!("Bearer {value}").as_str()));
        placeholder
    };
    let before = arrives("one", VALUES[0]);

    let set = |name: &str| backend.command(&home, &["-vv", "secret", "set", agent, name]);
    let output = fed(set("FORGE_KEY"), &format!("{}\n", VALUES[1]));
    assert_code(&output, 0);
    assert!(stderr(&output).contains("gets the new value of FORGE_KEY from now on"), "{}", stderr(&output));
    assert!(!stderr(&output).contains(VALUES[1]) && stdout(&output).is_empty());
    assert_eq!(arrives("two", VALUES[1]), before, "the agent has the placeholder that it had");

    let mut screen = Screen::start(&set("FORGE_KEY"), 100, 30);
    screen.wait_for_text("new value of FORGE_KEY:");
    screen.type_keys(&format!("{}\r", VALUES[2]));
    screen.wait_for_text("gets the new value of FORGE_KEY");
    let (code, drawn) = screen.wait();
    assert_eq!(code, 0);
    assert!(!drawn.0.lock().unwrap().parser.screen().contents().contains(VALUES[2]), "it is shown");
    arrives("three", VALUES[2]);

    for (name, value, told) in [
        ("OTHER", VALUES[1], "holds no secret `OTHER`; it holds FORGE_KEY"),
        ("FORGE_KEY", "canary of two words", "cannot take the new value of `FORGE_KEY`"),
    ] {
        let output = fed(set(name), value);
        assert_code(&output, 1);
        assert!(stderr(&output).contains(told) && !stderr(&output).contains("canary"), "{}", stderr(&output));
    }
    arrives("four", VALUES[2]);
    inside.end();
    for value in VALUES {
        super::secrets::assert_nowhere(&home, b"", value);
    }
    backend.assert_nothing_left(&home, agent);
}

fn a_command_is_asked_again_while_the_agent_runs_and_a_failure_is_told_at_the_end(backend: Backend) {
    let agent = &format!("e2e-refresh-{}", backend.name());
    let (server, above, ca) = outside(backend, &[FORGE], Script::default());
    // The first and the second time it prints a value, and later it fails.
    let command = "n=$(cat asked 2>/dev/null || echo 0); n=$((n + 1)); echo $n >asked; test $n -le 2 && echo canary-forge-${n}0000000aa";
    let secrets = format!(
        "secrets: {{ FORGE_KEY: {{ from: {{ command: [sh, -c, '{command}'], refresh: 1s }}, hosts: [{FORGE}] }} }}"
    );
    let home = Bottle::new(above, &[&ca], "").line(&secrets).home(&[agent]);
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    inside.ok(&format!("curl -sS -H \"Authorization: Bearer $FORGE_KEY\" https://{FORGE}/first"));
    let is_first = |request: &Recorded| request.path == "/first";
    assert!(server.wait_for(Duration::from_secs(20), is_first).is_some());
    inside.ok(&format!(
        "(while :; do curl -sS -H \"Authorization: Bearer $FORGE_KEY\" https://{FORGE}/later || exit; sleep 0.2; done) >/dev/null 2>&1 & echo $! >/tmp/loop"
    ));
    let renewed = format!("Bearer {}", VALUES[1].replace("bb", "aa"));
    let has_second = |request: &Recorded| request.header("authorization") == Some(renewed.as_str());
    assert!(server.wait_for(Duration::from_secs(60), has_second).is_some(), "the second value is not put in");
    inside.ok("kill $(cat /tmp/loop)");
    let failed = || {
        std::fs::read_to_string(home.path().join("asked"))
            .is_ok_and(|n| n.trim().parse::<u32>().is_ok_and(|times| times > 3))
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !failed() {
        assert!(std::time::Instant::now() < deadline, "it is not asked a third time");
        std::thread::yield_now();
    }
    inside.end();
    let said = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(said.contains("the secret `FORGE_KEY` could not be had again"), "{said}");
    assert!(said.contains("`sh` failed with exit status: 1"), "{said}");
    // The command is in the manifest; what it has printed is nowhere.
    for value in [VALUES[0], &VALUES[1].replace("bb", "aa")] {
        super::secrets::assert_nowhere(&home, said.as_bytes(), value);
    }
    backend.assert_nothing_left(&home, agent);
}
