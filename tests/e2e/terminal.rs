//! The main job on a terminal, on each backend: the real CLI's screen draws, resizes, takes keys, and leaves the terminal clean.

use claude_bottle_standin::Script;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::screen::Screen;
use crate::support::standin;

on_each_backend!(the_screen_of_the_real_cli_works, control_c_reaches_the_program_inside);

const REPLY: &str = "Hello from the stand-in.";

fn the_screen_of_the_real_cli_works(backend: Backend) {
    let agent = &format!("e2e-terminal-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = backend.command(&home, &["start", agent]);
    command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    let mut screen = Screen::start(&command, 100, 30);

    screen.wait_for_text("launch this agent? [y/N]");
    screen.type_keys("y\n");
    screen.wait_for_text("bypass permissions on");
    screen.type_keys("hello");
    screen.wait_for_text("hello");
    screen.type_keys("\r");
    screen.wait_for_text(REPLY);

    let widest = |screen: &vt100::Screen| {
        screen.contents().lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
    };
    screen.resize(60, 20);
    screen.wait_for("the screen to be narrower", |screen| {
        widest(screen) <= 60 && screen.contents().contains("bypass permissions on")
    });

    screen.type_keys("/exit");
    screen.wait_for_text("/exit");
    screen.type_keys("\r");
    let (code, drawn) = screen.wait();
    assert_eq!(code, 0);
    let parser = &drawn.0.lock().unwrap().parser;
    assert!(!parser.screen().alternate_screen(), "the alternate screen is left");
    assert!(!parser.screen().hide_cursor(), "the cursor is back");
    assert_eq!(parser.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert!(!parser.screen().bracketed_paste());
    backend.assert_nothing_left(&home, agent);
}

#[test]
fn no_is_the_default_answer() {
    let backend = Backend::Docker;
    let agent = "e2e-no";
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut screen = Screen::start(&backend.command(&home, &["start", agent]), 100, 30);
    screen.wait_for_text("launch this agent? [y/N]");
    screen.type_keys("\n");
    screen.wait_for_text("aborted by user");
    assert_eq!(screen.wait().0, 0);
    backend.assert_nothing_left(&home, agent);
}

fn control_c_reaches_the_program_inside(backend: Backend) {
    let agent = &format!("e2e-ctrl-c-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    // The plan shows the command, so what is waited for must not stand in it.
    let script = "trap \"echo ca''ught; exit 9\" INT; echo re''ady; while :; do sleep 1; done";
    let command = format!("    command:\n      - sh\n      - -c\n      - |-\n        {script}\n");
    let home = Home::with_agent(agent, api.address(), &command);
    let mut screen = Screen::start(&backend.command(&home, &["start", agent, "--yes"]), 100, 30);
    screen.wait_for_text("ready");
    screen.type_keys("\u{3}");
    screen.wait_for_text("caught");
    assert_eq!(screen.wait().0, 9);
    backend.assert_nothing_left(&home, agent);
}
