//! The programs that run in a container, as process 1 knows them.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal};

use super::words::Answer;
use crate::protocol::send;
use crate::session;
use crate::stat::Stat;

/// One execution, by its token.
enum Program {
    Running(Running),
    /// It was not there.
    Missing,
}

struct Running {
    pid: Pid,
    /// By which it is told from a later process of that number.
    started: u64,
    /// Who waits for it to be continued.
    stopped: Option<UnixStream>,
}

impl Running {
    fn is_there(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.started == self.started)
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Programs(Mutex<HashMap<String, Program>>);

impl Programs {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Program>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a program, and forgets those that have ended. Returns `false` if there is no such process.
    pub(super) fn enter(&self, token: String, pid: i32) -> bool {
        let found = Pid::from_raw(pid).and_then(|pid| Some((pid, Stat::of(pid)?.started)));
        let Some((pid, started)) = found else { return false };
        let mut all = self.all();
        all.retain(|_, program| !matches!(program, Program::Running(running) if !running.is_there()));
        all.insert(token, Program::Running(Running { pid, started, stopped: None }));
        true
    }

    /// Notes that a program is not there.
    pub(super) fn miss(&self, token: String) {
        self.all().insert(token, Program::Missing);
    }

    /// Returns `true` if a program was not there, and forgets it.
    pub(super) fn was_missing(&self, token: &str) -> bool {
        let mut all = self.all();
        let was_missing = matches!(all.get(token), Some(Program::Missing));
        if was_missing {
            all.remove(token);
        }
        was_missing
    }

    /// Notes that a program has stopped, and who waits for it to be continued. Returns `false` if there is none.
    pub(super) fn stop(&self, token: &str, waiting: UnixStream) -> bool {
        match self.all().get_mut(token) {
            Some(Program::Running(running)) => running.stopped = Some(waiting),
            _ => return false,
        }
        true
    }

    /// Sends a signal to a program. Returns `false` if there is none.
    pub(super) fn signal(&self, token: &str, number: i32) -> bool {
        let mut all = self.all();
        let Some(Program::Running(running)) = all.get_mut(token) else { return false };
        let Some(signal) = Signal::from_named_raw(number) else { return false };
        if !running.is_there() {
            return false;
        }
        match running.stopped.take() {
            Some(waiting) if signal == Signal::CONT => send(&waiting, &Answer::Yes, &[]).is_ok(),
            waiting => {
                running.stopped = waiting;
                session::signal(running.pid, signal);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Starts a session's leader with one program, and waits until both are there.
    fn sleeper() -> (std::process::Child, i32) {
        let script = "sleep 1000 & echo; wait $!";
        let mut leader = Command::new("setsid");
        let mut child = leader.args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let pid = child.id().try_into().unwrap();
        (child, pid)
    }

    /// Ends both.
    fn end(mut child: std::process::Child, pid: i32) {
        session::signal(Pid::from_raw(pid).unwrap(), Signal::KILL);
        child.wait().unwrap();
    }

    #[test]
    fn a_program_is_signalled_by_its_token_and_by_no_other() {
        let programs = Programs::default();
        let (mut child, pid) = sleeper();
        assert!(programs.enter("one".to_owned(), pid));
        assert!(!programs.signal("two", Signal::KILL.as_raw()));
        assert!(!programs.signal("one", 9999));
        assert!(programs.signal("one", Signal::TERM.as_raw()));
        // The leader tells how its program has ended.
        assert_eq!(child.wait().unwrap().code(), Some(128 + Signal::TERM.as_raw()));
        // Its number may be that of another process now.
        assert!(!programs.signal("one", Signal::TERM.as_raw()));
        assert!(!programs.enter("gone".to_owned(), pid));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let programs = Programs::default();
        for n in 0..3 {
            let (child, pid) = sleeper();
            assert!(programs.enter(n.to_string(), pid));
            end(child, pid);
        }
        let (child, pid) = sleeper();
        assert!(programs.enter("last".to_owned(), pid));
        assert_eq!(programs.all().keys().collect::<Vec<_>>(), ["last"]);
        end(child, pid);
    }

    #[test]
    fn a_program_that_stopped_is_continued_by_what_waits_for_it() {
        let programs = Programs::default();
        let (child, pid) = sleeper();
        assert!(programs.enter("t".to_owned(), pid));
        let (near, far) = UnixStream::pair().unwrap();
        assert!(programs.stop("t", far) && !programs.stop("u", near.try_clone().unwrap()));
        assert!(programs.signal("t", Signal::CONT.as_raw()));
        assert!(matches!(crate::protocol::receive::<Answer>(&near).unwrap().unwrap().0, Answer::Yes));
        end(child, pid);
    }

    #[test]
    fn a_missing_program_is_told_once() {
        let programs = Programs::default();
        programs.miss("m".to_owned());
        assert!(programs.was_missing("m") && !programs.was_missing("m") && !programs.was_missing("n"));
    }
}
