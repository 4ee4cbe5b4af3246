//! The main job on a terminal, on each backend: the real CLI's screen draws, resizes, takes keys, and leaves the terminal clean.

use claude_bottle_standin::Script;

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::{Home, TOKEN};
use crate::support::screen::{Screen, Shared};
use crate::support::{run, standin, stdout};

on_each_backend_and_podman!(
    the_screen_of_the_real_cli_works,
    control_c_reaches_the_program_inside,
    an_unknown_terminal_gets_a_name_that_is_known_inside,
    a_granted_key_is_used_without_a_question,
    what_the_agent_says_by_itself_is_not_told_as_refused,
    a_large_paste_and_wide_characters_arrive_whole,
    a_terminal_that_does_not_know_its_size_works_and_learns_it,
);
on_a_cluster!(
    the_screen_of_the_real_cli_works,
    control_c_reaches_the_program_inside,
    an_unknown_terminal_gets_a_name_that_is_known_inside,
    a_granted_key_is_used_without_a_question,
    what_the_agent_says_by_itself_is_not_told_as_refused,
    a_large_paste_and_wide_characters_arrive_whole,
    a_terminal_that_does_not_know_its_size_works_and_learns_it,
);

const REPLY: &str = "Hello from the stand-in.";

/// Says hello to the real CLI, and waits for its answer.
fn say_hello(screen: &mut Screen) {
    screen.type_keys("hello");
    screen.wait_for_text("hello");
    screen.type_keys("\r");
    screen.wait_for_text(REPLY);
}

/// Ends the real CLI by its own command; returns its exit code and what was drawn.
fn leave(mut screen: Screen) -> (u32, Shared) {
    screen.type_keys("/exit");
    screen.wait_for_text("/exit");
    screen.type_keys("\r");
    screen.wait()
}

/// Starts a script as the agent, which asks no API, on a screen of this size, and waits until it says `ready`.
fn start_shell(backend: Backend, agent: &str, script: &str, (columns, rows): (u16, u16)) -> (Home, Screen) {
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let command = format!("    command: [sh, -c, {}]\n", serde_json::json!(script));
    let home = Home::with_agent(agent, api.address(), &command);
    let screen = Screen::start(&backend.command(&home, &["start", agent, "--yes"]), columns, rows);
    screen.wait_for_text("ready");
    (home, screen)
}

