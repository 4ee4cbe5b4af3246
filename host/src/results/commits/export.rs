//! Has the git inside write the agent's commits, while the bottle still runs. What it writes is bounded in size and in time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use claude_bottle_plugin_api::{Bottle, ExecRequest, ExecRole};

use super::{FILE, MOST_BYTES};
use crate::results::copied_in::CopiedIn;
use crate::run::backend::{Backend, Verb};

/// The file that says why there are no commits.
const WHY_NOT: &str = "commits.failed";

/// Writes the commits that came after the one that was copied in to the directory of a run. What goes wrong is written there, for
/// the result to say.
pub fn export(backend: &Backend, bottle: &Bottle, run_dir: &Path) {
    if let Err(error) = write(backend, bottle, run_dir) {
        remove(run_dir);
        if let Err(other) = fs::write(run_dir.join(WHY_NOT), format!("{error:#}")) {
            tracing::warn!("the agent's commits are not kept: {error:#}; {other}");
        }
    }
}

fn write(backend: &Backend, bottle: &Bottle, run_dir: &Path) -> anyhow::Result<()> {
    let copied = CopiedIn::read(run_dir)?.context("nothing was copied in")?;
    let head = copied.base.head.context("the directory was no repository with a commit")?;
    let (reader, writer) = io::pipe().context("make a pipe")?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null").context("open /dev/null")?;
    let path = run_dir.join(FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("write `{}`", path.display()))?;
    let reading = std::thread::Builder::new().name("commits".to_owned()).spawn(move || take(reader, file));
    let reading = reading.context("start a thread")?;
    let mut request = ExecRequest::new(command(&head), ExecRole::Command);
    request.streams = [nothing.as_raw_fd(), writer.as_raw_fd(), nothing.as_raw_fd()];
    let target = bottle.clone();
    let ended = backend.call(Verb::COMMITS, move |opened, call| opened.exec(call, &target, &request));
    // A verb that was given up may still write there: the numbers must not become other files'.
    if ended.is_err() {
        std::mem::forget((writer, nothing));
        bail!("the git inside did not end in time");
    }
    drop(writer);
    let taken = reading.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
    let code = ended.map(|status| status.code).unwrap_or_default();
    match taken.with_context(|| format!("write `{}`", path.display()))? {
        bytes if bytes > MOST_BYTES => bail!("they have more than {MOST_BYTES} bytes"),
        _ if code != 0 => bail!("the git inside ended with {code}"),
        _ => Ok(()),
    }
}

fn command(head: &str) -> Vec<String> {
    let range = format!("{head}..HEAD");
    let words = [
        "git",
        "fast-export",
        "--signed-tags=strip",
        "--reencode=yes",
        "--reference-excluded-parents",
        &range,
    ];
    words.map(str::to_owned).into()
}

/// Writes what comes, until there is more than there may be.
fn take(reader: impl Read, mut file: File) -> io::Result<u64> {
    io::copy(&mut reader.take(MOST_BYTES + 1), &mut file)
}

/// Returns why there are no commits, if that was asked for.
pub fn why_not(run_dir: &Path) -> Option<String> {
    fs::read_to_string(run_dir.join(WHY_NOT)).ok()
}

/// Removes what is with the records of a run.
pub fn remove(run_dir: &Path) {
    for name in [FILE, WHY_NOT] {
        match fs::remove_file(run_dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, name, "remove a file of a run");
            }
            _ => {}
        }
    }
}
