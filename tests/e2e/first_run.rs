//! The first run: from an empty home four commands lead to an answer of the real CLI and to its work, and a machine where the engine
//! does not answer is told the way.

use std::fs;
use std::net::SocketAddr;

use claude_bottle_standin::{Script, ToolCall};

use crate::support::backend::Backend;
use crate::support::home::{Home, TOKEN};
use crate::support::screen::Screen;
use crate::support::{assert_code, run, standin, stderr, stdout};

const REPLY: &str = "Hello from the stand-in.";

#[test]
fn four_commands_lead_from_an_empty_home_to_the_agents_work() {
    let backend = Backend::Bubblewrap;
    let write = ToolCall::bash("echo by the agent > made.txt");
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: Some(write) });
    let home = Home::empty();
    fs::write(home.work().join("package.json"), "{}").unwrap();
    let command = |arguments: &[&str]| {
        let mut command = backend.command(&home, arguments);
        command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
        command
    };

    let mut screen = Screen::start(&command(&["init"]), 120, 50);
    // Which backends work besides is the machine's; each question but the last has its answer offered.
    screen.wait_for("a question", |screen| {
        let shown = screen.contents();
        shown.contains("backend [bubblewrap]:") || shown.contains("profile [claude]:")
    });
    if screen.shows("backend [bubblewrap]:") {
        screen.type_keys("\n");
    }
    for question in [
        "profile [claude]:",
        "name of the agent [claude]:",
        "bottle it runs in [dev]:",
        "presets that it may reach, by commas, or none [node]:",
        "variable with the token [CLAUDE_BOTTLE_OAUTH_TOKEN]:",
        "what it is told first, in a line (nothing):",
    ] {
        screen.wait_for_text(question);
        screen.type_keys("\n");
    }
    screen.wait_for_text("start it: claude-bottle start claude --cwd");
    let (code, drawn) = screen.wait();
    assert_eq!(code, 0, "{}", drawn.0.lock().unwrap().parser.screen().contents());
    let manifest = home.path().join("claude-bottle.yaml");
    let written = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, pointed_at(&written, api.address())).unwrap();

    let doctor = run(&mut command(&["doctor"]));
    assert_code(&doctor, 0);
    let said = stdout(&doctor);
    for line in [
        "bubblewrap (selected): usable",
        "manifest: ok: ~/claude-bottle.yaml with claude\n",
        "token: ok: ",
        "disk: ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains(TOKEN), "{said}");

    let start = run(&mut command(&["start", "claude", "--cwd", "--print", "Make a file"]));
    assert_code(&start, 0);
    assert_eq!(stdout(&start).trim(), REPLY);
    let plan = stderr(&start);
    assert!(plan.contains("preset node: registry.npmjs.org registry.yarnpkg.com nodejs.org"), "{plan}");
    assert!(!home.work().join("made.txt").exists(), "only a copy was changed");

    assert_code(&run(&mut command(&["apply", "--yes"])), 0);
    assert_eq!(fs::read_to_string(home.work().join("made.txt")).unwrap(), "by the agent\n");
    backend.assert_nothing_left(&home, "claude");
}

/// Returns a manifest that `init` wrote with its bottle pointed at the stand-in for the API.
pub(super) fn pointed_at(written: &str, api: SocketAddr) -> String {
    let (address, port) = (api.ip(), api.port());
    let grants = format!(
        "    env:\n      ANTHROPIC_BASE_URL: http://api.standin.test:{port}\n      \
         CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'\n    egress:\n      allowlist: ['api.standin.test:{port}']\n      \
         hosts: {{ api.standin.test: {address} }}\n      \
         private: [{{ host: api.standin.test, range: {address}/32 }}]\n"
    );
    assert_eq!(written.matches("    egress:\n").count(), 1, "{written}");
    written.replace("    egress:\n", &grants)
}

#[test]
fn where_docker_does_not_answer_and_bubblewrap_works_each_command_says_so() {
    let home = Home::new("bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n");
    let call = |arguments: &[&str]| {
        let mut command = Backend::Bubblewrap.command(&home, arguments);
        command.env_remove("CLAUDE_BOTTLE_BACKEND").env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        run(&mut command)
    };
    let doctor = call(&["doctor"]);
    assert_code(&doctor, 1);
    let line = "\ndocker does not work here, and bubblewrap does: export CLAUDE_BOTTLE_BACKEND=bubblewrap\n";
    assert!(stdout(&doctor).ends_with(line), "{}", stdout(&doctor));

    let start = call(&["start", "a", "--dry-run"]);
    assert_code(&start, 125);
    let hint = "bubblewrap works here: add --backend bubblewrap, or for every command: \
                export CLAUDE_BOTTLE_BACKEND=bubblewrap";
    assert!(stderr(&start).contains(hint), "{}", stderr(&start));
    assert_code(&call(&["start", "a", "--dry-run", "--backend", "bubblewrap"]), 0);

    let init = call(&["init", "b"]);
    assert_code(&init, 0);
    let last = "start it: claude-bottle start b --cwd --backend bubblewrap\n";
    assert!(stderr(&init).ends_with(last), "{}", stderr(&init));
}

#[test]
fn doctor_says_where_the_image_comes_from() {
    let home = Home::new("bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n");
    let look = |image: &str, base: Option<&str>| {
        let mut command = Backend::Docker.command(&home, &["doctor"]);
        command.env("CLAUDE_BOTTLE_IMAGE", image);
        command.envs(base.map(|base| ("CLAUDE_BOTTLE_BASE_IMAGE", base)));
        stdout(&run(&mut command))
    };
    let base = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE").expect("the base image: tests/setup/base-image.sh");
    let (absent, how) = ("claude-bottle-e2e-absent:none", "is built at the first start, from");
    let (here, built, pulled) = (
        format!("\n  image: `{base}` is here\n"),
        format!("\n  image: `{absent}` {how} `{base}`, which is here\n"),
        format!("\n  image: `{absent}` {how} `{absent}`, which is pulled then\n"),
    );
    for (said, expected) in
        [(look(&base, None), here), (look(absent, None), built), (look(absent, Some(absent)), pulled)]
    {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
}
