//! Processes of a bottle: started so that they die with the host, found again by number and start time, killed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use serde::{Deserialize, Serialize};

use super::stage::MARK;
use crate::poll;

/// How long a killed process may take to be gone; the kernel is what takes the time.
const GRACE: Duration = Duration::from_secs(5);
/// How long a program that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A process of a bottle; its start time distinguishes it from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// What it is for.
    pub part: String,
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
}

/// Starts a process that dies with this one.
///
/// The kernel ties a child's life to the *thread* that started it (`PR_SET_PDEATHSIG`,
/// <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>), and the host's threads come and go; so
/// one thread starts every process and never ends.
///
/// # Errors
/// Fails when the program cannot be started.
pub fn spawn(part: &str, command: Command) -> io::Result<Process> {
    let (answer, result) = channel();
    let gone = || io::Error::other("the starting thread is gone");
    starter()?.send((command, answer)).map_err(|_| gone())?;
    let child = result.recv().map_err(|_| gone())??;
    let started = start_time(child.id()).unwrap_or(0);
    Ok(Process { part: part.to_owned(), pid: child.id(), started })
}

type Job = (Command, Sender<io::Result<Child>>);

fn starter() -> io::Result<&'static Sender<Job>> {
    static STARTER: OnceLock<Result<Sender<Job>, io::ErrorKind>> = OnceLock::new();
    let start = || {
        let (sender, jobs) = channel::<Job>();
        let run = move || {
            for (mut command, answer) in jobs {
                answer.send(command.spawn()).ok();
            }
        };
        let thread = std::thread::Builder::new().name("starter".to_owned()).spawn(run);
        thread.map(|_| sender).map_err(|error| error.kind())
    };
    STARTER.get_or_init(start).as_ref().map_err(|kind| io::Error::from(*kind))
}

impl Process {
    /// Returns this very process.
    pub fn this(part: &str) -> Self {
        Self::running(part, std::process::id())
    }

    /// Returns a process that runs, and is another's to start and to end.
    pub fn running(part: &str, pid: u32) -> Self {
        Self { part: part.to_owned(), pid, started: start_time(pid).unwrap_or(0) }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Returns `true` if it runs.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Asks the program in it to end, and waits for a limited time: the program may have something left to write.
    pub fn terminate(&self) {
        let Some(handle) = self.pid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return;
        };
        if self.is_alive() {
            // Process 1 of a sandbox takes no signal that would end it but SIGKILL; the program is the last in the line.
            let line = std::iter::successors(Some(self.pid), |pid| children_of(*pid).first().copied());
            signal(line.last().unwrap_or(self.pid), Signal::TERM);
            poll::ready(&mut [PollFd::new(&handle, PollFlags::IN)], PATIENCE).ok();
        }
    }

    /// Kills it with all it contains, and waits until they are gone; one that is gone already is fine.
    ///
    /// The process is a `bwrap`, its only child is process 1 of the sandbox: when that is killed the kernel kills
    /// the sandbox, and only then does `bwrap` end.
    ///
    /// # Errors
    /// Fails when it is still there after a while.
    pub fn kill(&self) -> io::Result<Killed> {
        let Some(pid) = self.pid() else { return Ok(Killed::Before) };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(Killed::Before) };
        // Only now, with the process held, does the start time say that it is the right one.
        let killed = if self.is_alive() { self.kill_held(&handle)? } else { Killed::Before };
        // It is a child of this process, or of another that reaps it.
        waitpid(Some(pid), WaitOptions::NOHANG).ok();
        if self.is_alive() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(killed) }
    }

    fn kill_held(&self, handle: &OwnedFd) -> io::Result<Killed> {
        let children = children_of(self.pid);
        children.iter().for_each(|child| signal(*child, Signal::KILL));
        let mut waiting = [PollFd::new(handle, PollFlags::IN)];
        if !children.is_empty() && poll::ready(&mut waiting, GRACE)? > 0 {
            return Ok(Killed::WithAll);
        }
        pidfd_send_signal(handle, Signal::KILL).ok();
        poll::ready(&mut waiting, GRACE)?;
        Ok(Killed::Alone)
    }
}

