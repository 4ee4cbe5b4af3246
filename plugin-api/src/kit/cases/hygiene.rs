//! What a backend shares with its host: streams, working directory, signals, descriptors, threads.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::kit::bench::{Bench, Check, call, ensure};
use crate::kit::snapshot::{self, Process};

/// Threads of a runtime that was dropped may take a moment to end.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs something while standard output and error go to a file, and returns what was written.
fn captured(scratch: &Path, run: impl FnOnce() -> Check) -> Check<String> {
    let path = scratch.join("captured");
    let file = File::create(&path)?;
    let kept: [OwnedFd; 2] = [
        rustix::io::dup(rustix::stdio::stdout()).map_err(std::io::Error::from)?,
        rustix::io::dup(rustix::stdio::stderr()).map_err(std::io::Error::from)?,
    ];
    rustix::stdio::dup2_stdout(&file).map_err(std::io::Error::from)?;
    rustix::stdio::dup2_stderr(&file).map_err(std::io::Error::from)?;
    let result = run();
    rustix::stdio::dup2_stdout(&kept[0]).map_err(std::io::Error::from)?;
    rustix::stdio::dup2_stderr(&kept[1]).map_err(std::io::Error::from)?;
    result?;
    Ok(String::from_utf8_lossy(&fs::read(&path)?).into_owned())
}

fn check_silent(written: &str) -> Check {
    let start: String = written.chars().take(80).collect();
    ensure!(written.is_empty(), "it wrote {start:?}");
    Ok(())
}

pub(super) fn quiet(bench: &Bench) -> Check {
    let written = captured(&bench.options.scratch, || {
        let session = bench.session()?;
        // Whether they succeed is the matter of other cases.
        drop(session.opened.probe(&call()));
        drop(session.opened.prepare(&call(), &bench.spec()?));
        drop(session.opened.list_active(&call()));
        drop(session.cleanup_plan(false));
        Ok(())
    })?;
    check_silent(&written)
}

pub(super) fn quiet_life(bench: &Bench) -> Check {
    let written = captured(&bench.options.scratch, || live(bench))?;
    check_silent(&written)
}

/// Leads a bottle through its life.
fn live(bench: &Bench) -> Check {
    let session = bench.session()?;
    session.opened.probe(&call())?;
    let bottle = session.bottle()?;
    let command = crate::kit::program::script("exit 0", &[]);
    crate::kit::program::run(&session.opened, &bottle, crate::ExecRole::Command, &command, b"")?;
    session.opened.list_active(&call())?;
    session.opened.close(&call(), &bottle)?;
    Ok(())
}

pub(super) fn process(bench: &Bench) -> Check {
    live(bench)?;
    if let Some(difference) = bench.process.difference(&Process::now()) {
        ensure!(false, "{difference}");
    }
    Ok(())
}

pub(super) fn leaks(bench: &Bench) -> Check {
    // The first life may open what is kept for good.
    live(bench)?;
    let (descriptors, threads) = (snapshot::descriptors(), snapshot::n_threads());
    for _ in 0..3 {
        live(bench)?;
    }
    let began = Instant::now();
    loop {
        let now = snapshot::descriptors();
        let new: Vec<_> = now
            .iter()
            .filter(|(fd, _)| !descriptors.contains_key(*fd))
            .map(|(_, what)| what.as_str())
            .collect();
        let n_threads = snapshot::n_threads();
        if new.is_empty() && n_threads <= threads {
            return Ok(());
        }
        if began.elapsed() > SETTLE {
            ensure!(new.is_empty(), "after three more lives {} more are open: {}", new.len(), new.join(", "));
            ensure!(
                n_threads <= threads,
                "after three more lives there are {n_threads} threads, not {threads}"
            );
        }
        // There is no event for the end of a thread that is not ours.
        std::thread::sleep(Duration::from_millis(20));
    }
}
