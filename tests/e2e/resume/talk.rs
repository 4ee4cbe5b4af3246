//! The real Claude Code CLI goes on with what was said before.

use claude_bottle_standin::{Script, ToolCall};

use super::{newest, other, state};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, standin, stderr};

on_each_backend!(
    the_real_cli_goes_on_with_its_conversation_here_and_on_the_other_backend,
    a_question_that_changed_no_file_can_be_gone_on_from,
);

fn the_real_cli_goes_on_with_its_conversation_here_and_on_the_other_backend(backend: Backend) {
    let agent = &format!("e2e-talk-{}", backend.name());
    // An address that the proxies of both reach.
    let script =
        Script { reply: "The word is quince.".to_owned(), run: Some(ToolCall::bash("echo made >made")) };
    let api = standin(Backend::Docker, script);
    let home = Home::with_agent(agent, api.address(), "");
    let print = |backend: Backend, arguments: &[&str]| {
        let output = run(backend.command(&home, arguments).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
        assert_code(&output, 0);
        output
    };
    print(backend, &["start", agent, "--cwd", "--print", "My word is plum-7"]);
    for (backend, word) in [(backend, "fig-8"), (other(backend), "pear-9")] {
        let before = newest(&home);
        let output = print(backend, &["resume", &before, "--print", &format!("Now it is {word}")]);
        let told = format!("{before}: 1 changed file, its history");
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
        assert!(stderr(&output).contains("--continue --print"), "{}", stderr(&output));
        let sent = api.messages().last().unwrap().body.to_string();
        for said in ["My word is plum-7", "The word is quince.", word] {
            assert!(sent.contains(said), "`{said}` is not in {sent}");
        }
        backend.assert_nothing_left(&home, agent);
        assert_eq!((state(&home, &before), state(&home, &newest(&home))), ("resumed".into(), "new".into()));
    }
    let last = api.messages().last().unwrap().body.to_string();
    assert!(last.contains("fig-8"), "what was said in the second bottle is missing: {last}");
}

fn a_question_that_changed_no_file_can_be_gone_on_from(backend: Backend) {
    let agent = &format!("e2e-question-{}", backend.name());
    let api = standin(Backend::Docker, Script { reply: "It is a quince.".to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let print = |arguments: &[&str]| {
        let output = run(backend.command(&home, arguments).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
        assert_code(&output, 0);
        stderr(&output)
    };
    let said = print(&["start", agent, "--cwd", "--print", "Which fruit is plum-7?"]);
    let run = newest(&home);
    let expected = format!(
        "no file changed; what the agent remembers is kept\nhint: go on: claude-bottle resume {run}\n"
    );
    assert!(said.ends_with(&expected), "{said}");
    print(&["resume", "--print", "And fig-8?"]);
    let sent = api.messages().last().unwrap().body.to_string();
    for said in ["Which fruit is plum-7?", "It is a quince.", "And fig-8?"] {
        assert!(sent.contains(said), "`{said}` is not in {sent}");
    }
    assert_eq!(state(&home, &run), "resumed");
    backend.assert_nothing_left(&home, agent);
}
