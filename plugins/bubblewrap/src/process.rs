//! Processes of a bottle: started so that they die with the host, found again by number and start time, killed.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use serde::{Deserialize, Serialize};

/// How long a killed process may take to be gone; the kernel is what takes the time.
const GRACE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// How long a program that was asked to end may take.
const PATIENCE: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };

/// A process of a bottle, told from a later one with the same number by its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// What it is for.
    pub(crate) part: String,
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) started: u64,
}

/// Starts a process that dies with this one.
///
/// The kernel ties a child's life to the *thread* that started it (`PR_SET_PDEATHSIG`,
/// <https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html>), and the host's threads come and go; so
/// one thread starts every process and never ends.
pub(crate) fn spawn(part: &str, command: Command) -> io::Result<Process> {
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
        let thread = std::thread::Builder::new().name("bubblewrap-starter".to_owned()).spawn(run);
        thread.map(|_| sender).map_err(|error| error.kind())
    };
    STARTER.get_or_init(start).as_ref().map_err(|kind| io::Error::from(*kind))
}

impl Process {
    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Says whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Asks the program it contains to end, and waits for that, within bounds. It may have something left to write.
    pub(crate) fn ask_to_end(&self) {
        let Some(handle) = self.pid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            return;
        };
        if self.is_alive() {
            // Process 1 of a sandbox takes no signal that would end it but SIGKILL; the program is the last in the line.
            let line = std::iter::successors(Some(self.pid), |pid| children_of(*pid).first().copied());
            signal(line.last().unwrap_or(self.pid), Signal::TERM);
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&PATIENCE)).ok();
        }
    }

    /// Kills it with all it contains, and waits until they are gone; one that is gone already is fine.
    ///
    /// The process is a `bwrap`, its only child is process 1 of the sandbox: when that is killed the kernel kills
    /// the sandbox, and only then does `bwrap` end.
    pub(crate) fn kill(&self) -> io::Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
        // Only now, with the process held, does the start time say that it is the right one.
        if self.is_alive() {
            let children = children_of(self.pid);
            for child in &children {
                signal(*child, Signal::KILL);
            }
            if children.is_empty() {
                pidfd_send_signal(&handle, Signal::KILL).ok();
            }
            let mut waiting = [PollFd::new(&handle, PollFlags::IN)];
            if poll(&mut waiting, Some(&GRACE))? == 0 {
                pidfd_send_signal(&handle, Signal::KILL).ok();
                poll(&mut waiting, Some(&GRACE))?;
            }
        }
        // It is a child of this process, or of another that reaps it.
        waitpid(Some(pid), WaitOptions::NOHANG).ok();
        if self.is_alive() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
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

/// Turns a duration into what `poll` takes.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        process.ask_to_end();
        assert_eq!(fs::read_to_string(&last).unwrap(), "line");
        process.kill().unwrap();
        assert!(!process.is_alive());
        process.ask_to_end();
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
