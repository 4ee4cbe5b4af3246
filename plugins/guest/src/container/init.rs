//! Process 1 of a container: takes in what the bottle is, relays to the guard, answers for programs, and reaps.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, WaitOptions, set_dumpable_behavior, wait};

use super::programs::Programs;
use super::words::{Answer, Ask};
use crate::error::StepExt;
use crate::protocol::{Setup, read, receive, send};
use crate::{GuestError, accept, relay};

const STACK: usize = 128 * 1024;

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is printed once programs can be started.
pub const READY: &str = "ready";

/// What every connection needs.
struct Bottle {
    programs: Programs,
    variables: Vec<(String, Vec<u8>)>,
}

/// Runs until the container ends.
///
/// # Errors
/// Fails when the bottle cannot be set up.
pub fn run() -> Result<(), GuestError> {
    // What is blocked here is in every thread; a signal that comes is kept until it is asked for.
    let mut signals = SigSet::empty();
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| signals.add(signal));
    signals.thread_block().step(|| "block the signals")?;
    // The agent has this process's user: it must be able neither to trace it nor to read its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "shut process 1 to tracers")?;
    let mut setup: Setup = read(&mut io::stdin().lock()).step(|| "read what the bottle is")?;
    let null = fs::File::open("/dev/null").step(|| "open `/dev/null`")?;
    rustix::stdio::dup2_stdin(null).step(|| "let go of standard input")?;
    for (path, content) in &setup.files {
        write_new(Path::new(path), content).step(|| format!("write `{path}`"))?;
    }
    if let Some(to_guard) = &setup.relay {
        relay::start(to_guard).step(|| "open the way to the guard")?;
        if to_guard.proves {
            UnixStream::connect(&to_guard.guard).step(|| "reach the guard's socket")?;
        }
    }
    answer_callers(std::mem::take(&mut setup.env)).step(|| "answer for programs")?;
    drop(setup);
    writeln!(io::stdout(), "{READY}").step(|| "say that the bottle is ready")?;
    reap(&signals)
}

/// Writes a file for this user alone, and nothing when something is there.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(content.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Answers in a thread of its own. The socket is there when this returns.
fn answer_callers(variables: Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let listener = UnixListener::bind_addr(&super::address()?)?;
    let bottle = Arc::new(Bottle { programs: Programs::default(), variables });
    let serve = move |connection: UnixStream| {
        let bottle = Arc::clone(&bottle);
        // Without a thread to be had the connection closes, which its caller reports.
        drop(Builder::new().stack_size(STACK).spawn(move || answer(&bottle, &connection)));
    };
    let accept = move || accept::each(listener.incoming(), serve);
    Builder::new().name("door".to_owned()).stack_size(STACK).spawn(accept).map(drop)
}

fn answer(bottle: &Bottle, connection: &UnixStream) {
    if connection.set_read_timeout(Some(PATIENCE)).is_err() {
        return;
    }
    let Ok(Some((ask, _))) = receive::<Ask>(connection) else { return };
    let programs = &bottle.programs;
    let is_so = match ask {
        Ask::Enter { token, pid } => {
            let known = programs.enter(token, pid);
            // The caller reports that it heard nothing.
            let variables = Answer::Variables(bottle.variables.clone());
            drop(send(connection, &if known { variables } else { Answer::No }, &[]));
            return;
        }
        Ask::Miss { token } => {
            programs.miss(token);
            true
        }
        Ask::Stop { token } => connection.try_clone().is_ok_and(|waiting| programs.stop(&token, waiting)),
        Ask::WasMissing { token } => programs.was_missing(&token),
        Ask::Signal { token, number } => programs.signal(&token, number),
    };
    drop(send(connection, &if is_so { Answer::Yes } else { Answer::No }, &[]));
}

/// Takes the exit status of every orphan, until the container is asked to end.
fn reap(signals: &SigSet) -> Result<(), GuestError> {
    loop {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(Errno::CHILD) => break,
                Err(error) => return Err(error).step(|| "wait for children"),
            }
        }
        if signals.wait().step(|| "wait for a signal")? != Signal::SIGCHLD {
            return Ok(());
        }
    }
}

/// Lets go of standard output and error, which the engine may keep open for whoever started this process.
pub(crate) fn leave_streams() -> Result<(), GuestError> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").step(|| "open `/dev/null`")?;
    rustix::stdio::dup2_stdout(null.as_fd()).step(|| "let go of standard output")?;
    rustix::stdio::dup2_stderr(null.as_fd()).step(|| "let go of standard error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_written_for_this_user_alone_and_what_is_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".claude/settings.json");
        write_new(&path, "{}").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        write_new(&path, "other").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert!(write_new(&path.join("x"), "").is_err());
    }
}
