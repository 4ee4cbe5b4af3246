//! Secrets are planted, and searched for wherever they must not be: argument lists, logs, files, plans, panics.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use crate::support::{Home, Live, Terminal, assert_code, assert_says, stderr, stdout};

/// One canary for each way a secret comes in. The second line breaks whatever takes a value for a line.
const FROM_HOST: &str = "canary-host-7d41f0\nsecond-line-of-canary-7d41f0";
const TOKEN: &str = "canary-token-5f1e0c";
const ASKED: &str = "canary-asked-91ab3e";
/// What is searched for: enough of each canary to be unmistakable.
const CANARIES: [&str; 4] = ["canary-host-7d41f0", "second-line-of-canary", TOKEN, ASKED];

const MANIFEST: &str = "\
bottles:
  dev:
    env:
      FROM_HOST: ${CANARY_SOURCE}
agents:
  secretive: { bottle: dev, command: [sh, -c] }
";

fn home() -> Home {
    Home::with(MANIFEST)
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("CANARY_SOURCE", FROM_HOST).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
    command
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "`{canary}` is in {what}:\n{}", String::from_utf8_lossy(bytes));
    }
}

/// Searches the argument list of every process there is.
fn assert_no_argument_list_has_it() {
    let mut searched = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // A process may end while it is looked at.
        if let Ok(arguments) = fs::read(entry.path().join("cmdline")) {
            assert_clean(&format!("the arguments of {}", entry.path().display()), &arguments);
            searched += 1;
        }
    }
    assert!(searched > 2, "only {searched} processes were seen");
}

/// Searches every file and every name below a directory.
fn assert_no_file_has_it(directory: &Path) -> usize {
    let mut searched = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        assert_clean("a file's name", path.as_os_str().as_encoded_bytes());
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            searched += assert_no_file_has_it(&path);
        } else if path.is_file() {
            match fs::read(&path) {
                Ok(bytes) => assert_clean(&path.display().to_string(), &bytes),
                // The run is writing: a file may have got its name since.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
            }
            searched += 1;
        }
    }
    searched
}

#[test]
fn a_run_keeps_it_out_of_arguments_files_and_logs() {
    let home = home();
    let mut start = command(&home, &["-vv", "start", "secretive", "--yes", "--", "echo ready; cat"]);
    let run = Live::start(&mut start);
    run.wait_for_stdout("ready");
    assert_no_argument_list_has_it();
    // At least the manifest, the run's record and the backend's record are there.
    assert!(assert_no_file_has_it(home.path()) >= 3);
    for arguments in [
        &["-vv", "list", "active", "--format", "json"][..],
        &["-vv", "logs", "secretive", "--format", "json"],
        &["-vv", "cleanup", "--dry-run", "--all", "--format", "json"],
        &["-vv", "exec", "secretive", "--", "sh", "-c", "set"],
    ] {
        let output = command(&home, arguments).output().unwrap();
        assert_code(&output, 0);
        assert_clean("standard output", &output.stdout);
        assert_clean("standard error", &output.stderr);
    }
    let output = run.end();
    assert_code(&output, 0);
    assert_clean("standard output", &output.stdout);
    assert_clean("standard error", &output.stderr);
    // The log was there, and the backend was given what it asked for.
    assert_says(&stderr(&output), &["DEBUG", "verb=\"provision\""]);
    assert_no_file_has_it(home.path());
    home.assert_nothing_left();
}

#[test]
fn a_failure_keeps_it_out_of_errors_and_panics() {
    let faults = ["panic:exec", "error:exec", "panic:close", "error:close", "hang:close", "panic:provision"];
    for fault in faults {
        let home = home();
        let mut start = command(&home, &["-vv", "start", "secretive", "--yes", "--", "true"]);
        start.env("CLAUDE_BOTTLE_FAKE_FAULT", fault).env("CLAUDE_BOTTLE_TEST_HASTE", "50");
        let output = start.env("RUST_BACKTRACE", "full").output().unwrap();
        // A removal that is slow changes nothing about how the agent ended.
        assert_code(&output, if fault == "hang:close" { 0 } else { 125 });
        assert_clean(fault, &output.stdout);
        assert_clean(fault, &output.stderr);
        home.wait_until_nothing_left();
        assert_no_file_has_it(home.path());
    }
}

