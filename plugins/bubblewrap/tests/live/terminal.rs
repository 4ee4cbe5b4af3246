//! A program with a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use claude_bottle_plugin_api::{Backend, ExecRequest, ExecRole};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::support::{Bench, Live};

/// The user's terminal, in raw mode as the host has it.
struct User {
    screen: File,
    terminal: OwnedFd,
    shown: Receiver<String>,
    seen: String,
}

impl User {
    fn new() -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let terminal = ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let mut attributes = tcgetattr(&terminal).unwrap();
        attributes.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &attributes).unwrap();
        let screen = File::from(controller);
        let (sender, shown) = channel();
        let mut reader = screen.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                    return;
                }
            }
        });
        let user = Self { screen, terminal, shown, seen: String::new() };
        user.resize(100, 30);
        user
    }

    fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    fn sees(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.shown.recv_timeout(Duration::from_secs(120));
            let more = more.unwrap_or_else(|_| panic!("`{text}` is not in {:?}", self.seen));
            self.seen.push_str(&more);
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn types(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).unwrap();
    }

    /// Runs a program in the bottle at this terminal while `act` uses it, and returns its exit code.
    fn at(
        &mut self,
        live: &Live<'_>,
        command: &[&str],
        act: impl FnOnce(&mut Self, &mut std::io::PipeWriter),
    ) -> i32 {
        let (resized, mut tell) = std::io::pipe().unwrap();
        let mut request =
            ExecRequest::new(command.iter().map(|&word| word.to_owned()).collect(), ExecRole::Command);
        request.tty = true;
        request.term = Some("xterm-256color".to_owned());
        request.streams = [self.terminal.as_raw_fd(); 3];
        request.resized = Some(resized.as_raw_fd());
        let (bottle, bench) = (live.bottle.clone(), live.bench);
        std::thread::scope(|scope| {
            let program = scope.spawn(move || bench.backend.exec(&bench.call, &bottle, &request));
            // A test that fails must not wait for a program that never ends.
            let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(self, &mut tell)));
            if let Err(panic) = acted {
                live.close();
                std::panic::resume_unwind(panic);
            }
            program.join().unwrap().unwrap().code
        })
    }
}

#[test]
fn it_has_size_name_keys_and_a_shell_that_obeys() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("terminal"));
    let mut user = User::new();
    let code = user.at(&live, &["bash", "--norc"], |user, tell| {
        user.types("stty size; tty; echo $TERM-$((40+2))\n");
        user.sees("30 100");
        user.sees("/dev/pts/");
        user.sees("xterm-256color-42");
        user.resize(120, 40);
        tell.write_all(b"x").unwrap();
        user.types("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.01; done; echo grown-$((40+2))\n");
        user.sees("grown-42");
        user.types("PS1='ready'-'> '; echo set-$((40+2))\n");
        user.sees("set-42");
        user.types("sh -c 'echo begun-$((40+2)); exec sleep 60'\n");
        user.sees("begun-42");
        user.types("\x03");
        user.sees("ready-> ");
        user.types(
            "echo back-$((40+2)) < /dev/tty; ps -o tpgid= -p $$ | grep -q '[1-9]' && echo jobs-$((40+2))\n",
        );
        user.sees("back-42");
        user.sees("jobs-42");
        user.types("exit 5\n");
    });
    assert_eq!(code, 5);
}

#[test]
fn the_last_words_arrive() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("words"));
    let mut user = User::new();
    for round in 0..20 {
        let code = user.at(&live, &["sh", "-c", &format!("seq 2000; printf 'the end {round}'")], |_, _| {});
        assert_eq!(code, 0);
        user.sees("2000\r\n");
        user.sees(&format!("the end {round}"));
    }
}

#[test]
fn it_is_not_the_users_terminal() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("own"));
    let mut user = User::new();
    let code =
        // Its session is led by what started it inside, which sees the program stop.
        user.at(&live, &["sh", "-c", "ls -C /dev/pts; [ $(ps -o sid= -p $$) = $PPID ] && tty"], |user, _| {
            user.sees("0  ptmx\r\n");
            user.sees("/dev/pts/0\r\n");
        });
    assert_eq!(code, 0);
    // Without a terminal there is none, also not the one the tests may have been started at.
    assert_ne!(live.sh("exec 3<>/dev/tty").code, 0);
}
