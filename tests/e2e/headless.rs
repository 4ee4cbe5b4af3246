//! The main job without a terminal, on each backend: the real CLI answers from inside the bottle, through its guard.

use std::process::Command;
use std::time::Duration;

use claude_bottle_standin::{Recorded, Script, ToolCall};

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, engine, run, standin, stderr, stdout};

on_each_backend_and_podman!(
    the_real_cli_answers_from_inside_through_the_guard,
    skills_are_in_place_and_a_host_not_on_the_list_is_refused_with_a_reason,
    streams_stay_apart_and_the_exit_code_is_the_agents,
    the_working_directory_is_copied_in_and_the_original_stays,
);
on_a_cluster!(
    the_real_cli_answers_from_inside_through_the_guard,
    skills_are_in_place_and_a_host_not_on_the_list_is_refused_with_a_reason,
    streams_stay_apart_and_the_exit_code_is_the_agents,
    the_working_directory_is_copied_in_and_the_original_stays,
);

const REPLY: &str = "Hello from the stand-in.";

fn script() -> Script {
    Script { reply: REPLY.to_owned(), run: None }
}

fn the_real_cli_answers_from_inside_through_the_guard(backend: Backend) {
    let agent = &format!("e2e-answer-{}", backend.name());
    let api = standin(backend, script());
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = backend.command(&home, &["start", agent, "--print", "Say hello"]);
    let output = run(command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output).trim(), REPLY);

    let request: Recorded =
        api.wait_for(Duration::from_secs(5), Recorded::is_message).expect("a request arrived");
    assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert!(request.system_prompt().contains("xyzzy-42"), "the prompt is the appended system prompt");
    assert!(request.body.to_string().contains("How to greet people here"), "the skill is known to the CLI");
    if backend == Backend::Docker {
        assert_ne!(request.peer, engine::bridge_address(), "the request came out of a container");
    }
    let logged = home.decisions();
    let line = logged.iter().find(|line| line["host"] == "api.standin.test").expect("the guard logged it");
    assert_eq!(line["verdict"], "allow", "{line}");
    backend.assert_nothing_left(&home, agent);
    assert_secret_is_nowhere(&home, &output.stderr);
}

/// Searches the home, which holds the records, and what the program said.
fn assert_secret_is_nowhere(home: &Home, said: &[u8]) {
    let found = std::process::Command::new("grep").args(["-rl", TOKEN]).arg(home.path()).output().unwrap();
    assert_eq!(stdout(&found), "", "the token is on the disk");
    assert!(!String::from_utf8_lossy(said).contains(TOKEN));
}

fn skills_are_in_place_and_a_host_not_on_the_list_is_refused_with_a_reason(backend: Backend) {
    let agent = &format!("e2e-refused-{}", backend.name());
    let command = "echo ~/.claude/skills/greet/* ~/.claude/skills/bottle/*; bottle policy; \
        curl -sS -o /tmp/body -w 'status %{http_code}\\n' http://not-allowed.test/; cat /tmp/body; \
        curl -sS -I https://not-allowed.test/ 2>&1 | head -3";
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: Some(ToolCall::bash(command)) });
    let home = Home::with_agent(agent, api.address(), "");
    let mut start = backend.command(&home, &["start", agent, "--print", "Look around"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);

    let seen = api.messages().last().expect("the tool's output came back").body.to_string();
    assert!(seen.contains("skills/greet/SKILL.md") && seen.contains("skills/bottle/SKILL.md"), "{seen}");
    // The product's own skill is known to the CLI, and the command that it is about is found by the CLI's shell.
    assert!(seen.contains("how to ask the user for a host that it refuses"), "{seen}");
    assert!(seen.contains("may be reached:") && seen.contains("api.standin.test"), "{seen}");
    assert!(seen.contains("status 403"), "{seen}");
    assert!(seen.contains("not-in-allowlist") || seen.contains("not_in_allowlist"), "{seen}");
    let refused: Vec<_> =
        home.decisions().into_iter().filter(|line| line["host"] == "not-allowed.test").collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|line| line["verdict"] == "deny"), "{refused:?}");
    backend.assert_nothing_left(&home, agent);
}

fn streams_stay_apart_and_the_exit_code_is_the_agents(backend: Backend) {
    let agent = &format!("e2e-streams-{}", backend.name());
    let api = standin(backend, script());
    let command = "    command: [sh, -c, 'cat; echo to-stderr >&2; exit 7']\n";
    let home = Home::with_agent(agent, api.address(), command);
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes"]);
    let mut child = start
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let line = "from standard input: ünïcödé\n";
    let text = line.repeat(20_000);
    let mut stdin = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, sent.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_code(&output, 7);
    assert_eq!(output.stdout.len(), text.len());
    assert!(stdout(&output) == text, "what went in came out");
    assert!(stderr(&output).ends_with("to-stderr\n"), "{}", stderr(&output));
    backend.assert_nothing_left(&home, agent);
}

fn the_working_directory_is_copied_in_and_the_original_stays(backend: Backend) {
    let agent = &format!("e2e-cwd-{}", backend.name());
    let api = standin(backend, script());
    let command = "    command: [sh, -c, 'pwd; cd ..; cat note.txt; find note.txt -printf %u; echo; \
                   git commit -qm two --allow-empty && git log --format=%an; echo changed > note.txt']\n";
    let home = Home::with_agent(agent, api.address(), command);
    // Called below the root of a repository, all of it comes along.
    let script = "mkdir sub; echo as it was >note.txt; git init -q; git -c user.name=t -c user.email=t@t commit -qm one --allow-empty; \
                  git config user.email t@t; git config commit.gpgsign true";
    assert_code(&run(Command::new("sh").args(["-ec", script]).current_dir(home.work())), 0);
    std::fs::write(home.path().join(".gitconfig"), "[user]\n\tname = Ada\n").unwrap();
    let mut start = backend.command(&home, &["--quiet", "start", agent, "--yes", "--cwd"]);
    let output = run(start.current_dir(home.work().join("sub")));
    assert_code(&output, 0);
    // The home of a test is below `/tmp`, which an engine cannot fill.
    let place = match backend {
        Backend::Docker | Backend::Kubernetes => "/home/node/workspace".to_owned(),
        Backend::Bubblewrap | Backend::Podman => home.work().canonicalize().unwrap().display().to_string(),
    };
    assert_eq!(stdout(&output), format!("{place}/sub\nas it was\nnode\nAda\nt\n"));
    assert_eq!(std::fs::read_to_string(home.work().join("note.txt")).unwrap(), "as it was\n");
    backend.assert_nothing_left(&home, agent);
}
