//! An engine of a test's own, which may be stopped, killed and filled up: the machine's engine is not disturbed.
//!
//! It is a second dockerd with everything of its own: data on a tmpfs of a given size, sockets and files in a temporary
//! directory, control groups of one name, and its own network, mount and process namespaces. They are held by a keeper
//! (`private-engine.sh`) that ends when its standard input does, so that nothing is left however the test ends, also when
//! it is killed. Making one takes root, half a second, and two seconds for an image.
//!
//! ```ignore
//! let mut engine = PrivateEngine::start(&Options { live_restore: true, ..Options::default() });
//! engine.load(&small_image());
//! let mut command = home.command(&["start", "agent", "--yes"]);
//! command.env("DOCKER_HOST", engine.host()).env("CLAUDE_BOTTLE_IMAGE", small_image());
//! let upstream = engine.inside(|| TcpListener::bind((WORLD, 0)).unwrap());
//! engine.stop(Signal::KILL);
//! engine.start_again();
//! ```

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use super::engine::Engine;
use super::{run, stderr, stdout};

const KEEPER: &str = include_str!("private-engine.sh");

/// The address that stands for the rest of the world: a socket that listens there is reached from the engine's networks as
/// any server on the internet would be. It is of a range for documentation: <https://www.rfc-editor.org/rfc/rfc5737>.
pub(crate) const WORLD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// Where an engine serves TLS, in its own network namespace.
pub(crate) const TLS: &str = "127.0.0.1:2376";

/// How long the engine may take to start or to end, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the engine is to be.
pub(crate) struct Options {
    /// Whether containers live on while the engine is away.
    pub(crate) live_restore: bool,
    /// The size of the file system the data is on, as tmpfs takes it.
    pub(crate) size: &'static str,
    /// The directory of `ca.pem`, `cert.pem` and `key.pem` with which it also serves TLS, at [`TLS`] of its own loopback, to those
    /// whose certificate that authority has made.
    pub(crate) tls: Option<PathBuf>,
    /// More settings, as in `daemon.json`, such as `{"runtimes": {…}}`.
    pub(crate) settings: Value,
}

impl Default for Options {
    fn default() -> Self {
        Self { live_restore: false, size: "1g", tls: None, settings: json!({}) }
    }
}

/// A running engine. Dropping it removes all of it.
pub(crate) struct PrivateEngine {
    directory: PathBuf,
    keeper: Child,
    /// Its end is the keeper's.
    stdin: Option<ChildStdin>,
    /// The process that holds the namespaces.
    holder: String,
    daemon: Option<Child>,
    said: Arc<Mutex<String>>,
    client: Engine,
}

