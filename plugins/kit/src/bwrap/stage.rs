//! Starting `bwrap` through `bottle-guest outer`: the same for a bottle's sandbox and for what runs next to it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use rustix::event::{PollFd, PollFlags};
use serde::Serialize;

use super::{Arguments, Bwrap, BwrapError, Process, last_words, process};
use crate::paths::PathExt;
use crate::{Ready, poll, printable};

/// The variable by which everything that is on its way into a sandbox is found, on the host's side: the bottle's directory.
pub const MARK: &str = "CLAUDE_BOTTLE_DIR";

/// Where root's view of the sources is put together: a directory every machine has.
pub(super) const SOURCES: &str = "/tmp";

/// How long a part of a bottle may take to answer; on a busy machine it takes a while to be scheduled.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What `bottle-guest outer` is to become, as it reads it.
#[derive(Serialize)]
pub(super) struct Outer<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    pub(super) drop: Option<DropRoot>,
}

/// How it gives root up.
#[derive(Serialize)]
pub(super) struct DropRoot {
    pub(super) id: u32,
    pub(super) sources: Vec<PathBuf>,
}

/// One `bwrap` that was started and waits to be told what to become.
pub struct Begun {
    /// The process, which stays the same.
    pub process: Process,
    part: &'static str,
    errors: PathBuf,
    description: PipeWriter,
}

/// Starts the stage, which joins the control groups meanwhile. Its standard error goes to `said` or, without
/// one, to `<part>.err` in the bottle's directory.
///
/// # Errors
/// Fails when no process can be started.
pub fn begin(
    bwrap: &Bwrap,
    dir: &Path,
    part: &'static str,
    stdin: OwnedFd,
    said: Option<OwnedFd>,
    groups: &[PathBuf],
) -> Result<Begun> {
    let (reader, description) = std::io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let stderr = match said {
        Some(fd) => Stdio::from(fd),
        None => Stdio::from(log_file(&errors(dir, part))?),
    };
    let mut command = Command::new(&bwrap.guest);
    command.arg("outer").arg(std::process::id().to_string());
    command.args(groups.iter().map(|group| group.join("cgroup.procs")));
    // Not in the terminal's foreground: ^C is the agent's, or the host's, and never the sandbox's.
    command.env_clear().env(MARK, dir).current_dir("/").process_group(0);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(reader)).stderr(stderr);
    let process = process::spawn(part, command)
        .failure(FailureKind::Internal, || format!("cannot start the {part}"))?;
    Ok(Begun { process, part, errors: errors(dir, part), description })
}

impl Begun {
    /// Sends it what to become.
    ///
    /// # Errors
    /// Fails when it has ended.
    pub fn exec_bwrap(mut self, bwrap: &Bwrap, arguments: Arguments) -> Result<()> {
        let (arguments, sources) = arguments.take();
        let drop = bwrap.run_as_uid.zip(sources).map(|(id, sources)| DropRoot { id, sources });
        let outer = Outer { program: &bwrap.program, arguments, drop };
        let text =
            serde_json::to_vec(&outer).failure(FailureKind::Internal, || "cannot describe a sandbox")?;
        let ended = |_| BwrapError::StartPart { part: self.part, said: last_words(&self.errors) };
        Ok(self.description.write_all(&text).map_err(ended)?)
    }
}

/// Returns the file with a part's standard error.
pub fn errors(dir: &Path, part: &str) -> PathBuf {
    dir.join(format!("{part}.err"))
}

/// Opens a file for a process's output. Root opens it, so that the process can write to it as any user.
fn log_file(path: &Path) -> Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).at("open", path)
}

/// Waits for the line with which a part is ready, and returns it.
///
/// # Errors
/// Fails when the part ends, stays silent for [`PATIENCE`], or the call is cancelled.
pub fn await_ready(call: &Call, part: &'static str, pipe: PipeReader, ready: &Ready) -> Result<String> {
    let mut said = Vec::new();
    let mut reader = BufReader::new(pipe);
    loop {
        if reader.buffer().is_empty() {
            await_readable(call, part, reader.get_ref())?;
        }
        let mut line = String::new();
        let length = reader
            .read_line(&mut line)
            .failure(FailureKind::Internal, || format!("cannot read the output of the {part}"))?;
        if ready.is(&line) {
            return Ok(line);
        }
        if length == 0 {
            return Err(BwrapError::StartPart { part, said: said.join("; ") }.into());
        }
        said.push(printable(line.trim()));
    }
}

fn await_readable(call: &Call, part: &'static str, pipe: &PipeReader) -> Result<()> {
    let cancel = call.cancel_fd();
    let mut waiting = vec![PollFd::new(pipe, PollFlags::IN)];
    waiting.extend(cancel.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    let found = poll::ready(&mut waiting, PATIENCE);
    let found = found.failure(FailureKind::Internal, || format!("cannot wait for the {part}"))?;
    call.check()?;
    match found {
        0 => Err(BwrapError::AwaitPart { part, seconds: PATIENCE.as_secs() }.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bottle_guest::launcher;

    use super::*;

    #[test]
    fn the_stage_reads_what_it_is_told() {
        assert_eq!((MARK, SOURCES), (launcher::MARK, launcher::SOURCES));
        let drop = DropRoot { id: 7, sources: vec!["/a".into()] };
        let outer =
            Outer { program: Path::new("/bwrap"), arguments: vec!["--x".to_owned()], drop: Some(drop) };
        let read: launcher::Outer = serde_json::from_slice(&serde_json::to_vec(&outer).unwrap()).unwrap();
        assert_eq!(
            (read.program.as_path(), read.arguments.as_slice()),
            (outer.program, outer.arguments.as_slice())
        );
        let drop = read.drop.unwrap();
        assert_eq!((drop.id, drop.sources), (7, vec![PathBuf::from("/a")]));
    }
}
