//! A terminal for tests: the program runs on a pseudo-terminal, and what it draws is read like a person would.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long a screen is waited for: a cold machine builds an image first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program on a terminal.
pub struct Screen {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    drawn: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Screen {
    /// Starts a program on a terminal of this many columns and rows.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(builder(command)).unwrap();
        let (keys, output) = (pair.master.take_writer().unwrap(), pair.master.try_clone_reader().unwrap());
        let drawn = Arc::new((Mutex::new(vt100::Parser::new(rows, columns, 0)), Condvar::new()));
        follow(output, Arc::clone(&drawn));
        Self { master: pair.master, keys, child, drawn }
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Changes the terminal's size.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.drawn.0.lock().unwrap().screen_mut().set_size(rows, columns);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Waits until the screen is as wanted; fails with what it shows.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let (parser, changed) = &*self.drawn;
        let mut parser = parser.lock().unwrap();
        while !wanted(parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited for {what}; the screen shows:\n{}", parser.screen().contents());
            parser = changed.wait_timeout(parser, left).unwrap().0;
        }
    }

    /// Waits until the screen shows a text.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    /// Waits for the program's end, and returns its exit code.
    pub fn wait(mut self) -> (u32, Arc<(Mutex<vt100::Parser>, Condvar)>) {
        let code = self.child.wait().unwrap().exit_code();
        (code, self.drawn)
    }
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
fn follow(mut output: Box<dyn Read + Send>, drawn: Arc<(Mutex<vt100::Parser>, Condvar)>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = output.read(&mut bytes) {
            drawn.0.lock().unwrap().process(&bytes[..count]);
            drawn.1.notify_all();
        }
    });
}