fn the_screen_of_the_real_cli_works(backend: Backend) {
    let agent = &format!("e2e-terminal-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = backend.command(&home, &["start", agent]);
    command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    let mut screen = Screen::start(&command, 100, 30);

    screen.wait_for_text("launch this agent? [y/N, d for details]");
    screen.type_keys("y\n");
    screen.wait_for_text("bypass permissions on");
    say_hello(&mut screen);

    let widest = |screen: &vt100::Screen| {
        screen.contents().lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
    };
    screen.resize(60, 20);
    screen.wait_for("the screen to be narrower", |screen| {
        widest(screen) <= 60 && screen.contents().contains("bypass permissions on")
    });

    let (code, drawn) = leave(screen);
    assert_eq!(code, 0);
    let parser = &drawn.0.lock().unwrap().parser;
    assert!(!parser.screen().alternate_screen(), "the alternate screen is left");
    assert!(!parser.screen().hide_cursor(), "the cursor is back");
    assert_eq!(parser.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    assert!(!parser.screen().bracketed_paste());
    backend.assert_nothing_left(&home, agent);
}

fn a_large_paste_and_wide_characters_arrive_whole(backend: Backend) {
    let agent = &format!("e2e-paste-{}", backend.name());
    let text = "日本語, ünï and 👩‍💻 in a line\n".repeat(5000);
    let script = format!(
        "stty raw -echo; echo rea''dy; head -c {} | sha256sum; printf '日本%s' 語; exit 3",
        text.len()
    );
    let (home, mut screen) = start_shell(backend, agent, &script, (100, 30));
    screen.type_keys(&text);
    let file = home.path().join("pasted");
    std::fs::write(&file, &text).unwrap();
    let sum = stdout(&run(std::process::Command::new("sha256sum").arg(&file)));
    screen.wait_for_text(&sum[..64]);
    screen.wait_for_text("日本語");
    assert_eq!(screen.wait().0, 3);
    backend.assert_nothing_left(&home, agent);
}

fn a_terminal_that_does_not_know_its_size_works_and_learns_it(backend: Backend) {
    let agent = &format!("e2e-no-size-{}", backend.name());
    let script = "trap 'stty size; exit 5' WINCH; echo rea''dy; while :; do sleep 0.1; done";
    let (home, screen) = start_shell(backend, agent, script, (0, 0));
    screen.resize(90, 25);
    screen.wait_for_text("25 90");
    assert_eq!(screen.wait().0, 5);
    backend.assert_nothing_left(&home, agent);
}

#[test]
fn no_is_the_default_answer() {
    let backend = Backend::Docker;
    let agent = "e2e-no";
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let mut screen = Screen::start(&backend.command(&home, &["start", agent]), 100, 30);
    screen.wait_for_text("launch this agent? [y/N, d for details]");
    screen.type_keys("\n");
    screen.wait_for_text("aborted by user");
    assert_eq!(screen.wait().0, 0);
    backend.assert_nothing_left(&home, agent);
}

fn control_c_reaches_the_program_inside(backend: Backend) {
    let agent = &format!("e2e-ctrl-c-{}", backend.name());
    // The plan shows the command, so what is waited for must not stand in it.
    let script = "trap \"echo ca''ught; exit 9\" INT; echo re''ady; while :; do sleep 1; done";
    let (home, mut screen) = start_shell(backend, agent, script, (100, 30));
    screen.type_keys("\u{3}");
    screen.wait_for_text("caught");
    assert_eq!(screen.wait().0, 9);
    backend.assert_nothing_left(&home, agent);
}

fn an_unknown_terminal_gets_a_name_that_is_known_inside(backend: Backend) {
    let agent = &format!("e2e-term-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let script = "echo \"=$TERM=$COLORTERM=$TZ=$TERM_PROGRAM=$LANG=\"; tput cols && echo dra''wn";
    let command = format!("    command:\n      - bash\n      - -c\n      - |-\n        {script}\n");
    let home = Home::with_agent(agent, api.address(), &command);
    for (term, inside) in [("xterm-ghostty", "xterm-256color"), ("vt100", "vt100")] {
        let mut command = backend.command(&home, &["start", agent, "--yes"]);
        command
            .env("TERM", term)
            .env("COLORTERM", "truecolor")
            .env("TZ", "Europe/Berlin")
            .env("TERM_PROGRAM", "WezTerm");
        let screen = Screen::start(&command, 100, 30);
        screen.wait_for_text(&format!("={inside}=truecolor=Europe/Berlin=WezTerm=C.UTF-8="));
        screen.wait_for_text("drawn");
        assert_eq!(screen.wait().0, 0);
    }
    backend.assert_nothing_left(&home, agent);
}

fn a_granted_key_is_used_without_a_question(backend: Backend) {
    const KEY: &str = "sk-ant-api03-canary-0123456789abcdefghijklmnopqrstuvwxyz";
    let agent = &format!("e2e-key-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let file = home.path().join("claude-bottle.yaml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    let with_key = "    env:\n      ANTHROPIC_API_KEY: '${ANTHROPIC_API_KEY}'\n";
    std::fs::write(&file, manifest.replacen("    env:\n", with_key, 1)).unwrap();
    let mut command = backend.command(&home, &["start", agent, "--yes"]);
    command.env("ANTHROPIC_API_KEY", KEY);
    let mut screen = Screen::start(&command, 100, 30);
    screen.wait_for("the prompt, and no question", |screen| {
        assert!(!screen.contents().contains("Do you want to use this API key"), "{}", screen.contents());
        screen.contents().contains("bypass permissions on")
    });
    say_hello(&mut screen);
    assert_eq!(leave(screen).0, 0);
    backend.assert_nothing_left(&home, agent);
}

fn what_the_agent_says_by_itself_is_not_told_as_refused(backend: Backend) {
    let agent = &format!("e2e-chatter-{}", backend.name());
    let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
    let home = Home::with_agent(agent, api.address(), "");
    let file = home.path().join("claude-bottle.yaml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    let silenced = "      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1'\n";
    std::fs::write(&file, manifest.replacen(silenced, "", 1)).unwrap();
    let mut command = backend.command(&home, &["start", agent, "--yes"]);
    command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    let mut screen = Screen::start(&command, 100, 30);
    screen.wait_for_text("bypass permissions on");
    say_hello(&mut screen);
    let (code, drawn) = leave(screen);
    assert_eq!(code, 0);
    let told = drawn.0.lock().unwrap().parser.screen().contents();
    let log = home.decisions();
    assert!(!told.contains("blocked") && !told.contains("to allow"), "{told}\n{log:#?}");
    backend.assert_nothing_left(&home, agent);
}
