//! Secrets that the guard holds: what the bottle has of them, when their values are taken, and what a plan says.
//!
//! The fake backend opens no tunnels, so those that it is given are for plain HTTP.

use std::fs;

use crate::support::{Home, assert_code, assert_says, stderr, stdout};

const CANARY: &str = "canary-of-a-held-secret";

/// Makes a home whose bottle has this secret, by the name of FORGE, and whose agent runs this command.
fn home(from: &str, command: &str) -> Home {
    Home::with(&format!(
        "bottles:\n  dev:\n    secrets:\n      FORGE: {{ from: {from}, hosts: ['forge.test:80'], plain_http: true }}\n\
         agents: {{ a: {{ bottle: dev, command: [{command}] }} }}\n"
    ))
}

/// A command that leaves a file in the home directory, and prints the value.
fn noted() -> String {
    format!("{{ command: [sh, -c, 'touch ran; echo {CANARY}'] }}")
}

#[test]
fn a_bottle_has_a_placeholder_that_is_new_in_each_run() {
    let home = home(&noted(), "printenv, FORGE");
    let placeholder = || {
        let output = home.call(&["--quiet", "start", "a", "--yes"]);
        assert_code(&output, 0);
        assert!(!stderr(&output).contains(CANARY));
        stdout(&output).trim().to_owned()
    };
    let (one, two) = (placeholder(), placeholder());
    assert_ne!(one, two);
    for text in [one, two] {
        let rest = text.strip_prefix("placeholder-for-FORGE-").unwrap_or_else(|| panic!("{text}"));
        assert!(
            rest.len() == 24 && rest.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)),
            "{text}"
        );
    }
    let found = std::process::Command::new("grep")
        .args(["-rl", CANARY, "."])
        .current_dir(home.path())
        .output()
        .unwrap();
    assert_eq!(stdout(&found).trim(), "./claude-bottle.yaml", "which says the command");
}

#[test]
fn a_command_runs_at_a_start_that_was_agreed_to_and_for_nobody_else() {
    let has_run = |home: &Home| home.path().join("ran").exists();
    let home = home(&noted(), "'true'");
    for arguments in [
        &["start", "a", "--dry-run"][..],
        &["info", "a"],
        &["policy", "check", "a", "forge.test:80"],
        &["doctor"],
        &["list"],
    ] {
        home.call(arguments);
        assert!(!has_run(&home), "{arguments:?}");
    }
    let words = format!("[\"sh\", \"-c\", \"touch ran; echo {CANARY}\"], run on this machine");
    assert_says(&stdout(&home.call(&["info", "a"])), &["forge.test:80 (bearer)", &words]);
    assert_says(
        &stderr(&home.call(&["start", "a", "--yes"])),
        &[&format!("FORGE \u{2192} forge.test:80 (bearer), from the command {words}")],
    );
    assert!(has_run(&home));
    // A project that came from elsewhere: shown by `trust`, and run once it is trusted.
    let stranger = Home::with("bottles: { dev: {} }\nagents: { b: { bottle: dev, command: ['true'] } }\n");
    let manifest = fs::read_to_string(home.manifest())
        .unwrap()
        .replace("  dev:", "  theirs:")
        .replace("bottle: dev", "bottle: theirs");
    fs::write(stranger.work().join("claude-bottle.yaml"), manifest).unwrap();
    for arguments in [&["start", "a", "--yes"][..], &["start", "b", "--yes"], &["trust"]] {
        stranger.call(arguments);
        assert!(!has_run(&stranger), "{arguments:?}");
    }
    let shown = stranger.call(&["trust", "--yes"]);
    assert_says(&stderr(&shown), &["secret", "FORGE from the command", &words, "for forge.test:80 (bearer)"]);
    assert!(!has_run(&stranger));
    assert_code(&stranger.call(&["start", "a", "--yes"]), 0);
    assert!(has_run(&stranger));
}

#[test]
fn what_is_not_a_value_is_refused_without_a_word_of_it() {
    for (from, reason) in [
        ("{ command: [echo, 'canary of two words'] }", "visible characters of ASCII"),
        ("{ command: [sh, -c, 'echo canary >&2; exit 3'] }", "`sh` failed with exit status: 3"),
        ("{ command: [/nonexistent/canary-program] }", "cannot run `/nonexistent/canary-program`"),
        ("{ file: key }", "visible characters of ASCII"),
        ("'${SHORT}'", "visible characters of ASCII"),
    ] {
        let home = home(from, "'true'");
        home.write("key", "canary\nof two lines\n");
        let output = home.call_with(&["start", "a", "--yes"], &[("SHORT", "canary")]);
        assert_code(&output, 125);
        let said = stderr(&output);
        assert_says(
            &said,
            &["error: ~/claude-bottle.yaml:4: cannot take the value of the secret `FORGE`", reason],
        );
        let told = said.lines().skip_while(|line| !line.starts_with("error:")).collect::<String>();
        assert!(!told.replace("canary-program", "").contains("canary"), "{told}");
        home.assert_nothing_left();
    }
    let home = home("'${NOT_THERE}'", "'true'");
    assert_says(
        &stderr(&home.call(&["start", "a", "--dry-run"])),
        &["`NOT_THERE`, which `FORGE` is taken from, is not set"],
    );
}

#[test]
fn a_secret_within_https_is_refused_by_a_backend_that_opens_no_tunnel() {
    let home = Home::with(
        "bottles: { dev: { secrets: { NPM_TOKEN: '?' } } }\nagents: { a: { bottle: dev, command: ['true'] } }\n",
    );
    let output = home.call(&["start", "a", "--yes"]);
    assert_code(&output, 125);
    let told = "error: ~/claude-bottle.yaml:1: the secret `NPM_TOKEN` needs a look into HTTPS, and the fake backend makes no bottle trust";
    assert_says(&stderr(&output), &[told, "move it to `env`, where the agent reads it"]);
}

#[test]
fn a_secret_in_env_that_could_be_held_is_noted() {
    let home = Home::with(
        "bottles: { dev: { env: { GH_TOKEN: '${X}', A: b } } }\nagents: { a: { bottle: dev, command: ['true'] } }\n",
    );
    let said = stderr(&home.call_with(&["start", "a", "--yes"], &[("X", CANARY)]));
    assert_says(&said, &["note: the agent can read GH_TOKEN; under `secrets` in place of `env` it cannot"]);
}
