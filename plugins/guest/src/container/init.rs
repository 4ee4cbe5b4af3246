//! Process 1 of a container: takes in what the bottle is, relays to the guard, answers for programs, and reaps.

use std::collections::BTreeMap;
use std::ffi::OsString;
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
use crate::protocol::{Setup, SetupFile, read, receive, send};
use crate::reaper::Reaper;
use crate::{GuestError, accept, init, relay};

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
    for file in &setup.files {
        write(file).step(|| format!("write `{}`", file.path))?;
    }
    if let Some(to_guard) = &setup.relay {
        relay::start(to_guard).step(|| "open the way to the guard")?;
        if to_guard.proves {
            UnixStream::connect(&to_guard.guard).step(|| "reach the guard's socket")?;
        }
    }
    let door = setup.door.take();
    answer_callers(setup.env.clone()).step(|| "answer for programs")?;
    let reaper = door.map(|door| by_the_door(&door, setup)).transpose()?;
    writeln!(io::stdout(), "{READY}").step(|| "say that the bottle is ready")?;
    match reaper {
        Some(reaper) => wait_for_the_end(reaper, &signals),
        None => reap(&signals),
    }
}

/// Answers at the door with what the container's own variables are besides.
fn by_the_door(door: &Path, mut setup: Setup) -> Result<Reaper, GuestError> {
    setup.basis = with_defaults(std::env::vars_os(), std::mem::take(&mut setup.basis));
    init::serve_handed(door.as_os_str(), setup)
}

/// Returns the variables of a container, and those of the defaults that it does not set.
fn with_defaults(
    own: impl Iterator<Item = (OsString, OsString)>,
    defaults: Vec<(String, String)>,
) -> Vec<(String, String)> {
    // What an engine is told is text.
    let own = own.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut all: BTreeMap<String, String> = own.collect();
    for (name, value) in defaults {
        let own = all.entry(name).or_default();
        if own.is_empty() {
            *own = value;
        }
    }
    all.into_iter().collect()
}

/// Writes a file for this user alone.
pub(crate) fn write(file: &SetupFile) -> io::Result<()> {
    let path = Path::new(&file.path);
    if file.replaces && path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    write_new(path, &file.content)
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

/// Waits until the container is asked to end. What takes exit statuses meanwhile is of the door.
fn wait_for_the_end(reaper: Reaper, signals: &SigSet) -> Result<(), GuestError> {
    Builder::new().stack_size(STACK).spawn(move || reaper.run()).step(|| "start a thread")?;
    while signals.wait().step(|| "wait for a signal")? == Signal::SIGCHLD {}
    Ok(())
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
        let with = |replaces| SetupFile {
            path: path.to_str().unwrap().to_owned(),
            content: "new".to_owned(),
            replaces,
        };
        write(&with(false)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        write(&with(true)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_default_stands_where_the_image_says_nothing() {
        let own = [("LANG", ""), ("A", "own")].map(|(name, value)| (name.into(), value.into()));
        let defaults = [("LANG", "C.UTF-8"), ("A", "other")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let all = with_defaults(own.into_iter(), defaults.into());
        assert_eq!(all, [("A", "own"), ("LANG", "C.UTF-8")].map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
