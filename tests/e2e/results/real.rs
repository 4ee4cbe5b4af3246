//! The real Claude Code CLI works on a repository made from a published crate, and its work is looked at, taken, taken back, and
//! taken as a branch.

use std::fs;
use std::process::Command;
use std::time::Duration;

use claude_bottle_standin::{Config, Recorded, Script, Standin, ToolCall};
use serde_json::json;

use super::exact::published;
use super::{results, sh};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(the_work_of_the_real_cli_is_reviewed_taken_undone_and_taken_as_a_branch);

const REPLY: &str = "It is done.";
/// What it does with its Bash tool.
const RUN: &str = "git checkout -q -b fix && rm README.md && echo '// by the agent' >>src/lib.rs && git commit -qam 'Remove the readme' && git status --short";

fn the_work_of_the_real_cli_is_reviewed_taken_undone_and_taken_as_a_branch(backend: Backend) {
    let agent = &format!("e2e-real-{}", backend.name());
    let place = |home: &Home| match backend {
        Backend::Docker | Backend::Kubernetes => "/home/node/workspace".to_owned(),
        Backend::Bubblewrap | Backend::Podman => home.work().canonicalize().unwrap().display().to_string(),
    };
    let home = Home::new("");
    let file = format!("{}/Cargo.toml", place(&home));
    let edit = json!({"file_path": file, "old_string": "[package]", "new_string": "# Edited by the agent\n[package]"});
    let tools = [("Read", json!({"file_path": file})), ("Edit", edit)];
    let more = tools.map(|(tool, input)| ToolCall { tool: tool.to_owned(), input }).into();
    let script = Script { reply: REPLY.to_owned(), run: Some(ToolCall::bash(RUN)) };
    let listen = (backend.host_address(), 0).into();
    let api = Standin::start(Config { listen, script, more, ..Config::default() }).unwrap();
    home.write_manifest(agent, api.address());
    let copied = run(Command::new("cp").arg("-a").arg(published("either-1.").join(".")).arg(home.work()));
    assert!(copied.status.success(), "{}", stderr(&copied));
    fs::write(home.path().join(".gitconfig"), "[user]\nname = Ada\nemail = ada@example.test\n").unwrap();
    sh(&home, "rm -f .cargo-ok; git init -q -b main . && git add -A && git commit -qm first");

    let mut start = backend.command(&home, &["start", agent, "--cwd", "--print", "Fix the crate"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), REPLY);
    let last: Recorded =
        api.wait_for(Duration::from_secs(5), Recorded::is_message).expect("a request arrived");
    assert!(last.is_message());
    let said = stderr(&output);
    let name = results(&home)[0]["run"].as_str().unwrap().to_owned();
    let hints =
        format!("hint: look: claude-bottle diff {name}\nhint: take them: claude-bottle apply {name}\n");
    assert!(said.contains("3 files changed") && said.ends_with(&hints), "{said}");

    let call = |arguments: &[&str]| {
        let output = run(&mut backend.command(&home, arguments));
        assert_code(&output, 0);
        stdout(&output) + &stderr(&output)
    };
    let shown = call(&["diff"]);
    for part in
        ["modified  Cargo.toml  +1 -0", "+# Edited by the agent", "deleted  README.md", "+// by the agent"]
    {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let start_state = "test -z \"$(git status --porcelain)\" && test \"$(git rev-list --count --all)\" = 1";
    sh(&home, start_state);
    call(&["apply", "-y"]);
    sh(
        &home,
        "test ! -e README.md && grep -q 'by the agent' src/lib.rs && grep -q 'Edited by the agent' Cargo.toml",
    );
    call(&["apply", "--undo", "-y"]);
    sh(&home, start_state);
    call(&["apply", "-y", "--branch", "agent/fix"]);
    sh(
        &home,
        "test -z \"$(git status --porcelain)\" && test \"$(git rev-list --count main..agent/fix)\" = 1 && \
         test \"$(git diff --name-status main agent/fix | tr '\\n\\t' '  ')\" = 'M Cargo.toml D README.md M src/lib.rs '",
    );
    backend.assert_nothing_left(&home, agent);
}
