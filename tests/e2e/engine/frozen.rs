//! A launch that has stopped at a step, while a test does something to its engine.

use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::support::home::Home;

/// How long the program may take to find out and say what is wrong.
pub(super) const AT_ONCE: Duration = Duration::from_secs(60);

/// An agent whose launch has stopped at a step.
pub(super) struct Frozen {
    child: Child,
    log: std::path::PathBuf,
}

impl Frozen {
    /// Starts an agent, and waits until it has come to the step.
    pub(super) fn at(home: &Home, agent: &str, step: &str) -> Self {
        let log = home.path().join(format!("{step}.stderr"));
        let mut command = home.command(&["--quiet", "start", agent, "--yes"]);
        command.env("CLAUDE_BOTTLE_FAULT", format!("pause:{step}")).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let frozen = Self { child, log };
        let (_, status) = waitpid(Some(frozen.pid()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "`{step}` was not reached:\n{}", frozen.said());
        frozen
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Lets it go on, and returns its exit code and what it has said.
    pub(super) fn thaw(mut self) -> (Option<i32>, String) {
        let pid = self.pid();
        kill_process(pid, Signal::CONT).unwrap();
        let (ended, end) = channel();
        let waiting = std::thread::spawn(move || {
            let code = self.child.wait().unwrap().code();
            ended.send(()).ok();
            (code, self.said())
        });
        if end.recv_timeout(AT_ONCE).is_err() {
            kill_process(pid, Signal::KILL).ok();
        }
        waiting.join().unwrap()
    }
}
