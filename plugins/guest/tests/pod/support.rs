//! A Pod, and a host that has it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bottle_guest::pod::client::{Call, Dial, Link, Said, Wire};
use bottle_guest::pod::verbs::{Hello, Outcome, Side, VERSION, Verb};
use bottle_guest::pod::{GUARD, LINK};
use bottle_guest::protocol::{Exec, Relay, Setup};
use claude_bottle_standin::{TEST_NETWORK, as_by_hand, bridge_address};

/// Longer than any test takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Where our programs are in both containers.
pub(crate) const PROGRAMS: &str = "/opt/claude-bottle";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the image of both containers: the base image with the programs, as they are installed.
///
/// The engine need not see the files of this machine.
fn image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let built = as_by_hand(Command::new("make").arg("companions").current_dir(root())).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let file = format!("FROM {}\nCOPY egress-guard bottle-guest {PROGRAMS}/\n", base_image());
        let context = root().join("target/libexec/claude-bottle");
        let mut build = Command::new("docker")
            .args(["build", "--quiet", "--tag", "claude-bottle-pod-test", "--file", "-"])
            .arg(context)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        build.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
        let built = build.wait_with_output().unwrap();
        assert!(built.status.success(), "cannot build the image of the tests");
        String::from_utf8(built.stdout).unwrap().trim().to_owned()
    })
}

/// Returns the base image.
fn base_image() -> String {
    if let Ok(image) = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE") {
        return image;
    }
    let made = Command::new(root().join("tests/setup/base-image.sh")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Runs `docker`, and returns what it prints.
#[track_caller]
pub(crate) fn docker(arguments: &[&str]) -> String {
    let (code, out, err) = try_docker(arguments);
    assert_eq!(code, Some(0), "docker {arguments:?}: {err}");
    out
}

/// The same, with its exit code and what it says, whatever that is.
pub(crate) fn try_docker(arguments: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new("docker").args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (run.status.code(), text(&run.stdout), text(&run.stderr))
}

/// Two containers of one network, one process namespace each, and a volume.
pub(crate) struct Pod {
    pub(crate) name: String,
    knocks: Arc<Mutex<Knocks>>,
    /// Dropping it says that the test is over.
    _over: Sender<()>,
}

/// What connections run in.
#[derive(Default)]
struct Knocks {
    all: Vec<Child>,
    /// Whether there are to be no more.
    is_over: bool,
}

impl Knocks {
    fn kill(&mut self) {
        self.all.iter_mut().for_each(|child| drop(child.kill()));
    }
}

/// What may be another than usual in a Pod.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'s> {
    /// Seconds that the guard waits for a host.
    pub(crate) wait: &'s str,
    /// The agent's call filter: none, as in a Pod that names no profile.
    pub(crate) seccomp: &'s str,
}

impl Default for Shape<'_> {
    fn default() -> Self {
        Self { wait: "60", seccomp: "seccomp=unconfined" }
    }
}

impl Pod {
    pub(crate) fn new() -> Self {
        Self::shaped(Shape::default())
    }

    /// Makes the volume and the guard's container, and then the agent's.
    pub(crate) fn shaped(shape: Shape<'_>) -> Self {
        let pod = Self::guard_alone(shape);
        pod.start_agent(shape);
        pod
    }

    pub(crate) fn guard_alone(shape: Shape<'_>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("pod-test-{}-{next}", std::process::id());
        let pod = Self { _over: limit(&name), name, knocks: Arc::default() };
        let options = ["type=tmpfs", "device=tmpfs", "o=mode=0777,size=16m"].map(|option| ["--opt", option]);
        let name = pod.name.as_str();
        let mut volume = vec!["volume", "create", "--driver", "local"];
        volume.extend(options.iter().flatten());
        volume.push(name);
        docker(&volume);
        bridge_address().expect("the tests' own network");
        let (guard, link) = (pod.guard(), format!("{name}:{LINK}"));
        let program = format!("{PROGRAMS}/egress-guard");
        let rest = ["pod", "--wait", shape.wait];
        let shares = ["--network", TEST_NETWORK, "--ipc", "shareable", "--read-only"];
        pod.run(&guard, "1001:1001", &link, &shares, &[&[program.as_str()], &rest[..]].concat());
        pod
    }

