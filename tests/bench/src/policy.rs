//! How long it takes from `policy allow` to the first request that it lets through, in a bottle that waits for that.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::contender::{Contender, Table, compare, whole};
use crate::home::Home;
use crate::live::{AGENT, Live};

/// The client inside: it asks for each host that it is told, and its request waits for an answer.
const CLIENT: &str =
    "echo ready; while read -r url; do curl -sS -o /dev/null -m 100 \"$url\"; echo done; done";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(rounds: usize) -> anyhow::Result<Table> {
    let (port, arrivals) = upstream()?;
    let arrivals = RefCell::new(arrivals);
    let names: Vec<String> = (0..=rounds).map(|n| format!("h{n}.test")).collect();
    let homes = [("bubblewrap", home(&names)?), ("docker", home(&names)?)];
    let waiting = |at: usize| -> anyhow::Result<_> {
        let (backend, home) = &homes[at];
        let live = RefCell::new(Live::start(home, backend, &["--ask-hosts"])?);
        let round = Cell::new(0);
        Ok(move |arrivals: &RefCell<Receiver<Instant>>| -> anyhow::Result<Duration> {
            let name = format!("h{}.test", round.replace(round.get() + 1));
            let mut live = live.borrow_mut();
            live.say(&format!("http://{name}:{port}/"))?;
            until_asked(home, &name)?;
            let began = Instant::now();
            whole(&mut home.command(&["policy", "allow", AGENT, &format!("{name}:{port}")]))?;
            let arrived = arrivals.borrow().recv_timeout(PATIENCE).context("the request never came")?;
            ensure!(live.line()? == "done", "the client went on");
            Ok(arrived.saturating_duration_since(began))
        })
    };
    let (bubblewrap, docker) = (waiting(0)?, waiting(1)?);
    let first = &homes[0].1;
    compare(
        "A host is allowed in a live bottle: from the command to the first request that arrives",
        rounds,
        &[
            Contender::new("`policy show`, which changes nothing", || {
                whole(&mut first.command(&["policy", "show", AGENT]))
            }),
            Contender::new("`policy allow` on bubblewrap", || bubblewrap(&arrivals)),
            Contender::new("`policy allow` on docker", || docker(&arrivals)),
        ],
    )
}

fn home(names: &[String]) -> anyhow::Result<Home> {
    let hosts: Vec<_> = names.iter().map(|name| format!("{name}: 127.0.0.1")).collect();
    let private: Vec<_> =
        names.iter().map(|name| format!("{{ host: {name}, range: 127.0.0.1/32 }}")).collect();
    Home::with(&format!(
        "bottles:\n  bench:\n    egress:\n      hosts: {{ {} }}\n      private: [{}]\nagents:\n  {AGENT}: {{ bottle: bench, command: [bash, -c, '{CLIENT}'] }}\n",
        hosts.join(", "),
        private.join(", ")
    ))
}

/// Answers each request, and tells when it came.
fn upstream() -> anyhow::Result<(u16, Receiver<Instant>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let (sender, arrivals) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut piece = [0; 4096];
            if matches!(stream.read(&mut piece), Ok(1..)) {
                sender.send(Instant::now()).ok();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            }
        }
    });
    Ok((port, arrivals))
}

/// Waits until a bottle of the home waits for an answer about a host.
fn until_asked(home: &Home, name: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let host = format!("\"host\":\"{name}\"");
    loop {
        for run in std::fs::read_dir(home.path().join(".local/state/claude-bottle/bottles"))? {
            let log = std::fs::read_to_string(run?.path().join("egress.jsonl")).unwrap_or_default();
            if log.lines().any(|line| line.contains("\"event\":\"ask\"") && line.contains(&host)) {
                return Ok(());
            }
        }
        ensure!(Instant::now() < deadline, "nothing waits for {name}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
