//! The mistakes of a user: each message says what is wrong, where, and what to type.

use std::process::Command;

use crate::support::{Home, Terminal, assert_code, assert_says, stderr};

/// Calls the program, and returns what it said.
#[track_caller]
fn said(home: &Home, arguments: &[&str], env: &[(&str, &str)], code: i32) -> String {
    let output = home.call_with(arguments, env);
    assert_code(&output, code);
    stderr(&output)
}

#[test]
fn a_start_without_an_agent_names_them() {
    let expected = "error: which agent? The manifest has hello, shell\n\nhint: claude-bottle start hello\n";
    assert_eq!(said(&Home::new(), &["start"], &[], 2), expected);
    assert_says(&said(&Home::empty(), &["start"], &[], 125), &["there is no manifest", "claude-bottle init"]);
}

#[test]
fn a_prompt_without_its_option_is_told_where_it_goes() {
    let home = Home::new();
    let hint = "hint: a prompt goes behind --print: claude-bottle start AGENT --print PROMPT";
    assert_says(&said(&home, &["start", "hello", "fix the tests"], &[], 2), &["unexpected argument", hint]);
    for other in [&["start", "hello", "--yess"][..], &["list", "hello", "more"]] {
        assert!(!said(&home, other, &[], 2).contains("--print"), "{other:?}");
    }
}

#[test]
fn a_misspelt_backend_is_told_the_near_one_and_no_file_to_install() {
    let told = said(&Home::new(), &["start", "hello", "--backend", "faek", "--yes"], &[], 125);
    assert_says(&told, &["backend `faek` not found", "available backends: fake", "did you mean `fake`?"]);
    assert!(!told.contains("install"), "{told}");
}

/// As `cargo install` and `cargo binstall` would leave it.
#[test]
fn a_program_without_its_plugins_says_how_it_is_installed_with_them() {
    let home = Home::new();
    let alone = home.path().join("alone/claude-bottle");
    std::fs::create_dir(alone.parent().unwrap()).unwrap();
    let installed = home.command(&["start", "hello", "--yes"]);
    std::fs::copy(installed.get_program(), &alone).unwrap();
    let mut command = Command::new(&alone);
    command.args(["start", "hello", "--yes"]).env_clear().current_dir(home.work());
    command.envs(installed.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    assert_code(&output, 125);
    assert_says(
        &stderr(&output),
        &["backend `fake` not found", "no backend was found at all", "make install PREFIX=~/.local"],
    );
}

#[test]
fn an_option_that_the_backend_does_not_take_comes_with_what_to_do() {
    let told = said(&Home::new(), &["start", "hello", "--pull", "--yes"], &[], 125);
    assert_says(
        &told,
        &["takes no options", "hint: leave `pull` out, or name a backend that has it: --backend"],
    );
}

#[test]
fn the_stream_that_is_no_terminal_is_named() {
    let home = Home::new();
    let program = home.command(&["start", "hello"]);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "\"$0\" start hello 2>told; echo \"code $?\""]).arg(program.get_program());
    shell.env_clear().current_dir(home.work());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let terminal = Terminal::start(&shell);
    terminal.wait_for("code 125");
    terminal.ends_with(0);
    let told = std::fs::read_to_string(home.work().join("told")).unwrap();
    assert_says(&told, &["cannot ask: standard error is not a terminal", "add --yes"]);
}

#[test]
fn print_says_that_it_never_asks() {
    let home = Home::with(
        "bottles: { dev: { env: { KEY: \"?\" } } }\nagents: { a: { bottle: dev, command: [claude] } }\n",
    );
    let told = said(&home, &["start", "a", "--print", "hello"], &[], 125);
    let hint = "write `${KEY}` in the manifest, and set that variable before the start: export KEY=…";
    assert_says(&told, &["cannot ask for the secret `KEY`\n  caused by: --print never asks", hint]);
    assert!(!told.contains("terminal"), "{told}");
}

