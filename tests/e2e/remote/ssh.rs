//! What works on this machine's engine works by ssh: the real CLI, results, the live policy, other commands at the same bottle.

use std::fs;
use std::time::Duration;

use claude_bottle_standin::{Recorded, Script};

use super::{Far, home};
use crate::egress::session::Session;
use crate::support::backend::Backend;
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, engine, run, standin, stderr, stdout};

#[test]
fn the_real_cli_answers_on_an_engine_that_is_reached_by_ssh() {
    let agent = "e2e-far-answer";
    let far = Far::start(agent, "");
    let api = standin(Backend::Docker, Script { reply: "Hello from afar.".to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = far.command(&home, &["start", agent, "-v", "--print", "Say hello"]);
    let output = run(command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), "Hello from afar.");
    let plan = stderr(&output);
    assert!(plan.contains(&format!("runc at {} ", far.host())), "{plan}");
    assert!(plan.contains("egress guard, in a container of its own"), "{plan}");
    let request = api.wait_for(Duration::from_secs(5), Recorded::is_message).expect("a request arrived");
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    Backend::Docker.assert_nothing_left(&home, agent);
    assert_eq!(home.guards(), Vec::<String>::new());
    far.assert_no_way_is_open();
    // One way for the run, and one for its watcher at the most.
    assert!((1..=2).contains(&far.starts().len()), "{:?}", far.starts());
}

#[test]
fn a_bottle_by_ssh_is_listed_changed_saved_and_stopped_by_other_commands() {
    let agent = "e2e-far-commands";
    let far = Far::start(agent, "");
    let home = home(agent);
    let ok = |arguments: &[&str]| {
        let output = run(&mut far.command(&home, arguments));
        assert_code(&output, 0);
        stdout(&output) + &stderr(&output)
    };
    let doctor = ok(&["doctor"]);
    assert!(doctor.contains(&format!("{}, by ssh", far.host())), "{doctor}");

    let mut inside =
        Session::start_by(far.command(&home, &["-q", "start", agent, "--cwd", "--yes"]), &home, agent);
    inside.ok("echo two >edited; test -e /run/claude-bottle-link/bottle-guest");
    assert!(ok(&["list", "active"]).contains(agent));
    let containers = engine::resources_of(agent);
    assert!(containers.iter().any(|name| name.contains("claude-bottle-guard-")), "{containers:?}");
    assert_eq!(ok(&["exec", agent, "--", "cat", "edited"]), "two\n");
    ok(&["policy", "allow", agent, "one.test"]);
    assert!(ok(&["policy", "show", agent]).contains("added `one.test`"));
    inside.fails("curl -sS -f -m 60 http://two.test/");
    ok(&["save", agent]);
    ok(&["stop", agent]);
    assert_eq!(inside.ended(), Some(125));
    let results = ok(&["results", "--format", "json"]);
    assert_eq!(results.matches("\"run\"").count(), 2, "{results}");
    assert_eq!(fs::read_to_string(home.work().join("edited")).unwrap(), "one\n");
    Backend::Docker.assert_nothing_left(&home, agent);
    far.assert_no_way_is_open();
    assert!(home.decisions().iter().any(|line| line["host"] == "two.test"), "the decisions are here");
}

#[test]
fn ssh_gets_no_word_about_host_keys_and_leaves_nothing_to_connect_to() {
    let agent = "e2e-far-private";
    let far = Far::start(agent, "");
    let home = home(agent);
    let session = home.path().join("run");
    fs::create_dir(&session).unwrap();
    let mut command = far.command(&home, &["-q", "start", agent, "--yes"]);
    command.env("XDG_RUNTIME_DIR", &session);
    let mut inside = Session::start_by(command, &home, agent);
    inside.ok("true");
    // The socket was there, and has no name any more that another program could connect to.
    let starts = far.starts();
    assert!(starts[0].contains(&format!("-L {}/claude-bottle-ssh-", session.display())), "{starts:?}");
    assert_eq!(fs::read_dir(&session).unwrap().count(), 0);
    for start in &starts {
        let start = start.to_ascii_lowercase();
        assert!(!start.contains("hostkey") && !start.contains("knownhosts"), "{start}");
        assert!(start.ends_with(&format!(" -- {agent}")), "{start}");
    }
    inside.end();
    far.assert_no_way_is_open();
}
