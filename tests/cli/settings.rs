//! Settings: a misspelt name never starts something else than what was meant.

use crate::support::{Home, assert_code, stderr, stdout};

#[test]
fn a_misspelt_setting_starts_nothing_and_the_right_name_is_said() {
    let home = Home::new();
    let check = |name: &str, meant: &str| {
        let output = home.call_with(&["start", "hello", "--yes"], &[(name, "1")]);
        assert_code(&output, 125);
        let expected = format!(
            "error: {name} is set, and nothing reads a setting of that name\n\n\
             hint: did you mean {meant}? Else: unset {name}\n"
        );
        assert_eq!((stdout(&output), stderr(&output)), (String::new(), expected));
        home.assert_nothing_left();
    };
    check("CLAUDE_BOTTLE_DRYRUN", "CLAUDE_BOTTLE_DRY_RUN");
    check("CLAUDE_BOTTLE_dry_run", "CLAUDE_BOTTLE_DRY_RUN");
    check("CLAUDE_BOTTLE_BACKNED", "CLAUDE_BOTTLE_BACKEND");
    check("CLAUDE_BOTTLE_FAKE_FAULTS", "CLAUDE_BOTTLE_FAKE_FAULT");
    check("CLAUDE_BOTTLE_OAUTH_TOKENS", "CLAUDE_BOTTLE_OAUTH_TOKEN");
}

#[test]
fn a_setting_that_nothing_reads_is_warned_of_and_what_is_known_is_not() {
    let home = Home::new();
    let warned = |name: &str, value: &str| {
        let output = home.call_with(&["start", "hello", "--dry-run"], &[(name, value)]);
        assert_code(&output, 0);
        stderr(&output)
            .starts_with(&format!("warning: {name} is set, and nothing reads a setting of that name\n"))
    };
    assert!(warned("CLAUDE_BOTTLE_COLOUR_OF_THE_CORK", "green"));
    assert!(!warned("CLAUDE_BOTTLE_COLOUR_OF_THE_CORK", ""), "an empty one is not set");
    for name in ["CLAUDE_BOTTLE_TEST_ROUNDS", "CLAUDE_BOTTLE_NO_INSTALL", "CLAUDE_BOTTLE_OAUTH_TOKEN"] {
        assert!(!warned(name, "1"), "{name}");
    }
}

#[test]
fn a_setting_that_names_no_program_is_what_is_wrong() {
    let home = Home::new();
    for (value, expected) in [
        ("/etc/passwd", "error: CLAUDE_BOTTLE_GUARD is `/etc/passwd`, which is not a program\n"),
        ("/nowhere/guard", "error: cannot find CLAUDE_BOTTLE_GUARD `/nowhere/guard`\n"),
    ] {
        let output = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_GUARD", value)]);
        assert_code(&output, 125);
        assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
        home.assert_nothing_left();
    }
}
