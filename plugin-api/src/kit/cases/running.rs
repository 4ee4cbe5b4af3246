//! Exec: its end, whatever else goes on: cancelled, with a child left behind, next to another one, in a bottle that is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use crate::abi::host::CallHost;
use crate::kit::bench::{Bench, Caller, Check, call, caller, ensure};
use crate::kit::program::{self, printed, script};
use crate::{ExecRequest, ExecRole, FailureKind};

/// How long an exec may take to return after its program's end, and a program after it was cancelled.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn cancelled(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let (stdin, _feed) = std::io::pipe()?;
    let (out, stdout) = std::io::pipe()?;
    let mut request = ExecRequest::new(script("echo $$; exec sleep 600", &[]), ExecRole::Command);
    request.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stdout.as_raw_fd()];
    let caller = caller(usize::MAX);
    let call: Arc<dyn CallHost> = Arc::<Caller>::clone(&caller);
    let mut pid = String::new();
    let ended = thread::scope(|scope| {
        let running = scope.spawn(|| {
            let ended = session.opened.exec(&call, &bottle, &request);
            // For a reader that waits for a program which never ran.
            drop((&stdout).write_all(b"\n"));
            ended
        });
        let read = BufReader::new(&out).read_line(&mut pid);
        caller.cancel();
        read.map(|_| running.join())
    })?;
    let kind = ended.ok().and_then(Result::err).map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::Cancelled), "cancelled, it comes to {kind:?}");
    ensure!(pid.trim().parse::<u32>().is_ok(), "`echo $$` prints {pid:?}");
    let began = Instant::now();
    while printed(&session, &bottle, "kill -0 \"$1\" 2>/dev/null && printf runs; true", &[pid.trim()])?
        == "runs"
    {
        ensure!(began.elapsed() < PATIENCE, "cancelled, its program still runs");
    }
    Ok(())
}

pub(super) fn child_left(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let (stdin, _feed) = std::io::pipe()?;
    let (mut out, stdout) = std::io::pipe()?;
    let mut request = ExecRequest::new(script("sleep 600 & printf '%010d' $!", &[]), ExecRole::Command);
    request.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stdout.as_raw_fd()];
    let (sender, receiver) = channel();
    let (opened, of_thread) = (session.share(), bottle.clone());
    thread::spawn(move || {
        let status = opened.exec(&call(), &of_thread, &request);
        // The request names them, so they stay open as long as it does.
        drop((stdin, stdout));
        drop(sender.send(status));
    });
    let status = receiver.recv_timeout(PATIENCE);
    if let Ok(Err(failure)) = status {
        return Err(failure.into());
    }
    let mut pid = [0; 10];
    out.read_exact(&mut pid)?;
    let pid = String::from_utf8_lossy(&pid).trim_start_matches('0').to_owned();
    // A backend may have ended it with the program.
    printed(&session, &bottle, "kill -KILL \"$1\" 2>/dev/null; true", &[&pid])?;
    let Ok(status) = status else {
        ensure!(false, "its program has ended, and a child that keeps its streams holds it back");
        return Ok(());
    };
    let code = status?.code;
    ensure!(code == 0, "it ends with {code}");
    Ok(())
}

pub(super) fn two(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    // Each waits for the file of the other one, and removes it.
    let text = ": > \"$1\"; i=0; while [ ! -e \"$2\" ]; do i=$((i + 1)); [ $i -lt 300 ] || exit 9; sleep 0.1; done; rm \"$2\"";
    let file = |name: &str| format!("/tmp/{}-{name}", bottle.name);
    let (one, other) = (file("one"), file("other"));
    let run = |names: [&str; 2]| {
        program::run(&session.opened, &bottle, ExecRole::Command, &script(text, &names), b"")
    };
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| run([&one, &other]));
        (run([&other, &one]), first.join())
    });
    let codes = (first?.code, second.ok().and_then(Result::ok).map(|ended| ended.code));
    ensure!(codes == (0, Some(0)), "the two end with {codes:?}: they do not run at the same time");
    Ok(())
}

pub(super) fn closed(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    session.opened.close(&call(), &bottle)?;
    let ended = program::run(&session.opened, &bottle, ExecRole::Command, &script("exit 0", &[]), b"");
    let kind = ended.as_ref().err().map(|failure| failure.kind);
    ensure!(
        kind == Some(FailureKind::NotFound),
        "in a closed bottle it comes to {:?}",
        ended.map(|e| e.code)
    );
    Ok(())
}
