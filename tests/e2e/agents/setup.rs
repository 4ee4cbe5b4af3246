//! Commands that run in a bottle before its agent, on each backend.

use std::fs;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::screen::Screen;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    setup_runs_before_the_agent_under_its_policy_and_in_its_directory,
    a_setup_that_fails_ends_the_start_and_leaves_nothing,
    a_setup_that_takes_too_long_is_ended_and_an_optional_one_is_told,
    an_interrupt_during_setup_ends_all,
);

fn home(agent: &str, setup: &str, command: &str) -> Home {
    Home::new(&format!(
        "bottles:\n  dev:\n    env: {{ LEVEL: debug }}\nagents:\n  {agent}:\n    bottle: dev\n    command: {command}\n    \
         setup:\n{setup}"
    ))
}

fn setup_runs_before_the_agent_under_its_policy_and_in_its_directory(backend: Backend) {
    let agent = &format!("e2e-setup-{}", backend.name());
    let setup = "      - id -un >made && pwd >>made && echo $LEVEL >>made\n      \
                 - [sh, -c, 'curl -s -o /dev/null -w \"%{http_code}\\n\" \"$0\" >>made', 'http://not-allowed.test/']\n      \
                 - { run: 'echo said by the setup', timeout: 1m }\n";
    let home = home(agent, setup, "[sh, -c, 'pwd; cat made']");
    let output = run(&mut backend.command(&home, &["start", agent, "--yes", "--cwd"]));
    assert_code(&output, 0);
    let lines: Vec<_> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(
        lines[1..],
        ["node".to_owned(), lines[0].clone(), "debug".to_owned(), "403".to_owned()],
        "{lines:?}"
    );
    let said = stderr(&output);
    assert!(said.contains("`echo said by the setup`"), "the plan has it: {said}");
    assert!(said.contains("setup: echo said by the setup: done in "), "{said}");
    assert!(!stdout(&output).contains("said by"), "{lines:?}");
    let refused = home.decisions().into_iter().filter(|line| line["verdict"] == "deny").count();
    assert_eq!(refused, 1);
    // What it changed is a change of the run.
    assert_code(&run(&mut backend.command(&home, &["apply", "--yes"])), 0);
    assert!(home.work().join("made").exists());
    backend.assert_nothing_left(&home, agent);
}

fn a_setup_that_fails_ends_the_start_and_leaves_nothing(backend: Backend) {
    let agent = &format!("e2e-setup-fails-{}", backend.name());
    let setup = "      - 'for i in $(seq 5000); do echo line $i; done; printf \"\\033[2J\"; echo why it failed >&2; exit 3'\n      \
                 - echo never reached\n";
    let home = home(agent, setup, "[sh, -c, 'echo the agent ran']");
    let output = run(&mut backend.command(&home, &["start", agent, "--yes", "--cwd"]));
    assert_code(&output, 125);
    let said = stderr(&output);
    assert!(said.contains("~/claude-bottle.yaml:9: the setup `for i in"), "{said}");
    assert!(
        said.contains("` ended with 3") && said.contains("why it failed") && said.contains("line 5000"),
        "{said}"
    );
    assert!(said.contains("(what came before is left out)") && !said.contains("\u{1b}[2J"), "{said}");
    assert!(!said.contains("setup: echo never reached") && stdout(&output).is_empty(), "{said}");
    let results = run(&mut backend.command(&home, &["diff"]));
    assert!(!results.status.success(), "no result was saved");
    backend.assert_nothing_left(&home, agent);
}

fn a_setup_that_takes_too_long_is_ended_and_an_optional_one_is_told(backend: Backend) {
    let agent = &format!("e2e-setup-slow-{}", backend.name());
    let setup = "      - { run: exec sleep 600, timeout: 1s, optional: true }\n      - { run: exit 4, optional: true }\n";
    let home = home(agent, setup, "[sh, -c, 'grep -l ^sleep /proc/[0-9]*/comm || echo none is left']");
    let output = run(&mut backend.command(&home, &["start", agent, "--yes"]));
    assert_code(&output, 0);
    let said = stderr(&output);
    assert!(said.contains("setup: exec sleep 600: was ended after its time of 1 s"), "{said}");
    assert!(said.contains("setup: exit 4: ended with 4 after "), "{said}");
    assert_eq!(stdout(&output), "none is left\n");
    backend.assert_nothing_left(&home, agent);
}

fn an_interrupt_during_setup_ends_all(backend: Backend) {
    let agent = &format!("e2e-setup-interrupt-{}", backend.name());
    let setup = "      - touch begun\n      - exec sleep 600\n";
    let home = home(agent, setup, "[sh, -c, 'echo the agent ran']");
    fs::write(home.work().join("file"), "x").unwrap();
    let mut screen = Screen::start(&backend.command(&home, &["start", agent, "--yes", "--cwd"]), 120, 50);
    screen.wait_for_text("setup: touch begun: done");
    screen.wait_for_text("setup: exec sleep 600");
    screen.type_keys("\u{3}");
    let (code, drawn) = screen.wait();
    let shown = drawn.0.lock().unwrap().parser.screen().contents();
    assert_eq!(code, 130, "{shown}");
    assert!(!shown.lines().any(|line| line.trim() == "the agent ran"), "{shown}");
    backend.assert_nothing_left(&home, agent);
}