/// What a process that was killed may have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// It ended after its child did: nothing.
    WithAll,
    /// It may just have been making its child.
    Alone,
    /// It was gone before.
    Before,
}

/// Kills every process with a bottle's mark, and waits until they are gone.
///
/// They are stages and `bwrap`s. A `bwrap` that is killed in the microseconds between its `clone` and the word to its
/// child leaves a child that waits for that word for ever, with what it inherited: a key, the guard's secrets. Neither
/// a record nor a parent leads to it.
///
/// # Errors
/// Fails when processes cannot be listed or ended.
pub fn sweep(dir: &Path) -> io::Result<()> {
    let mark = [MARK.as_bytes(), b"=", dir.as_os_str().as_bytes()].concat();
    // Again until a look finds none: one may just have made another.
    while sweep_once(&mark)? > 0 {}
    Ok(())
}

fn sweep_once(mark: &[u8]) -> io::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some((pid, started)) = pid.and_then(|pid| Some((pid, start_time(pid)?))) else { continue };
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environ.split(|byte| *byte == 0).any(|variable| variable == mark) {
            Process { part: String::new(), pid, started }.kill()?;
            found += 1;
        }
    }
    Ok(found)
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(handle) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
        // One that is gone needs none.
        pidfd_send_signal(handle, signal).ok();
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Returns field 22 of `/proc/PID/stat`; `None` when there is no such process or only its exit status is left.
///
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    #[test]
    fn a_process_outlives_the_thread_that_asked_and_not_its_killing() {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let process = std::thread::spawn(|| spawn("test", sleep).unwrap()).join().unwrap();
        assert!(process.is_alive());
        process.kill().unwrap();
        assert!(!process.is_alive());
        process.kill().unwrap();
    }

    #[test]
    fn a_program_that_is_asked_to_end_may_write_its_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let (ready, last) = (dir.path().join("ready"), dir.path().join("last"));
        let script = "$SIG{TERM} = sub { open F, '>', $ARGV[1]; print F 'line'; close F; exit }; \
            open F, '>', $ARGV[0]; close F; sleep 1 while 1";
        let mut program = Command::new("bwrap");
        program.args(["--bind", "/", "/", "--dev", "/dev", "--unshare-pid", "--die-with-parent"]);
        program.args(["perl", "-e", script]).arg(&ready).arg(&last);
        let process = spawn("test", program).unwrap();
        while !ready.exists() {
            assert!(process.is_alive());
            std::thread::sleep(Duration::from_millis(5));
        }
        process.terminate();
        assert_eq!(fs::read_to_string(&last).unwrap(), "line");
        process.kill().unwrap();
        assert!(!process.is_alive());
        process.terminate();
    }

    #[test]
    fn a_child_that_waits_for_a_dead_bwrap_is_swept_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let start = |dir: &Path| {
            let (mut reader, writer) = io::pipe().unwrap();
            let mut shell = Command::new("sh");
            // The shell ends, as a `bwrap` that was killed does, and its child waits.
            shell
                .args(["-c", "sleep 60 & echo $!"])
                .env_clear()
                .env(MARK, dir)
                .stdout(writer)
                .stderr(Stdio::null());
            let process = spawn("test", shell).unwrap();
            let mut said = [0; 16];
            let length = reader.read(&mut said).unwrap();
            let pid = std::str::from_utf8(&said[..length]).unwrap().trim().parse().unwrap();
            (process, Process { part: "child".to_owned(), pid, started: start_time(pid).unwrap() })
        };
        let ((parent, child), (_, others)) = (start(dir.path()), start(&dir.path().join("other")));
        assert_eq!(parent.kill().unwrap(), Killed::Before);
        sweep(dir.path()).unwrap();
        assert!(!child.is_alive());
        assert!(others.is_alive());
        others.kill().unwrap();
    }

    #[test]
    fn another_process_with_the_number_is_left_alone() {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        let real = spawn("test", sleep).unwrap();
        let stale = Process { started: real.started + 1, ..real.clone() };
        stale.kill().unwrap();
        assert!(real.is_alive());
        real.kill().unwrap();
    }
}