#[test]
fn a_directory_for_temporary_files_that_is_not_there_is_named_with_its_variable() {
    let told = said(&Home::new(), &["start", "hello", "--dry-run"], &[("TMPDIR", "/nowhere")], 125);
    let hint = "hint: name a directory that is there and has room: export TMPDIR=DIR";
    assert_says(&told, &["error: cannot make a temporary directory in `/nowhere` ($TMPDIR)\n", hint]);
}

#[test]
fn a_home_that_cannot_be_one_is_named() {
    let home = Home::new();
    let hint = "\n\nhint: name your home directory: export HOME=DIR\n";
    for (value, error) in [
        ("/etc/passwd", "error: HOME is `/etc/passwd`, which is not a directory"),
        ("relative", "error: cannot find the home directory: HOME is not an absolute path"),
    ] {
        assert_eq!(said(&home, &["list"], &[("HOME", value)], 1), format!("{error}{hint}"));
    }
}

#[test]
fn a_plan_says_that_claude_code_has_no_token() {
    let home = Home::with(
        "bottles: { dev: {} }\nagents: { a: { bottle: dev }, b: { bottle: dev, command: [echo] } }\n",
    );
    let note = "note: no token: Claude Code asks for a login in each bottle, and with --print it fails; claude setup-token, \
                then: export CLAUDE_BOTTLE_OAUTH_TOKEN=TOKEN";
    assert_says(&said(&home, &["start", "a", "--dry-run"], &[], 0), &[note]);
    let token = [("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary-of-a-plan")];
    for (agent, env) in [("a", &token[..]), ("b", &[])] {
        let told = said(&home, &["start", agent, "--dry-run"], env, 0);
        assert!(!told.contains("no token") && !told.contains("canary"), "{told}");
    }
}

#[test]
fn a_file_in_place_of_a_directory_is_named_with_its_variable() {
    let home = Home::new();
    let file = home.write("in-the-way", "");
    let file = file.display();
    for variable in ["XDG_DATA_HOME", "XDG_STATE_HOME"] {
        let told = said(&home, &["start", "hello", "--yes"], &[(variable, &file.to_string())], 125);
        let hint = format!(
            "\n\nhint: `{file}` is not a directory: move it away, or use another place: export {variable}=DIR\n"
        );
        assert_says(&told, &["Not a directory", &hint]);
    }
    home.assert_nothing_left();
}

/// Calls the program where a directory is another one.
fn within(home: &Home, mount: &[&str], arguments: &[&str]) -> (Option<i32>, String) {
    let inner = home.command(arguments);
    let mut bwrap = Command::new("bwrap");
    // What can be filled is full.
    let fill = r#"test -w "$0" && head -c 4096 /dev/zero >"$0/full"; exec "$@""#;
    bwrap.args(["--dev-bind", "/", "/"]).args(mount).args(["--", "sh", "-c", fill, mount[mount.len() - 1]]);
    bwrap.arg(inner.get_program()).args(inner.get_args());
    bwrap.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = bwrap.current_dir(home.work()).output().unwrap();
    (output.status.code(), stderr(&output))
}

#[test]
fn a_full_or_read_only_directory_is_named_with_what_to_do() {
    let home = Home::new();
    let state = home.path().join(".local/state");
    std::fs::create_dir_all(&state).unwrap();
    let state = state.to_str().unwrap();
    let start = ["start", "hello", "--yes"];
    let (code, told) = within(&home, &["--ro-bind", state, state], &start);
    assert_eq!(code, Some(125), "{told}");
    let hint = format!(
        "\n\nhint: make `{state}/claude-bottle` writable, or use another place: export XDG_STATE_HOME=DIR\n"
    );
    assert_says(&told, &["Read-only file system", &hint]);
    let (code, told) = within(&home, &["--size", "4096", "--tmpfs", state], &start);
    assert_eq!(code, Some(125), "{told}");
    let hint = format!(
        "\n\nhint: make room for `{state}/claude-bottle` (old results: claude-bottle discard), or use another place: export XDG_STATE_HOME=DIR\n"
    );
    assert_says(&told, &["No space left on device", &hint]);
    home.assert_nothing_left();
}
