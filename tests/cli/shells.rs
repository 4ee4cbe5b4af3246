//! Completions in the real shells. bash has to be there; of the others, those that are.

use std::io::Write;
use std::process::Command;

use crate::support::{Home, assert_code, stdout};

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
    "#;
    let text = offered("bash", script).expect("bash is installed: apt-get install bash");
    assert_eq!(names(&text), ["start", "stop"]);
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
    }
}

#[test]
fn fish() {
    let script = r#"source $FILE; or exit 1; complete -C 'claude-bottle st' | string replace -r '\t.*' ''"#;
    if let Some(text) = offered("fish", script) {
        assert_eq!(names(&text), ["start", "stop"]);
    }
}
