//! What goes to which stream, in which colours, and what becomes of output that nobody takes.

use std::fs::OpenOptions;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::support::{Home, Live, Terminal, assert_code, assert_says, stderr, stdout};

const ESCAPE: char = '\u{1b}';

#[test]
fn there_is_no_colour_without_a_terminal() {
    let home = Home::new();
    for arguments in [&["start", "helo"][..], &["start", "hello", "--dry-run"], &["--help"]] {
        let output = home.call(arguments);
        assert!(!(stdout(&output) + &stderr(&output)).contains(ESCAPE), "{arguments:?}");
    }
    let forced = home.call(&["--color", "always", "start", "helo"]);
    assert_says(&stderr(&forced), &["\u{1b}[1;31merror\u{1b}[0m: ", "\u{1b}[1;34mhint\u{1b}[0m: "]);
}

#[test]
fn no_color_wins_on_a_terminal() {
    let home = Home::new();
    let drawn = |no_color: Option<&str>| {
        let mut command = home.command(&["start", "hello", "--dry-run"]);
        command.env("TERM", "xterm-256color").envs(no_color.map(|value| ("NO_COLOR", value)));
        let terminal = Terminal::start(&command);
        terminal.ends_with(0)
    };
    let bold = "\u{1b}[1m";
    assert!(drawn(None).contains(bold));
    assert!(drawn(Some("")).contains(bold), "an empty NO_COLOR is none");
    assert!(!drawn(Some("1")).contains(bold));
}

#[test]
fn quiet_leaves_data_and_errors() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["-q", "start", "hello", "--yes"]), @"
    exit 0
    --- stdout
    hello
    ");
    assert_snapshot!(home.shown(&["-q", "start", "helo", "--yes"]), @"
    exit 125
    --- stderr
    error: there is no agent `helo`

    hint: did you mean `hello`?
    hint: agents: hello, shell
    ");
    assert_eq!(stdout(&home.call(&["-q", "list"])), stdout(&home.call(&["list"])));
    assert_says(&stderr(&home.call(&["-q", "start", "hello", "--dry-run"])), &["NOT ENFORCED"]);
}

#[test]
fn verbose_tells_developers_more_on_standard_error_alone() {
    let home = Home::new();
    let plain = home.call(&["start", "hello", "--yes"]);
    let verbose = home.call(&["-v", "start", "hello", "--yes"]);
    let very = home.call(&["start", "hello", "--yes", "-vv"]);
    for output in [&plain, &verbose, &very] {
        assert_code(output, 0);
        assert_eq!(stdout(output), "hello\n");
    }
    assert!(!stderr(&plain).contains("DEBUG"));
    assert_says(&stderr(&verbose), &["DEBUG", "verb=\"launch\""]);
    assert_says(&stderr(&very), &["plugin: enter"]);
    let by_variable = home.call_with(&["start", "hello", "--yes"], &[("CLAUDE_BOTTLE_LOG", "plugin=debug")]);
    assert_says(&stderr(&by_variable), &["plugin: enter"]);
    assert!(!stderr(&by_variable).contains("claude_bottle::"), "{}", stderr(&by_variable));
}

/// `stop` opens its backend twice: once to find the bottle and once to close it.
#[test]
fn a_backend_that_is_opened_again_is_heard_again() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let output = home.call_with(&["stop", "shell"], &[("CLAUDE_BOTTLE_LOG", "plugin=trace")]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["list_active", "verb=\\\"close\\\""]);
    assert_code(&run.end(), 0);
}

#[test]
fn data_goes_to_standard_output_and_nothing_else_does() {
    let home = Home::new();
    for arguments in [
        &["list"][..],
        &["info", "hello"],
        &["policy", "check", "hello", "github.com"],
        &["doctor"],
        &["plugin", "list"],
        &["schema"],
        &["logs"],
        &["completions", "bash"],
    ] {
        let output = home.call(arguments);
        assert_code(&output, 0);
        assert!(!stdout(&output).is_empty(), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
    let asked = home.call(&["start", "hello"]);
    assert_eq!(stdout(&asked), "");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let home = Home::new();
    for arguments in [
        &["schema"][..],
        &["list"],
        &["completions", "bash"],
        &["start", "hello", "--dry-run", "--format", "json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_code(&output, 0);
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn following_ends_when_nobody_reads() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command(&["logs", "shell", "--follow"]);
    let mut follower = command.stdout(writer).spawn().unwrap();
    // The command holds the writing end open as long as it lives.
    drop((reader, command));
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    assert_code(&run.end(), 0);
}

#[test]
fn a_full_disk_is_a_failure() {
    let home = Home::new();
    for arguments in [&["schema"][..], &["list"], &["info", "hello", "--format", "json"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = home.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_code(&output, 1);
        assert_says(&stderr(&output), &["error: cannot write to standard output", "No space left on device"]);
    }
}

#[test]
fn a_home_that_cannot_be_found() {
    let home = Home::new();
    let mut command = home.command(&["list"]);
    let output = command.env("HOME", "relative").output().unwrap();
    assert_snapshot!(home.show(&output), @"
    exit 1
    --- stderr
    error: cannot find the home directory: HOME is not an absolute path

    hint: name your home directory: export HOME=DIR
    ");
}

#[test]
fn text_of_a_manifest_cannot_drive_the_terminal() {
    let home = Home::with(
        "bottles: { dev: {} }\nagents: { a: { bottle: dev, prompt: \"\\e[2J\\x9b\\u202Eevil\" } }\n",
    );
    for arguments in [&["info", "a"][..], &["info", "a", "--format", "json"], &["start", "a", "--dry-run"]] {
        let output = home.call(arguments);
        let text = stdout(&output) + &stderr(&output);
        assert!(!text.contains([ESCAPE, '\u{9b}', '\u{202e}']), "{text:?}");
        assert_says(&text, &["evil"]);
    }
}

/// A step that takes a while is shown on a terminal, and nowhere else; quiet is quiet.
#[test]
fn progress_is_for_a_terminal_and_not_when_quiet() {
    let home = Home::new();
    let slow = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("CLAUDE_BOTTLE_FAKE_FAULT", "hang:launch").env("CLAUDE_BOTTLE_TEST_HASTE", "50");
        command.env("CLAUDE_BOTTLE_LOG", "plugin=debug");
        command
    };
    for (arguments, is_shown) in
        [(&["start", "hello", "--yes"][..], true), (&["--quiet", "start", "hello", "--yes"], false)]
    {
        let mut terminal = Terminal::start(&slow(arguments));
        terminal.wait_for("fault injected");
        // It does not end at once: what ignores an interrupt gets a moment longer than a step stays unseen.
        terminal.type_keys("\u{3}");
        let text = terminal.ends_with(125);
        assert_eq!(text.contains("making the record"), is_shown, "{arguments:?}: {text}");
        home.wait_until_nothing_left();
    }
    let run = Live::start(&mut slow(&["start", "hello", "--yes"]));
    run.wait_for_stderr("fault injected");
    run.send(rustix::process::Signal::INT);
    let output = run.end();
    assert_code(&output, 125);
    assert!(!stderr(&output).contains("making the record"), "{}", stderr(&output));
    home.wait_until_nothing_left();
}
