//! A token that the API does not accept, with the real CLI: what is said names it, and the commands that are said help.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use claude_bottle_standin::{Config, Script, Standin};

use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    an_expired_token_is_named_at_the_end_with_the_command_for_another,
    a_bottle_that_runs_gets_another_value_by_the_command_that_logs_says,
);

const REPLY: &str = "Hello from the stand-in.";
const EXPIRED: &str = "canary-of-an-expired-token-0c7e";
const SAID: &str =
    "`api.standin.test` does not accept `CLAUDE_CODE_OAUTH_TOKEN`: it is not valid, or has expired (";

/// An API that takes one token alone.
fn api(backend: Backend) -> Standin {
    let listen = SocketAddr::new(backend.host_address(), 0);
    let script = Script { reply: REPLY.to_owned(), run: None };
    let accepts = Some(TOKEN.to_owned());
    Standin::start(Config { listen, script, accepts, ..Config::default() }).expect("start the stand-in API")
}

fn an_expired_token_is_named_at_the_end_with_the_command_for_another(backend: Backend) {
    let agent = &format!("e2e-expired-{}", backend.name());
    let api = api(backend);
    let home = Home::with_agent(agent, api.address(), "");
    let start = |token: &str| {
        let mut command = backend.command(&home, &["start", agent, "--print", "Say hello"]);
        run(command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", token))
    };
    let output = start(EXPIRED);
    assert_code(&output, 1);
    let said = stderr(&output);
    assert!(said.contains(&format!("warning: {SAID}")), "{said}");
    let hint = "hint: to get another: claude setup-token, then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN\n";
    assert!(said.contains(hint), "{said}");
    assert!(!said.contains(EXPIRED), "{said}");
    let logs = stdout(&run(&mut backend.command(&home, &["logs", agent])));
    assert!(logs.contains(&format!("secret    {SAID}")), "{logs}");

    let output = start(TOKEN);
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), REPLY);
    assert!(!stderr(&output).contains("does not accept"), "{}", stderr(&output));
    backend.assert_nothing_left(&home, agent);
}

/// Lets a bottle whose agent is a shell run the real CLI, and returns what that is called inside.
fn with_claude(backend: Backend, home: &Home) -> String {
    if backend == Backend::Docker {
        return "claude".to_owned();
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/claude").canonicalize().unwrap();
    let (file, place) = (home.path().join("claude-bottle.yaml"), place.display());
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, manifest.replace("  dev:\n", &format!("  dev:\n    tools: ['{place}']\n"))).unwrap();
    format!("{place}/node_modules/.bin/claude")
}

fn a_bottle_that_runs_gets_another_value_by_the_command_that_logs_says(backend: Backend) {
    let agent = &format!("e2e-renewed-{}", backend.name());
    let api = api(backend);
    let home = Home::with_agent(agent, api.address(), "    command: [bash]\n");
    let claude = with_claude(backend, &home);
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", EXPIRED);
    let mut inside = Session::start_by(start, &home, agent);
    let ask = &format!("{claude} --dangerously-skip-permissions -p 'Say hello'");
    inside.fails(ask);
    let logs = run(&mut backend.command(&home, &["logs", agent]));
    assert!(stdout(&logs).contains(SAID), "{}", stdout(&logs));
    let said = stderr(&logs);
    let command = said.lines().find_map(|line| line.strip_prefix("hint: claude-bottle ")).expect(&said);
    let words: Vec<_> = command.split(' ').collect();
    assert_eq!((&words[..2], words[3]), (&["secret", "set"][..], "CLAUDE_CODE_OAUTH_TOKEN"), "{command}");
    let mut set = backend.command(&home, &words);
    let mut set = set.stdin(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(TOKEN.as_bytes()).unwrap();
    assert!(set.wait().unwrap().success());

    assert_eq!(inside.ok(ask), REPLY);
    let logs = run(&mut backend.command(&home, &["logs", agent]));
    assert!(!stdout(&logs).contains("does not accept") && stderr(&logs).is_empty(), "{logs:?}");
    inside.end();
    let said = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(!said.contains("does not accept"), "{said}");
    backend.assert_nothing_left(&home, agent);
}
