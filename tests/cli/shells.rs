//! Completions in the real shells. bash has to be there; of the others, those that are.

use std::io::Write;
use std::process::Command;

use crate::support::{Home, Terminal, assert_code, stdout};

/// Loads the completions of a shell and returns what it offers after `claude-bottle st`; nothing without that shell.
fn offered(shell: &str, script: &str) -> Option<String> {
    let home = Home::empty();
    let output = home.call(&["completions", shell]);
    assert_code(&output, 0);
    let file = home.write("completions", &stdout(&output));
    let mut command = Command::new(shell);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path()).env("TERM", "dumb");
    command.current_dir(home.work()).args(["-c", script]);
    let result = match command.env("FILE", file).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Past the capture of the test harness, so that it is seen.
            std::io::stderr().write_all(format!("skipped: {shell} is not installed\n").as_bytes()).unwrap();
            return None;
        }
        other => other.unwrap(),
    };
    assert_code(&result, 0);
    assert!(result.stderr.is_empty(), "{}", String::from_utf8_lossy(&result.stderr));
    Some(stdout(&result))
}

fn names(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn bash() {
    let script = r#"
        set -eu
        bash -n "$FILE"
        . "$FILE"
        complete -p claude-bottle >/dev/null
        COMP_WORDS=(claude-bottle st) COMP_CWORD=1 COMPREPLY=()
        _claude__bottle claude-bottle st claude-bottle
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(claude-bottle start fixer --cw) COMP_CWORD=3 COMPREPLY=()
        _claude__bottle claude-bottle --cw fixer
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(claude-bottle policy check --ht) COMP_CWORD=3 COMPREPLY=()
        _claude__bottle claude-bottle --ht check
        echo "${COMPREPLY[@]}"
        COMP_WORDS=(claude-bottle "") COMP_CWORD=1 COMPREPLY=()
        _claude__bottle claude-bottle "" claude-bottle
        case " ${COMPREPLY[*]} " in *" reap "*|*" plugin-case "*) echo hidden ;; esac
    "#;
    let text = offered("bash", script).expect("bash is installed: apt-get install bash");
    assert_eq!(names(&text), ["start", "stop", "--cwd", "--http"]);
}

#[test]
fn zsh() {
    let script = r#"
        setopt no_rcs
        autoload -U compinit && compinit -D
        . "$FILE" || exit 1
        (( $+functions[_claude-bottle] )) || exit 2
        [[ $_comps[claude-bottle] == _claude-bottle ]] || exit 3
        echo loaded
    "#;
    if let Some(text) = offered("zsh", script) {
        assert_eq!(names(&text), ["loaded"]);
        zsh_on_a_terminal();
    }
}

/// Types at a real zsh, which completes on a terminal alone.
fn zsh_on_a_terminal() {
    let home = Home::empty();
    let file = home.write("_claude-bottle", &stdout(&home.call(&["completions", "zsh"])));
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]).env("HOME", home.path()).env("PATH", "/usr/bin:/bin").env("FILE", file);
    zsh.current_dir(home.work());
    let mut terminal = Terminal::start(&zsh);
    terminal.type_keys("PS1='> '; autoload -U compinit; compinit -D; . $FILE; LISTMAX=999; echo re''ady\r");
    terminal.wait_for("ready\r\n");
    terminal.type_keys("claude-bottle start fixer --\t\t");
    terminal.wait_for("--cwd");
    terminal.wait_for("--timings");
    terminal.type_keys("\u{15}clear; claude-bottle \t\t");
    terminal.wait_for("untrust");
    terminal.type_keys("\u{15}exit\r");
    let text = terminal.end().1;
    assert!(!text.contains("plugin-case") && !text.contains("reap "), "{text}");
}

#[test]
fn fish() {
    let script = r#"source $FILE; or exit 1; for line in 'claude-bottle st' 'claude-bottle start fixer --cw' 'claude-bottle re' 'claude-bottle plugin-'; complete -C $line | string replace -r '\t.*' ''; end; true"#;
    if let Some(text) = offered("fish", script) {
        assert_eq!(names(&text), ["start", "stop", "--cwd", "results", "resume"]);
    }
}
