//! The program while it runs: its lines are waited for, and signals are sent to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything is waited for, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call of the program that has not ended.
pub(crate) struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

/// What was read of a stream so far.
struct Stream {
    text: Arc<(Mutex<(String, bool)>, Condvar)>,
}

impl Live {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = Stream::follow(child.stdout.take().unwrap());
        let stderr = Stream::follow(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    /// Waits until standard output has this text.
    #[track_caller]
    pub(crate) fn wait_for_stdout(&self, wanted: &str) -> String {
        self.stdout.wait_for(wanted)
    }

    /// Waits until standard error has this text.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, wanted: &str) -> String {
        self.stderr.wait_for(wanted)
    }

    /// Writes to standard input.
    pub(crate) fn feed(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Closes standard input and waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Output {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let status = self.child.wait().unwrap();
        Output { status, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
    }
}

impl Stream {
    fn follow(stream: impl Read + Send + 'static) -> Self {
        let text: Arc<(Mutex<(String, bool)>, Condvar)> = Arc::default();
        let shared = Arc::clone(&text);
        std::thread::spawn(move || {
            let (mut stream, (text, changed)) = (BufReader::new(stream), &*shared);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).unwrap() > 0 {
                text.lock().unwrap().0.push_str(&String::from_utf8_lossy(&line));
                changed.notify_all();
                line.clear();
            }
            text.lock().unwrap().1 = true;
            changed.notify_all();
        });
        Self { text }
    }

    /// Waits until the stream has this text, and returns all there is of it.
    #[track_caller]
    fn wait_for(&self, wanted: &str) -> String {
        self.wait_until(wanted, |text, _| text.contains(wanted))
    }

    /// Waits for the stream's end, and returns all of it.
    #[track_caller]
    fn all(&self) -> String {
        self.wait_until("the end", |_, is_all| is_all)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, wanted: impl Fn(&str, bool) -> bool) -> String {
        let (deadline, (text, changed)) = (Instant::now() + PATIENCE, &*self.text);
        let mut state = text.lock().unwrap();
        while !wanted(&state.0, state.1) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !state.1, "waited for `{what}`, and got:\n{}", state.0);
            state = changed.wait_timeout(state, left).unwrap().0;
        }
        state.0.clone()
    }
}

/// A test that fails leaves no program behind.
impl Drop for Live {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
        }
    }
}

/// Waits until something is so, looking again whenever one of the directories changes.
#[track_caller]
pub(crate) fn wait_for_change(directories: &[impl AsRef<Path>], wanted: impl Fn() -> bool) {
    let changes: OwnedFd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    for directory in directories {
        let told = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        add_watch(&changes, directory.as_ref(), told).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while !wanted() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "waited in vain");
        let left = Timespec { tv_sec: left.as_secs().try_into().unwrap(), tv_nsec: 0 };
        poll(&mut [PollFd::new(&changes, PollFlags::IN)], Some(&left)).unwrap();
        while rustix::io::read(&changes, &mut [0; 4096]).is_ok() {}
    }
}
