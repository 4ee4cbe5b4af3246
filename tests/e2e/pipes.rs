//! A program of a bottle in a script's pipes: its exit codes, its bytes, and a reader that goes away.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::egress::home;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::{assert_code, run, stderr};

on_each_backend!(codes_bytes_and_closed_ends_are_the_programs_own);

/// How many bytes go through in each direction.
const BYTES: usize = 30 << 20;

fn codes_bytes_and_closed_ends_are_the_programs_own(backend: Backend) {
    let agent = &format!("e2e-pipes-{}", backend.name());
    let home = home(&[agent], "      allowlist: []\n");
    let mut inside =
        Session::start_by(backend.command(&home, &["-q", "start", agent, "--yes"]), &home, agent);
    inside.ok("true");
    let exec = |script: &str| backend.command(&home, &["-q", "exec", agent, "--", "sh", "-c", script]);

    for (script, code) in [
        ("exit 5", 5),
        ("exit 255", 255),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ] {
        assert_code(&run(exec(script).stdin(Stdio::null())), code);
    }

    let (sent, back) = (home.path().join("sent"), home.path().join("back"));
    let noise = format!("head -c {BYTES} /dev/urandom >\"$0\"");
    assert_code(&run(Command::new("sh").args(["-c", &noise]).arg(&sent)), 0);
    let mut cat = exec("cat");
    cat.stdin(File::open(&sent).unwrap()).stdout(File::create(&back).unwrap());
    assert_code(&run(&mut cat), 0);
    let (sent, back) = (fs::read(sent).unwrap(), fs::read(back).unwrap());
    assert!(sent.len() == BYTES && sent == back, "{} bytes came back", back.len());

    let mut endless = exec("yes").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(endless.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), endless.wait().unwrap().code()), ("y\n", Some(141)), "the reader is gone");

    let inner = exec("cat; echo read nothing >&2");
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(inner.get_program()).args(inner.get_args());
    closed.env_clear().current_dir(home.work());
    closed.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = run(&mut closed);
    assert_code(&output, 0);
    assert_eq!(stderr(&output), "read nothing\n");
    inside.end();
    backend.assert_nothing_left(&home, agent);
}
