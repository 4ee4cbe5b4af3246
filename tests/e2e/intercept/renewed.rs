//! `secret set`: another value for a secret of a bottle that runs.

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

on_each_backend!(a_running_bottle_gets_a_new_value_that_is_typed_or_read_and_is_nowhere_else);

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
