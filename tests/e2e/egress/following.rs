//! `logs --follow` beside a running bottle: each decision as it is made, once, until the run has ended.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::home;
use super::session::Session;
use crate::support::backend::Backend;
use crate::support::engine;
use crate::support::home::Home;

/// How long a line may take to appear; it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// A `logs --follow` that runs.
pub(super) struct Following {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Following {
    pub(super) fn start(home: &Home, agent: &str) -> Self {
        Self::begin(home.command(&["logs", agent, "--egress", "--follow", "--format", "json"]))
    }

    fn begin(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line about a host.
    #[track_caller]
    pub(super) fn wait_for(&mut self, host: &str) {
        while !self.seen.iter().any(|line| line.contains(&about(host))) {
            let line = self.lines.recv_timeout(PATIENCE);
            self.seen.push(line.unwrap_or_else(|_| panic!("no line about `{host}` in {:#?}", self.seen)));
        }
    }

    /// Waits until it ends by itself, and returns all lines.
    #[track_caller]
    pub(super) fn end(mut self) -> Vec<String> {
        self.seen.extend(self.lines.iter());
        assert!(self.child.wait().unwrap().success());
        self.seen
    }
}

fn about(host: &str) -> String {
    format!("\"host\":\"{host}\"")
}

/// Counts the lines about a host.
pub(super) fn times(lines: &[String], host: &str) -> usize {
    lines.iter().filter(|line| line.contains(&about(host))).count()
}

#[test]
fn decisions_are_shown_while_the_bottle_runs() {
    let agent = "e2e-follow";
    let home = home(&[agent], "      allowlist: [allowed.test]\n");
    let mut inside = Session::start(&home, agent);
    let ask = |inside: &mut Session, host: &str| {
        assert_eq!(inside.ok(&format!("curl -s -o /tmp/body -w '%{{http_code}}' http://{host}/")), "403");
    };
    ask(&mut inside, "before.test");
    let mut following = Following::start(&home, agent);
    following.wait_for("before.test");
    ask(&mut inside, "during.test");
    following.wait_for("during.test");
    ask(&mut inside, "last.test");
    inside.end();
    let lines = following.end();
    let counted = ["before.test", "during.test", "last.test"].map(|host| times(&lines, host));
    assert_eq!((counted, lines.len()), ([1, 1, 1], 3), "{lines:#?}");
}

/// There the log is in a directory of its own, and the run's directory has a link to it.
#[test]
fn decisions_are_shown_while_a_bubblewrap_bottle_runs() {
    let (backend, agent) = (Backend::Bubblewrap, "e2e-follow-bwrap");
    let script = "echo ready; while read -r host; do curl -s -o /dev/null http://$host/; done";
    let home = Home::new(&format!(
        "bottles: {{ dev: {{}} }}\nagents: {{ {agent}: {{ bottle: dev, command: [bash, -c, '{script}'] }} }}\n"
    ));
    let mut start = backend.command(&home, &["start", agent, "--yes", "--quiet"]);
    let mut bottle = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut asks = bottle.stdin.take().unwrap();
    BufReader::new(bottle.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let mut following =
        Following::begin(backend.command(&home, &["logs", agent, "--follow", "--format", "json"]));
    for host in ["first.test", "second.test"] {
        writeln!(asks, "{host}").unwrap();
        // Before the next is asked for: each is shown when it is decided.
        following.wait_for(host);
    }
    drop(asks);
    assert!(bottle.wait().unwrap().success());
    let lines = following.end();
    assert_eq!(["first.test", "second.test"].map(|host| times(&lines, host)), [1, 1], "{lines:#?}");
}

#[test]
fn decisions_outlive_a_killed_run() {
    let agent = "e2e-follow-killed";
    let home = home(&[agent], "      allowlist: [allowed.test]\n");
    let mut inside = Session::start(&home, agent);
    let asked: Vec<_> = (0..40).map(|n| format!("host-{n}.test")).collect();
    inside.ok(&format!("for host in {}; do curl -s -o /tmp/body http://$host/; done", asked.join(" ")));
    let following = Following::start(&home, agent);
    // Kills the program, in the middle of its work for all that anybody knows.
    drop(inside);
    // It ends when the reaper has marked the run as ended.
    let lines = following.end();
    assert_eq!(engine::resources_of(agent), Vec::<String>::new());
    let counted: Vec<_> = asked.iter().map(|host| times(&lines, host)).collect();
    assert_eq!((counted, lines.len()), (vec![1; 40], 40), "{lines:#?}");
}