#[test]
fn what_only_reads_never_shows_it() {
    let home = home();
    for arguments in [
        &["-vv", "start", "secretive", "--dry-run"][..],
        &["-vv", "start", "secretive", "--dry-run", "--format", "json"],
        &["-vv", "info", "secretive"],
        &["-vv", "info", "secretive", "--format", "json"],
        &["-vv", "list", "--format", "json"],
        &["-vv", "doctor", "--format", "json"],
    ] {
        let output = command(&home, arguments).output().unwrap();
        assert_code(&output, 0);
        assert_clean("standard output", &output.stdout);
        assert_clean("standard error", &output.stderr);
        assert_no_file_has_it(home.path());
    }
    let plan = command(&home, &["start", "secretive", "--dry-run", "--format", "json"]).output().unwrap();
    assert_says(&stdout(&plan), &["\"FROM_HOST\"", "\"CLAUDE_CODE_OAUTH_TOKEN\""]);
}

#[test]
fn what_is_typed_is_not_shown_written_or_logged() {
    let home = Home::with(
        "bottles: { dev: { env: { ASKED: '?the secret' } } }\nagents: { a: { bottle: dev, command: [sh, -c] } }\n",
    );
    let mut terminal =
        Terminal::start(&home.command(&["-vv", "start", "a", "--yes", "--", "echo rea''dy; read line"]));
    terminal.wait_for("the secret (ASKED):");
    terminal.type_keys(&format!("{ASKED}\r"));
    // Quoted in the command, so that the plan does not have it.
    terminal.wait_for("ready");
    assert_no_argument_list_has_it();
    assert_no_file_has_it(home.path());
    // The terminal is raw by now: a line ends with what a line ends with.
    terminal.type_keys("\n");
    let (code, contents) = terminal.end();
    assert_eq!(code, 0, "{contents}");
    assert_clean("the screen", contents.as_bytes());
    assert_no_file_has_it(home.path());
}

/// Counts how often a text is in the memory of a process that can be written, which is where its data is.
fn times_in_memory(pid: u32, wanted: &str) -> usize {
    use std::io::{Read, Seek, SeekFrom};
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut times = 0;
    for line in maps.lines().filter(|line| line.split_whitespace().nth(1).unwrap().starts_with("rw")) {
        let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.seek(SeekFrom::Start(from)).unwrap();
        // Some pages belong to the kernel alone.
        if memory.read_exact(&mut bytes).is_ok() {
            times += bytes.windows(wanted.len()).filter(|window| *window == wanted.as_bytes()).count();
        }
    }
    times
}

#[test]
fn what_is_typed_is_in_memory_once() {
    let home = Home::with(
        "bottles: { dev: { env: { A: '?first', B: '?second' } } }\nagents: { a: { bottle: dev, command: ['true'] } }\n",
    );
    let mut terminal = Terminal::start(&home.command(&["start", "a", "--yes"]));
    terminal.wait_for("first (A):");
    terminal.type_keys(&format!("{ASKED}\r"));
    terminal.wait_for("second (B):");
    assert_eq!(times_in_memory(terminal.pid(), ASKED), 1);
    terminal.type_keys("other\r");
    terminal.ends_with(0);
}

#[test]
fn a_value_that_cannot_be_used_is_named_and_not_shown() {
    let home = Home::with(&MANIFEST.replace("FROM_HOST", "UNDER_A_MUCH_LONGER_NAME"));
    let mut long = command(&home, &["-vv", "start", "secretive", "--yes", "--", "true"]);
    // As long as a variable can be under its name on the host, which is shorter than that in the bottle.
    let value = &FROM_HOST.repeat(4000)[..131_050];
    let output = long.env("CANARY_SOURCE", value).output().unwrap();
    assert_code(&output, 125);
    assert_clean("standard error", &output.stderr);
    assert_says(
        &stderr(&output),
        &["the value of `UNDER_A_MUCH_LONGER_NAME` is longer than a variable can be"],
    );
}
