//! Starting `bwrap` through `bottle-guest outer`: the same for the sandbox and for what runs beside it.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bottle_guest::launcher::{DropRoot, MARK, Outer, SOURCES};
use claude_bottle_kit::{Ready, printable};
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Result};
use rustix::event::{PollFd, PollFlags};

use crate::control::PATIENCE;
use crate::error::{BubblewrapError, last_words, show};
use crate::guest::INIT;
use crate::plan::Planned;
use crate::process::{self, Process};
use crate::rundir::{RunDir, log_file};
use crate::wait;

/// Collects the arguments of one `bwrap`.
pub(crate) struct Arguments {
    list: Vec<String>,
    sources: Option<Vec<PathBuf>>,
}

impl Arguments {
    /// Begins with what every `bwrap` of ours gets.
    pub(crate) fn new(state: &Planned) -> Self {
        Self::with(state.run_as_uid.is_some(), state.can_disable_userns)
    }

    /// Begins with it for root, which is given up, or for another user.
    pub(crate) fn with(is_root: bool, can_disable_userns: bool) -> Self {
        let mut arguments = Self { list: Vec::new(), sources: is_root.then(Vec::new) };
        // Each by itself: `--unshare-all` goes on without a namespace it cannot have.
        for namespace in ["user", "pid", "ipc", "uts", "cgroup"] {
            arguments.add([&format!("--unshare-{namespace}")]);
        }
        if can_disable_userns {
            arguments.add(["--disable-userns"]);
        }
        arguments.add(["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--clearenv"]);
        arguments.add(["--die-with-parent", "--as-pid-1", "--new-session"]);
        arguments
    }

    pub(crate) fn add<'a>(&mut self, words: impl IntoIterator<Item = impl AsRef<str> + 'a>) {
        self.list.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
    }

    /// Ends with a helper that is process 1 of its sandbox; it starts only while the outer `bwrap` is there.
    pub(crate) fn helper<'a>(
        &mut self,
        state: &Planned,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        self.bind("--ro-bind", &state.tools.init, INIT)?;
        self.add(["--remount-ro", "/", "--chdir", "/", "--", INIT, "inside"]);
        self.add(words);
        Ok(())
    }

    /// Returns the arguments, and for root the host's paths in them.
    pub(crate) fn take(self) -> (Vec<String>, Option<Vec<PathBuf>>) {
        (self.list, self.sources)
    }

    /// Binds something of the host.
    pub(crate) fn bind(&mut self, how: &str, source: &Path, target: &str) -> Result<()> {
        let source = match &mut self.sources {
            None => source
                .to_str()
                .ok_or_else(|| {
                    Failure::new(FailureKind::Invalid, format!("the path `{}` is not UTF-8", show(source)))
                })?
                .to_owned(),
            // What root can reach its stand-in may not: the stage puts it where it can.
            Some(sources) => {
                sources.push(source.to_owned());
                format!("{SOURCES}/{}", sources.len() - 1)
            }
        };
        self.add([how, &source, target]);
        Ok(())
    }
}

/// One `bwrap` that was started and waits to be told what to become.
pub(crate) struct Begun {
    pub(crate) process: Process,
    part: &'static str,
    errors: PathBuf,
    description: PipeWriter,
}

/// Starts the stage, which joins the control groups meanwhile. What it complains of goes to `said` or, when there is
/// none, to `<part>.err` in the bottle's directory.
pub(crate) fn begin(
    state: &Planned,
    dir: &RunDir,
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
    let mut command = Command::new(&state.tools.init);
    command.arg("outer").arg(std::process::id().to_string());
    command.args(groups.iter().map(|group| group.join("cgroup.procs")));
    // Not in the terminal's foreground: ^C is the agent's, or the host's, and never the sandbox's.
    command.env_clear().env(MARK, &dir.path).current_dir("/").process_group(0);
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(reader)).stderr(stderr);
    let process = process::spawn(part, command)
        .failure(FailureKind::Internal, || format!("cannot start the {part}"))?;
    Ok(Begun { process, part, errors: errors(dir, part), description })
}

impl Begun {
    /// Tells it what to become.
    pub(crate) fn exec_bwrap(mut self, state: &Planned, arguments: Arguments) -> Result<()> {
        let (arguments, sources) = arguments.take();
        let drop = state.run_as_uid.zip(sources).map(|(id, sources)| DropRoot { id, sources });
        let outer = Outer { program: state.tools.bwrap.clone(), arguments, drop };
        let text =
            serde_json::to_vec(&outer).failure(FailureKind::Internal, || "cannot describe a sandbox")?;
        let ended = |_| BubblewrapError::StartPart { part: self.part, said: last_words(&self.errors) };
        Ok(self.description.write_all(&text).map_err(ended)?)
    }
}

/// Returns where a part's complaints are.
pub(crate) fn errors(dir: &RunDir, part: &str) -> PathBuf {
    dir.join(&format!("{part}.err"))
}

/// Waits until a part says the line by which it is known to be ready.
pub(crate) fn await_ready(call: &Call, part: &'static str, pipe: PipeReader, ready: &Ready) -> Result<()> {
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
            return Ok(());
        }
        if length == 0 {
            return Err(BubblewrapError::StartPart { part, said: said.join("; ") }.into());
        }
        said.push(printable(line.trim()));
    }
}

fn await_readable(call: &Call, part: &'static str, pipe: &PipeReader) -> Result<()> {
    let cancel = call.cancel_fd();
    let mut waiting = vec![PollFd::new(pipe, PollFlags::IN)];
    waiting.extend(cancel.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
    let found = wait::ready(&mut waiting, PATIENCE);
    let found = found.failure(FailureKind::Internal, || format!("cannot wait for the {part}"))?;
    call.check()?;
    match found {
        0 => Err(BubblewrapError::AwaitPart { part, seconds: PATIENCE.as_secs() }.into()),
        _ => Ok(()),
    }
}
