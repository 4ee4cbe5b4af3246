//! The guard as a process, with its log.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::PATIENCE;

/// The program under test.
pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_egress-guard")
}

/// The name of its control socket, in its directory.
const CONTROL: &str = "control.sock";

/// Lines that a thread reads and tests wait for.
#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<Value>>,
    changed: Condvar,
}

impl Lines {
    fn collect(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let this = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                this.lines.lock().unwrap().push(value);
                this.changed.notify_all();
            }
        });
    }

    fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(what, |lines| lines.iter().find(|line| wanted(line)).cloned())
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&[Value]) -> Option<Value>) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = wanted(&lines) {
                return found;
            }
            let left = deadline.checked_duration_since(Instant::now());
            let left = left.unwrap_or_else(|| panic!("{what} never came; there was {lines:#?}"));
            lines = self.changed.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A running guard. Killed when dropped.
pub(crate) struct Guard {
    child: Child,
    address: String,
    decisions: Arc<Lines>,
    events: Arc<Lines>,
    config: PathBuf,
    dir: tempfile::TempDir,
    changes: AtomicUsize,
}

impl Guard {
    /// Starts a guard on a free port of loopback. `config` is everything but version, bottle and listen.
    pub(crate) fn start(config: &Value) -> Self {
        Self::start_on("127.0.0.1:0", config, &[])
    }

    /// Starts a guard elsewhere, with these variables in its otherwise empty environment.
    pub(crate) fn start_on(listen: &str, config: &Value, env: &[(&str, &str)]) -> Self {
        Self::spawn(&[], listen, config, env, false)
    }

    /// Starts a guard with a control socket.
    pub(crate) fn start_controlled(config: &Value) -> Self {
        Self::start_controlled_with(config, &[])
    }

    /// Starts a guard with a control socket and these variables.
    pub(crate) fn start_controlled_with(config: &Value, env: &[(&str, &str)]) -> Self {
        Self::spawn(&[], "127.0.0.1:0", config, env, true)
    }

    /// Starts a guard by another program, which runs it as its child.
    pub(crate) fn start_within(launcher: &[&str], config: &Value) -> Self {
        Self::spawn(launcher, "127.0.0.1:0", config, &[("PATH", &std::env::var("PATH").unwrap())], false)
    }

    fn spawn(
        launcher: &[&str],
        listen: &str,
        config: &Value,
        env: &[(&str, &str)],
        is_controlled: bool,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard.yaml");
        write_config(&path, listen, config);
        let line = [launcher, &[binary()]].concat();
        let mut child = Command::new(line[0])
            .args(&line[1..])
            .args(["run", "--config"])
            .arg(&path)
            .args(is_controlled.then(|| format!("--control={}", dir.path().join(CONTROL).display())))
            .env_clear()
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start `{}`: {error}", line[0]));
        let (decisions, events) = (Arc::<Lines>::default(), Arc::<Lines>::default());
        decisions.collect(child.stdout.take().unwrap());
        events.collect(child.stderr.take().unwrap());
        let listening = events.wait("`listening`", |line| line["event"] == "listening");
        let address = listening["address"].as_str().unwrap().to_owned();
        Self { child, address, decisions, events, config: path, dir, changes: AtomicUsize::new(1) }
    }

    /// The root directory of a guard that another program runs.
    pub(crate) fn root(&self) -> PathBuf {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let guard = children.split_ascii_whitespace().next().unwrap();
        PathBuf::from(format!("/proc/{guard}/root"))
    }

    /// Where it listens, when it does so over TCP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.parse().unwrap()
    }

    /// Writes another configuration and asks for a reload.
    pub(crate) fn reload(&self, config: &Value) {
        write_config(&self.config, "127.0.0.1:0", config);
        self.signal("HUP");
    }

    /// The configuration as it was written last.
    pub(crate) fn config(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.config).unwrap()).unwrap()
    }

    /// Where its control socket is, if it has one.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.dir.path().join(CONTROL)
    }

    /// Writes to the control socket, and returns the answer; null when none comes.
    pub(crate) fn control(&self, text: &str) -> Value {
        let mut stream = UnixStream::connect(self.control_socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_default()
    }

    /// Gives it another policy under a name of its own, `test-1` and so on.
    pub(crate) fn change(&self, policy: &Value) -> Value {
        let name = format!("test-{}", self.changes.fetch_add(1, Ordering::Relaxed));
        self.control(&format!("{}\n", serde_json::json!({ "reload": name, "policy": policy })))
    }

    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the kernel has stopped every thread, which takes a moment after the signal.
    pub(crate) fn wait_until_stopped(&self) {
        let deadline = Instant::now() + PATIENCE;
        let is_stopped = |entry: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(entry.unwrap().path().join("stat")).unwrap();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        while !std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap().all(is_stopped) {
            assert!(Instant::now() < deadline, "the guard does not stop");
            std::thread::yield_now();
        }
    }

    /// Waits for an event of the guard itself.
    pub(crate) fn event(&self, name: &str) -> Value {
        self.events.wait(name, |line| line["event"] == name)
    }

    /// Waits for a decision that has all these values.
    pub(crate) fn decision(&self, wanted: &Value) -> Value {
        let wanted = wanted.as_object().unwrap();
        let fits = |line: &Value| wanted.iter().all(|(key, value)| line[key] == *value);
        self.decisions.wait(&format!("{wanted:?}"), fits)
    }

    /// Waits for the first decision behind the first `count`.
    pub(crate) fn decision_after(&self, count: usize) -> Value {
        self.decisions.wait_for(&format!("decision {count}"), |lines| lines.get(count).cloned())
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.decisions.lines.lock().unwrap().clone()
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn write_config(path: &Path, listen: &str, config: &Value) {
    let mut whole = serde_json::json!({ "version": 1, "bottle": "test", "listen": listen });
    whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    std::fs::write(path, whole.to_string()).unwrap();
}
