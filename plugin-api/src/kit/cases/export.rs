//! Halt and export: the agent's work outlives its programs, and comes out as it is.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::kit::archive::{self, Archive, Entry};
use crate::kit::bench::{Bench, Check, Session, Stop, call, ensure};
use crate::kit::elsewhere::{Action, Task, perform};
use crate::kit::exporting;
use crate::kit::program::{self, script};
use crate::{Bottle, EntryKind, ExecRequest, ExecRole, IndexEntry, Spec, Workspace};

/// How long a program of a halted bottle may take to be told of.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it is watched that nothing happens; nothing tells of that.
const WATCH: Duration = Duration::from_millis(300);
/// How much is exported to a slow reader, and how much of it a backend may hold.
const LARGE: usize = 64 << 20;
const HELD: usize = 32 << 20;
/// What a program in the background may write at most: a backend that does not end it leaves it behind.
const TICKS: &str = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); printf x >>";

/// Makes a spec with a working directory.
pub(super) fn spec(bench: &Bench) -> Check<(Spec, PathBuf)> {
    let mut spec = bench.spec()?;
    let directory = bench.options.scratch.join(&spec.id);
    let source = directory.join("workspace");
    fs::create_dir_all(source.join("empty"))?;
    fs::write(source.join("kept"), "kept")?;
    fs::write(source.join("gone"), "gone")?;
    fs::write(source.join("run"), "#!/bin/sh\n")?;
    fs::set_permissions(source.join("run"), fs::Permissions::from_mode(0o755))?;
    std::os::unix::fs::symlink("kept", source.join("link"))?;
    let index = directory.join("index.jsonl");
    let mut workspace = Workspace::new(&source);
    workspace.index = Some(index.clone());
    spec.workspace = Some(workspace);
    Ok((spec, index))
}

/// Makes a bottle with a working directory.
pub(super) fn bottle(bench: &Bench, session: &Session<'_>) -> Check<Bottle> {
    session.bottle_of(&spec(bench)?.0)
}

/// Runs a script in the copy of the working directory.
pub(super) fn run(session: &Session<'_>, bottle: &Bottle, text: &str) -> Check {
    let command = script(&format!("cd \"$HOME/workspace\" && {text}"), &[]);
    let ended = program::run(&session.opened, bottle, ExecRole::Command, &command, b"")?;
    ensure!(ended.code == 0, "`{text}` ended with {}: {}", ended.code, ended.stderr_text());
    Ok(())
}

/// Exports the working directory of a bottle that is halted.
pub(super) fn workspace_of(session: &Session<'_>, bottle: &Bottle) -> Check<Archive> {
    Ok(exporting::workspace(&session.opened, bottle)?.1)
}

/// Halts a bottle, and exports its working directory.
pub(super) fn halted(session: &Session<'_>, bottle: &Bottle) -> Check<Archive> {
    session.opened.halt(&call(), bottle)?;
    Ok(exporting::workspace(&session.opened, bottle)?.1)
}

pub(super) fn halt_twice(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    session.opened.halt(&call(), &bottle)?;
    session.opened.halt(&call(), &bottle)?;
    let task = Task { context: bench.context(), action: Action::Halt(bottle.clone()) };
    match &bench.options.elsewhere {
        Some(elsewhere) => elsewhere.run(&task),
        None => perform(&bench.module, &task),
    }?;
    let command = script("exit 0", &[]);
    let ran = program::run(&session.opened, &bottle, ExecRole::Command, &command, b"");
    ensure!(!ran.is_ok_and(|ended| ended.code == 0), "a program runs in a halted bottle");
    session.opened.close(&call(), &bottle)?;
    session.check_nothing_left("closing a halted bottle")
}

pub(super) fn halt_ends_exec(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    let text = format!(
        "cd \"$HOME/workspace\"; ({TICKS} behind; sleep 0.1; done) </dev/null >/dev/null 2>&1 & \
         printf 'ready\\n'; {TICKS} ticks; sleep 0.1; done"
    );
    let pipe = || std::io::pipe();
    let ((stdin, _feed), (out, stdout), (_err, stderr)) = (pipe()?, pipe()?, pipe()?);
    let mut request = ExecRequest::new(script(&text, &[]), ExecRole::Command);
    request.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
    let (sender, ended) = channel();
    let (opened, other) = (session.share(), bottle.clone());
    thread::spawn(move || {
        // How it ended is not asked: it was killed.
        drop(opened.exec(&call(), &other, &request));
        drop((stdin, stdout, stderr));
        sender.send(()).ok();
    });
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    ensure!(line == "ready\n", "the program printed {line:?}");
    let before = halted(&session, &bottle)?;
    let is_over = ended.recv_timeout(PATIENCE).is_ok();
    ensure!(is_over, "`exec` did not return within {} s after `halt`", PATIENCE.as_secs());
    thread::sleep(WATCH);
    let after = exporting::workspace(&session.opened, &bottle)?.1;
    ensure!(before == after, "something still writes after `halt`");
    Ok(())
}

