//! An engine that goes away in the middle: it is named, nothing hangs, and what it kept is cleaned up when it is back.

use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::{engine, home};
use crate::egress::session::Session;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine};
use crate::support::screen::Screen;
use crate::support::{assert_code, run};

/// How long the program may take to say that the engine is gone.
const AT_ONCE: Duration = Duration::from_secs(20);

/// An agent whose launch has stopped at a step.
struct Frozen {
    child: Child,
    log: std::path::PathBuf,
}

impl Frozen {
    fn at(home: &Home, agent: &str, step: &str) -> Self {
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
    fn thaw(mut self) -> (Option<i32>, String) {
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

/// Fails unless `cleanup` removes all that is there; nothing may have begun to run again by itself.
#[track_caller]
fn assert_cleaned_up(engine: &PrivateEngine, home: &Home, agent: &str) {
    assert_eq!(engine.docker(&["ps", "--quiet"]), "", "something runs again");
    let output = run(&mut home.command(&["cleanup", "--yes"]));
    assert_code(&output, 0);
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}

/// Fails unless a program has said that the engine is gone, and how what it left is removed.
#[track_caller]
fn assert_told(said: &str) {
    assert!(said.contains("the engine went away: "), "{said}");
    assert!(said.contains("claude-bottle cleanup"), "{said}");
    assert!(!said.contains("hyper"), "{said}");
}

#[test]
fn an_engine_that_goes_away_is_named_and_what_it_kept_is_cleaned_up() {
    let agent = "e2e-gone";
    let mut engine = engine(&Options::default());
    let home = home(&engine, &[agent], "      allowlist: []\n");
    let steps = [
        ("create-internal-network", Signal::KILL),
        ("create-sidecar", Signal::TERM),
        ("start-agent", Signal::KILL),
        ("copy-in", Signal::TERM),
    ];
    for (step, signal) in steps {
        let frozen = Frozen::at(&home, agent, step);
        engine.stop(signal);
        let (code, said) = frozen.thaw();
        assert_eq!(code, Some(125), "at `{step}`:\n{said}");
        assert_told(&said);
        assert!(said.contains("also failed: "), "what could not be undone is said:\n{said}");
        engine.start_again();
        assert_cleaned_up(&engine, &home, agent);
    }
}

#[test]
fn a_bottle_whose_engine_is_soon_back_is_cleared_up_without_a_command() {
    let agent = "e2e-gone-soon-back";
    let mut engine = engine(&Options { live_restore: true, ..Options::default() });
    let home = home(
        &engine,
        &[agent],
        "      allowlist: []
",
    );
    let mut session = Session::start(&home, agent);
    session.ok("true");
    engine.stop(Signal::TERM);
    assert_eq!(session.ended(), Some(125));
    engine.start_again();
    let back = Instant::now();
    while !engine.client().resources_of(agent).is_empty() {
        assert!(back.elapsed() < AT_ONCE, "{:?} is left", engine.client().resources_of(agent));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_agent_whose_engine_stops_ends_with_the_cause_and_a_clean_terminal() {
    let agent = "e2e-gone-terminal";
    let mut engine = engine(&Options::default());
    let home = home(&engine, &[agent], "      allowlist: []\n");
    for signal in [Signal::TERM, Signal::KILL] {
        let mut screen = Screen::start(&home.command(&["--quiet", "start", agent, "--yes"]), 100, 40);
        screen.wait_for_text("$ ");
        screen.type_keys("echo at''work\n");
        screen.wait_for_text("atwork");
        engine.stop(signal);
        let (code, drawn, settings) = screen.wait_for_settings();
        assert_eq!(code, 125, "{drawn}");
        assert_told(&drawn);
        assert!(settings.contains(" icanon") && settings.contains(" echo "), "{settings}");
        engine.start_again();
        assert_cleaned_up(&engine, &home, agent);
    }
}
