//! A terminal for tests: the program runs on a pseudo-terminal, and what it draws is read like a person would.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a screen is waited for: a cold machine builds an image first.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is drawn, and whether the program has closed the terminal.
pub(crate) struct Drawn {
    pub(crate) parser: vt100::Parser,
    ended: bool,
}

pub(crate) type Shared = Arc<(Mutex<Drawn>, Condvar)>;

/// A program on a terminal.
pub(crate) struct Screen {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    drawn: Shared,
}

impl Screen {
    /// Starts a program on a terminal of this many columns and rows.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(builder(command)).unwrap();
        let (keys, output) = (pair.master.take_writer().unwrap(), pair.master.try_clone_reader().unwrap());
        let parser = vt100::Parser::new(nonzero(rows), nonzero(columns), 0);
        let drawn = Arc::new((Mutex::new(Drawn { parser, ended: false }), Condvar::new()));
        follow(output, Arc::clone(&drawn));
        Self { master: pair.master, keys, child, drawn }
    }

    /// Types.
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Changes the terminal's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.drawn.0.lock().unwrap().parser.screen_mut().set_size(nonzero(rows), nonzero(columns));
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Waits until the screen is as wanted; fails with what it shows.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let (drawn, changed) = &*self.drawn;
        let mut drawn = drawn.lock().unwrap();
        while !wanted(drawn.parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let contents = drawn.parser.screen().contents();
            assert!(!left.is_zero(), "waited for {what}; the screen shows:\n{contents}");
            assert!(!drawn.ended, "the program ended before {what}; the screen shows:\n{contents}");
            drawn = changed.wait_timeout(drawn, left).unwrap().0;
        }
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    /// Returns whether the screen shows a text now.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.drawn.0.lock().unwrap().parser.screen().contents().contains(text)
    }

    /// Kills the program, which can do nothing about that, and takes its terminal away.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the program's end, and returns its exit code, what is drawn, and the terminal's settings.
    pub(crate) fn wait_for_settings(mut self) -> (u32, String, String) {
        let code = self.child.wait().unwrap().exit_code();
        let terminal = self.master.tty_name().unwrap();
        let settings = Command::new("stty").arg("-F").arg(terminal).arg("-a").output().unwrap();
        self.wait_until_drawn();
        let drawn = self.drawn.0.lock().unwrap().parser.screen().contents();
        (code, drawn, String::from_utf8_lossy(&settings.stdout).into_owned())
    }

    /// Waits for what the program wrote last, which may still be on its way to the screen when it has ended.
    fn wait_until_drawn(&self) {
        let (drawn, changed) = &*self.drawn;
        drop(changed.wait_timeout_while(drawn.lock().unwrap(), PATIENCE, |drawn| !drawn.ended).unwrap());
    }

    /// Waits for the program's end, and returns its exit code.
    pub(crate) fn wait(mut self) -> (u32, Shared) {
        let code = self.child.wait().unwrap().exit_code();
        self.wait_until_drawn();
        (code, self.drawn)
    }
}

/// A terminal that does not know its size is drawn as one of the usual size would be.
fn nonzero(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap_or(const { NonZero::new(80).unwrap() })
}

fn builder(command: &Command) -> CommandBuilder {
    let mut built = CommandBuilder::new(command.get_program());
    built.args(command.get_args());
    built.env_clear();
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

/// Draws what the program writes, until it closes the terminal.
fn follow(mut output: Box<dyn Read + Send>, drawn: Shared) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            drawn.0.lock().unwrap().parser.process(&bytes[..count]);
            drawn.1.notify_all();
        }
        drawn.0.lock().unwrap().ended = true;
        drawn.1.notify_all();
    });
}