pub(super) fn tree(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    let long = "n".repeat(255);
    run(
        &session,
        &bottle,
        &format!(
            "rm gone; printf changed >>kept; ln kept second; ln -s /etc/passwd away; mkdir -p a/b; printf new >a/b/new; \
             chmod 755 a/b/new; printf odd >'new\nline'; printf long >{long}; mkdir closed; printf shut >closed/file; \
             chmod 0 closed/file closed"
        ),
    )?;
    let archive = halted(&session, &bottle)?;
    let content = |path: &str, expected: &str| {
        let found = archive.content(path).map(String::from_utf8_lossy);
        ensure!(found.as_deref() == Some(expected), "`{}` holds {found:?}", path.escape_debug());
        Ok(())
    };
    content("kept", "keptchanged")?;
    content("second", "keptchanged")?;
    content("a/b/new", "new")?;
    content("new\nline", "odd")?;
    content(&long, "long")?;
    content("closed/file", "shut")?;
    let at = |path: &str| archive.entries.get(Path::new(path));
    ensure!(at("gone").is_none(), "a file that was removed is there");
    ensure!(matches!(at("empty"), Some(Entry::Directory { .. })), "`empty` is {:?}", at("empty"));
    let away = Entry::Link { target: "/etc/passwd".into() };
    ensure!(at("away") == Some(&away), "a link to `/etc/passwd` is {:?}", at("away"));
    for (path, is_executable) in [("run", true), ("a/b/new", true), ("kept", false)] {
        let Some(Entry::File { mode, .. }) = at(path) else { return Err(missing(path)) };
        ensure!((mode & 0o100 != 0) == is_executable, "`{path}` has the mode {mode:o}");
    }
    Ok(())
}

fn missing(path: &str) -> Stop {
    Stop::Fail(format!("`{path}` is missing"))
}

pub(super) fn after_halt(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    run(&session, &bottle, "printf last >new")?;
    let first = halted(&session, &bottle)?;
    ensure!(first.content("new") == Some(b"last"), "what was written last is missing");
    session.opened.halt(&call(), &bottle)?;
    let again = exporting::workspace(&session.opened, &bottle)?.1;
    ensure!(first == again, "a second export differs from the first");
    Ok(())
}

pub(super) fn elsewhere(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    run(&session, &bottle, "printf new >new")?;
    let here = halted(&session, &bottle)?;
    let task = Task { context: bench.context(), action: Action::Export(bottle) };
    let answer = match &bench.options.elsewhere {
        Some(elsewhere) => elsewhere.run(&task),
        None => perform(&bench.module, &task),
    }?;
    ensure!(answer["entries"] == here.n_entries, "there it has {answer}, and {} here", here.n_entries);
    // Of a bottle that was found by a listing less may be known.
    let listed = session.active()?.into_iter().next().ok_or_else(|| missing("the bottle in the list"))?;
    let again = exporting::workspace(&session.opened, &listed.record)?.1;
    ensure!(again == here, "by its document from the list it is another archive");
    Ok(())
}

pub(super) fn slow_reader(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    run(&session, &bottle, &format!("head -c {LARGE} /dev/zero >large"))?;
    session.opened.halt(&call(), &bottle)?;
    let before = memory()?;
    let (exported, read) = exporting::reading(&session.opened, &call(), &bottle, |mut stream| {
        let mut first = [0; 512];
        stream.read_exact(&mut first)?;
        thread::sleep(WATCH);
        let held = memory()?.saturating_sub(before);
        let archive = archive::read(&mut first.chain(stream))?;
        ensure!(held < HELD, "with a reader that waits it holds {} MiB", held >> 20);
        Ok(archive)
    });
    let (exported, archive) = (exported?, read?);
    ensure!(exported.entries == archive.n_entries, "it says {} entries", exported.entries);
    let size = match archive.entries.get(Path::new("large")) {
        Some(Entry::File { size, .. }) => *size,
        _ => return Err(missing("large")),
    };
    ensure!(size == LARGE as u64, "`large` has {size} bytes");
    Ok(())
}

/// Returns how much memory this process has, in bytes (proc_pid_statm(5)).
fn memory() -> Check<usize> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: Option<usize> = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    Ok(pages.unwrap_or_default() * rustix::param::page_size())
}

pub(super) fn closed_reader(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    run(&session, &bottle, &format!("head -c {LARGE} /dev/zero >large"))?;
    session.opened.halt(&call(), &bottle)?;
    let (exported, read) = exporting::reading(&session.opened, &call(), &bottle, |mut stream| {
        stream.read_exact(&mut [0; 512])?;
        Ok(())
    });
    read?;
    ensure!(exported.is_err(), "an export whose reader has left succeeds");
    exporting::workspace(&session.opened, &bottle)?;
    Ok(())
}

pub(super) fn index(bench: &Bench) -> Check {
    let session = bench.session()?;
    let (spec, index) = spec(bench)?;
    let bottle = session.bottle_of(&spec)?;
    if !index.exists() {
        return Err(Stop::Skip("the backend writes no index".to_owned()));
    }
    let archive = halted(&session, &bottle)?;
    let mut left = archive.entries;
    for line in fs::read_to_string(&index)?.lines() {
        let said: IndexEntry = serde_json::from_str(line).map_err(|error| Stop::Fail(format!("{error}")))?;
        let path = said.path.as_path();
        let found = left.remove(path);
        let is_it = match (&found, said.kind) {
            (Some(Entry::Directory { mode }), EntryKind::Directory) => *mode == said.mode,
            (Some(Entry::Link { target }), EntryKind::Link) => {
                said.target.as_ref().is_some_and(|said| said.as_path() == target)
            }
            (Some(Entry::File { mode, size, sha256, .. }), EntryKind::File) => {
                (*mode, *size, Some(sha256)) == (said.mode, said.size, said.sha256.as_ref())
            }
            _ => false,
        };
        ensure!(is_it, "the index says {line}, and the archive has {found:?}");
    }
    ensure!(left.is_empty(), "the index lacks {:?}", left.keys().collect::<Vec<_>>());
    Ok(())
}
