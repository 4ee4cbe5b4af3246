//! The program on a pseudo-terminal: keys are typed, and what it writes is kept as it comes.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// How long a text is waited for, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call of the program on a terminal.
pub(crate) struct Terminal {
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    /// What was written so far, and whether that is all.
    written: Arc<(Mutex<(String, bool)>, Condvar)>,
    /// Rows and columns.
    size: (u16, u16),
}

impl Terminal {
    pub(crate) fn start(command: &Command) -> Self {
        Self::sized(command, 200, 60)
    }

    /// Starts a program on a terminal of this many columns and rows.
    pub(crate) fn sized(command: &Command, cols: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(builder(command)).unwrap();
        let (keys, output) = (pair.master.take_writer().unwrap(), pair.master.try_clone_reader().unwrap());
        let written = Arc::default();
        follow(output, Arc::clone(&written));
        Self { keys, child, written, size: (rows, cols) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Types; `\r` is the return key, and a control character is what its key sends.
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the program has written a text.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: &str) {
        self.wait_until(wanted, |text, _| text.contains(wanted));
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub(crate) fn wait_for_screen(&self, wanted: &str) {
        let size = self.size;
        self.wait_until(wanted, |text, _| drawn(text, size).contains(wanted));
    }

    /// Returns what the screen shows.
    pub(crate) fn screen(&self) -> String {
        drawn(&self.written.0.lock().unwrap().0, self.size)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, wanted: impl Fn(&str, bool) -> bool) -> String {
        let (deadline, (written, changed)) = (Instant::now() + PATIENCE, &*self.written);
        let mut state = written.lock().unwrap();
        while !wanted(&state.0, state.1) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero() && !state.1, "waited for `{what}`, and got:\n{}", state.0);
            state = changed.wait_timeout(state, left).unwrap().0;
        }
        state.0.clone()
    }

    /// Kills the program, which can do nothing about that.
    pub(crate) fn kill(mut self) {
        let pid = self.child.process_id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the program's end, and returns its exit code and all that it wrote.
    #[track_caller]
    pub(crate) fn end(mut self) -> (u32, String) {
        let text = self.wait_until("the end", |_, is_all| is_all);
        (self.child.wait().unwrap().exit_code(), text)
    }

    /// Waits for the program's end, and fails with all that it wrote unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends_with(self, code: u32) -> String {
        let (got, text) = self.end();
        assert_eq!(got, code, "{text}");
        text
    }
}

/// Starts a program on a terminal, waits until it has written a text, and takes the terminal away. Fails unless it ends then.
#[track_caller]
pub(crate) fn assert_ends_without_terminal(command: &Command, shown: &str) {
    let pair = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut child = pair.slave.spawn_command(builder(command)).unwrap();
    drop(pair.slave);
    let (mut output, mut text) = (pair.master.try_clone_reader().unwrap(), String::new());
    while !text.contains(shown) {
        let mut bytes = [0; 8192];
        let count = output.read(&mut bytes).unwrap();
        assert!(count > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    drop((output, pair.master));
    let pid = Pid::from_raw(child.process_id().unwrap().try_into().unwrap()).unwrap();
    let ends = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&ends, PollFlags::IN)], Some(&patience)).unwrap();
    if ended == 0 {
        kill_process(pid, Signal::KILL).unwrap();
    }
    child.wait().unwrap();
    assert_eq!(ended, 1, "it does not notice that its terminal is gone");
}

/// Returns the screen after all of a text was written to it.
fn drawn(text: &str, (rows, columns): (u16, u16)) -> String {
    let [rows, columns] = [rows, columns].map(|count| std::num::NonZero::new(count).unwrap());
    let mut parser = vt100::Parser::new(rows, columns, 0);
    parser.process(text.as_bytes());
    parser.screen().contents()
}

fn builder(command: &Command) -> CommandBuilder {
    let mut built = CommandBuilder::new(command.get_program());
    built.args(command.get_args());
    built.env_clear();
    built.env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            built.env(name, value);
        }
    }
    if let Some(dir) = command.get_current_dir() {
        built.cwd(dir);
    }
    built
}

/// Keeps what the program writes, until it closes the terminal.
fn follow(mut output: Box<dyn Read + Send>, written: Arc<(Mutex<(String, bool)>, Condvar)>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            written.0.lock().unwrap().0.push_str(&String::from_utf8_lossy(&bytes[..count]));
            written.1.notify_all();
        }
        written.0.lock().unwrap().1 = true;
        written.1.notify_all();
    });
}

/// A test that fails leaves no program behind.
impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
        }
    }
}