impl PrivateEngine {
    /// Starts an engine without any image.
    pub(crate) fn start(options: &Options) -> Self {
        let user = stdout(&run(Command::new("id").arg("-u")));
        assert_eq!(user.trim(), "0", "an engine of a test's own needs root; run the tests as root");
        let directory = tempfile::Builder::new().prefix("engine-").tempdir().unwrap().keep();
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let (data, control_group) = (directory.join("data"), format!("claude-bottle-{name}"));
        fs::create_dir(&data).unwrap();
        let mut settings = json!({
            "data-root": data,
            "exec-root": directory.join("exec"),
            "pidfile": directory.join("docker.pid"),
            "hosts": [address(&directory)],
            "live-restore": options.live_restore,
            "cgroup-parent": format!("/{control_group}"),
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        });
        if let Some(files) = &options.tls {
            let file = |name: &str| json!(files.join(name));
            settings["hosts"] = json!([address(&directory), format!("tcp://{TLS}")]);
            settings["tlsverify"] = json!(true);
            for (key, name) in [("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem")] {
                settings[key] = file(name);
            }
        }
        settings.as_object_mut().unwrap().extend(options.settings.as_object().unwrap().clone());
        fs::write(directory.join("daemon.json"), settings.to_string()).unwrap();

        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "private-engine"]).arg(&directory).args([options.size, &control_group]);
        command.arg(setup());
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut engine = Self {
            stdin: keeper.stdin.take(),
            client: Engine::at(&address(&directory)),
            directory,
            holder: String::new(),
            daemon: None,
            said: Arc::default(),
            keeper,
        };
        BufReader::new(engine.keeper.stdout.take().unwrap()).read_line(&mut engine.holder).unwrap();
        engine.holder.truncate(engine.holder.trim_end().len());
        assert!(!engine.holder.is_empty(), "the namespaces of a private engine could not be made");
        engine.start_again();
        engine
    }

    /// Starts the engine after [`Self::stop`], and waits until it answers.
    pub(crate) fn start_again(&mut self) {
        assert!(self.daemon.is_none(), "the engine runs already");
        let mut command = self.enter(&["--net", "--mount", "--pid"]);
        command.args(["dockerd", "--config-file"]).arg(self.directory.join("daemon.json"));
        let mut daemon =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let ready = listen(daemon.stderr.take().unwrap(), &self.said);
        self.daemon = Some(daemon);
        let heard = ready.recv_timeout(PATIENCE);
        assert!(heard.is_ok(), "the private engine did not start:\n{}", self.said.lock().unwrap());
        self.docker(&["version"]);
    }

    /// Ends the engine by a signal, and waits until it is gone. Its containers are another matter.
    pub(crate) fn stop(&mut self, signal: Signal) {
        let mut daemon = self.daemon.take().expect("the engine runs");
        let pid = fs::read_to_string(self.directory.join("docker.pid")).unwrap();
        let number = signal.as_raw().to_string();
        let output = run(self.enter(&["--pid", "--mount"]).args(["kill", "-s", &number, pid.trim()]));
        assert!(output.status.success(), "{}", stderr(&output));
        daemon.wait().unwrap();
        if signal == Signal::KILL {
            // An engine that was killed leaves its file behind; its number may be another's by the time of the next start.
            fs::remove_file(self.directory.join("docker.pid")).unwrap();
        }
    }

    /// Returns the engine's address, for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        address(&self.directory)
    }

    /// Returns what looks at the engine from outside the product.
    pub(crate) fn client(&self) -> &Engine {
        &self.client
    }

    /// Runs the engine's own client.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.client.docker(arguments)
    }

    /// Carries an image in from the machine's engine.
    pub(crate) fn load(&self, image: &str) {
        let mut save = Command::new("docker").args(["save", image]).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = Command::new("docker");
        load.arg("load").env("DOCKER_HOST", self.host()).stdin(save.stdout.take().unwrap());
        let output = run(&mut load);
        assert!(save.wait().unwrap().success() && output.status.success(), "{}", stderr(&output));
    }

    /// Works in the engine's network namespace: sockets and threads that are made there stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.holder)).unwrap();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program in the engine's namespaces, and returns what it says.
    pub(crate) fn run_inside(&self, words: &[&str]) -> String {
        let output = run(self.enter(&["--net", "--mount", "--pid"]).args(words));
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Makes a file system of a size for this test, and returns its directory as the test sees it.
    pub(crate) fn small_disk(&self, size: &str) -> PathBuf {
        let disk = self.directory.join("disk");
        fs::create_dir(&disk).unwrap();
        let options = format!("mode=700,size={size}");
        self.run_inside(&["mount", "-t", "tmpfs", "-o", &options, "disk", disk.to_str().unwrap()]);
        PathBuf::from(format!("/proc/{}/root{}", self.holder, disk.display()))
    }

    /// Fills the disk the engine keeps its data on; [`Self::make_room`] frees it.
    pub(crate) fn fill(&self) {
        let data = self.data();
        let script = "dd if=/dev/zero of=\"$0/fill\" bs=64k 2>/dev/null; dd if=/dev/zero of=\"$0/fill-up\" bs=1 2>/dev/null; df --output=avail \"$0\"";
        let left = self.run_inside(&["sh", "-c", script, data.to_str().unwrap()]);
        assert_eq!(left.split_whitespace().last(), Some("0"), "{left}");
    }

    /// Takes away what [`Self::fill`] has put on the disk.
    pub(crate) fn make_room(&self) {
        let data = self.data();
        self.run_inside(&["sh", "-c", "rm \"$0\"/fill*", data.to_str().unwrap()]);
    }

    /// Returns where the engine keeps its data, as [`Self::run_inside`] sees it.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn enter(&self, namespaces: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder]).args(namespaces).arg("--");
        command
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.keeper.wait().ok();
        if let Some(mut daemon) = self.daemon.take() {
            daemon.wait().ok();
        }
        if std::thread::panicking() {
            // What it answered may have its cause there alone.
            let said = self.said.lock().map_or_else(|_| String::new(), |said| said.clone());
            writeln!(std::io::stderr(), "the private engine said:\n{said}").ok();
        }
        let left = self.directory.exists();
        assert!(!left || std::thread::panicking(), "`{}` is left", self.directory.display());
    }
}

/// Returns the name of an image that is quickly carried in, and from which a bottle can run.
pub(crate) fn small_image() -> String {
    let output = run(&mut Command::new(setup().join("small-image.sh")));
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// Returns the directory of the set-up scripts.
fn setup() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/setup")
}

fn address(directory: &Path) -> String {
    format!("unix://{}/docker.sock", directory.display())
}

/// Keeps what the engine says, and tells when it says that it listens.
fn listen(said: impl std::io::Read + Send + 'static, kept: &Arc<Mutex<String>>) -> Receiver<()> {
    let (ready, heard) = channel();
    let kept = Arc::clone(kept);
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            kept.lock().unwrap().push_str(&format!("{line}\n"));
            if line.contains("API listen on") {
                ready.send(()).ok();
            }
        }
    });
    heard
}