    pub(crate) fn start_agent(&self, shape: Shape<'_>) {
        let network = format!("container:{}", self.guard());
        let link = format!("{}:{LINK}:ro", self.name);
        let shares =
            ["--network", network.as_str(), "--ipc", network.as_str(), "--security-opt", shape.seccomp];
        let program = format!("{PROGRAMS}/bottle-guest");
        self.run(&self.agent(), "1000:1000", &link, &shares, &[&program, "pod"]);
    }

    fn run(&self, name: &str, user: &str, link: &str, more: &[&str], command: &[&str]) {
        let mut arguments = vec!["run", "--detach", "--name", name, "--user", user, "--cap-drop", "ALL"];
        arguments.extend(["--security-opt", "no-new-privileges", "--volume", link]);
        arguments.extend(more);
        arguments.push(image());
        arguments.extend(command);
        docker(&arguments);
    }

    pub(crate) fn guard(&self) -> String {
        format!("{}-guard", self.name)
    }

    pub(crate) fn agent(&self) -> String {
        format!("{}-agent", self.name)
    }

    /// Returns how connections to it are made.
    pub(crate) fn dial(&self) -> impl Dial + use<> {
        let (guard, knocks) = (self.guard(), Arc::clone(&self.knocks));
        move || {
            let program = format!("{PROGRAMS}/egress-guard");
            let mut child = Command::new("docker")
                .args(["exec", "--interactive", &guard, &program, "knock"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let missing = || io::Error::other("no stream");
            let (reader, writer) =
                (child.stdout.take().ok_or_else(missing)?, child.stdin.take().ok_or_else(missing)?);
            let mut known = knocks.lock().unwrap();
            let at = known.all.len();
            known.all.push(child);
            if known.is_over {
                known.kill();
                return Err(io::ErrorKind::NotFound.into());
            }
            let own = Arc::clone(&knocks);
            let close = move || drop(own.lock().unwrap().all[at].kill());
            Ok(Wire { reader: Box::new(reader), writer: Box::new(writer), close: Box::new(close) })
        }
    }

    /// Kills what carries the connections.
    pub(crate) fn cut(&self) {
        self.knocks.lock().unwrap().kill();
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.knocks.lock().unwrap().all.len()
    }

    pub(crate) fn link(&self, grace: Option<u32>) -> Link {
        Link::open(self.dial(), Hello { version: VERSION, grace }).expect("the guard answers")
    }

    /// Waits until a container has ended, and returns its exit code.
    pub(crate) fn end_of(&self, container: &str) -> String {
        docker(&["wait", container])
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        {
            // A host that is there yet would make another connection, and what that runs in would be waited for without an end.
            let mut knocks = self.knocks.lock().unwrap_or_else(PoisonError::into_inner);
            knocks.is_over = true;
            knocks.kill();
            knocks.all.iter_mut().for_each(|child| drop(child.wait()));
        }
        if std::thread::panicking() {
            for container in [self.guard(), self.agent()] {
                let (_, out, err) = try_docker(&["logs", &container]);
                writeln_error(&format!("{container}:\n{out}\n{err}"));
            }
        }
        try_docker(&["rm", "--force", &self.agent(), &self.guard()]);
        try_docker(&["volume", "rm", "--force", &self.name]);
    }
}

/// Ends a Pod whose test hangs, so that the test fails and the others go on.
fn limit(name: &str) -> Sender<()> {
    let (sender, over) = channel::<()>();
    let containers = [format!("{name}-guard"), format!("{name}-agent")];
    std::thread::spawn(move || {
        if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            writeln_error(&format!("the test of {} has taken too long\n", containers[0]));
            try_docker(&["kill", &containers[0], &containers[1]]);
        }
    });
    sender
}

fn writeln_error(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

/// A host, and its bottle, which is set up.
pub(crate) struct Host {
    pub(crate) pod: Pod,
    pub(crate) link: Link,
}

/// What a program has said, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: i32,
}

/// A policy that lets nothing through.
pub(crate) const POLICY: &str = "version: 1\nbottle: dev-1\nlisten: unix:/run/claude-bottle/link/egress/guard.sock\n\
                                 socket_access: everyone\nlog: {stdout: true}\n";

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(&[("CANARY", "in-memory-alone")])
    }

    pub(crate) fn with(env: &[(&str, &str)]) -> Self {
        let pod = Pod::new();
        let link = pod.link(Some(60));
        let host = Self { pod, link };
        host.set_up(env);
        host
    }

    pub(crate) fn set_up(&self, env: &[(&str, &str)]) {
        let listening = self.ask(Side::Guard, &Verb::Policy, format!("{POLICY}...\n").as_bytes());
        assert!(matches!(listening, Outcome::Listening { .. }), "{listening:?}");
        let mut all = vec![("PATH".to_owned(), b"/usr/local/bin:/usr/bin:/bin".to_vec())];
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        let guard = PathBuf::from(LINK).join(GUARD);
        let relay = Relay { port: 8888, guard, forward: Vec::new(), names: true, proves: false };
        let mut setup = Setup::new(all);
        setup.relay = Some(relay);
        let document = serde_json::to_vec(&setup).unwrap();
        assert_eq!(self.ask(Side::Bottle, &Verb::Setup, &document), Outcome::Done);
    }

    #[track_caller]
    pub(crate) fn ask(&self, side: Side, verb: &Verb, mut input: &[u8]) -> Outcome {
        self.link.ask(side, verb, &mut input).expect("the Pod answers")
    }

    pub(crate) fn begin(&self, command: &[&str], terminal: Option<(u16, u16)>) -> Call {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let exec = Exec { command, env: Vec::new(), directory: "/tmp".to_owned(), terminal };
        self.link.call(Side::Bottle, &Verb::Exec { exec, linger: 60 }).unwrap()
    }

    #[track_caller]
    pub(crate) fn run(&self, command: &[&str]) -> Ran {
        let call = self.begin(command, None);
        // A program that has ended takes no end of its input.
        call.end().ok();
        hear(&call)
    }

    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Ran {
        self.run(&["sh", "-c", script])
    }

    /// Returns the addresses of the Pod's network: its gateway and itself.
    pub(crate) fn addresses(&self) -> (String, String) {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let own = docker(&["inspect", "--format", format, &self.pod.guard()]);
        (bridge_address().unwrap().to_string(), own)
    }
}

/// Hears a program to its end.
#[track_caller]
pub(crate) fn hear(call: &Call) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match call.next().expect("the bottle is there") {
            Said::Out(bytes) => out.extend(bytes),
            Said::Err(bytes) => err.extend(bytes),
            Said::Stopped => panic!("it has stopped"),
            Said::Result(Outcome::Ended { code }) => {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                return Ran { out: text(out), err: text(err), code };
            }
            Said::Result(other) => panic!("{other:?}"),
        }
    }
}

/// Reads output until it contains a text.
#[track_caller]
pub(crate) fn hear_until(call: &Call, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) {
        match call.next().expect("the bottle is there") {
            Said::Out(bytes) | Said::Err(bytes) => heard.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?} after {heard}"),
        }
    }
    heard
}

/// Returns an address as the Pod's programs take it.
pub(crate) fn address(text: &str, port: u16) -> SocketAddr {
    SocketAddr::new(text.parse().unwrap(), port)
}
