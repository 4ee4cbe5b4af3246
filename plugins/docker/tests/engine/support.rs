//! What the tests share: a host's services, a spec, and the docker command line as a second witness.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use claude_bottle_backend_docker::Docker;
use claude_bottle_plugin_api::*;
use claude_bottle_standin::as_by_hand;

/// A host that listens.
pub(crate) struct Services {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) dead: Mutex<BTreeSet<u32>>,
    cancelled: AtomicBool,
    cancel: (OwnedFd, OwnedFd),
}

impl Services {
    pub(crate) fn new(secrets: &[(&str, &[u8])]) -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            secrets: secrets.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
            dead: Mutex::default(),
            cancelled: AtomicBool::new(false),
            cancel: rustix::pipe::pipe().unwrap(),
        })
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        rustix::io::write(&self.cancel.1, b"x").unwrap();
    }

    pub(crate) fn call(self: &Arc<Self>) -> Call {
        Call::new(Arc::clone(self) as Arc<dyn CallServices>)
    }
}

impl CallServices for Services {
    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
    fn cancel_fd(&self) -> Option<OwnedFd> {
        self.cancel.0.try_clone().ok()
    }
    fn secret(&self, name: &str) -> Result<Secret> {
        let found = self.secrets.get(name).cloned().map(Secret::new);
        found.ok_or_else(|| Failure::new(FailureKind::NotFound, format!("no secret `{name}`")))
    }
    fn owner_alive(&self, owner: &Owner) -> Result<bool> {
        Ok(!self.dead.lock().unwrap().contains(&owner.pid))
    }
}

/// A spec of its own for each call, with directories that go with it.
pub(crate) struct Run {
    pub(crate) spec: Spec,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) services: Arc<Services>,
}

impl Run {
    pub(crate) fn new(agent: &str, secrets: &[(&str, &[u8])]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::SeqCst);
        let dir = tempfile::tempdir().unwrap();
        let id = format!("{agent}-{}-{n}", std::process::id());
        // No process has such a number, so each run can be declared dead alone.
        let owner = Owner::new("test-host", 5_000_000 + n, 1);
        let command = ["claude", "--version"].map(str::to_owned).into();
        let mut spec = Spec::new(id, AgentSpec::new(agent, command), owner);
        spec.bottle.name = "box".to_owned();
        spec.bottle.env = secrets.iter().map(|(name, _)| EnvVar::secret(*name)).collect();
        spec.bottle.egress.guard = Some(guard());
        for (sub, field) in [("stage", &mut spec.stage_dir), ("state", &mut spec.state_dir)] {
            *field = dir.path().join(sub);
            std::fs::create_dir(&*field).unwrap();
        }
        Self { spec, dir, services: Services::new(secrets) }
    }

    pub(crate) fn call(&self) -> Call {
        self.services.call()
    }

    /// Makes the bottle and puts everything in.
    pub(crate) fn start(&self, backend: &Docker) -> Live {
        let plan = backend.prepare(&self.call(), &self.spec).unwrap().with_spec(&self.spec);
        let bottle = backend.launch(&self.call(), &plan).unwrap();
        let provisioned = backend.provision(&self.call(), &plan, &bottle).unwrap();
        Live { bottle, provisioned }
    }

    /// Returns what of this run exists in the engine, by the docker command line.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let filter = format!("label=io.claude-bottle.id={}", self.spec.id);
        let mut found = Vec::new();
        for what in [
            &["ps", "-a", "--format", "{{.Names}}"][..],
            &["network", "ls", "--format", "{{.Name}}"],
            &["volume", "ls", "--format", "{{.Name}}"],
        ] {
            let mut words = what.to_vec();
            words.extend(["--filter", &filter]);
            found.extend(docker(&words).lines().map(str::to_owned));
        }
        found.extend(self.guard_dir().exists().then(|| format!("guard {}", self.spec.id)));
        found
    }

    /// Returns the directory of a guard of this machine.
    pub(crate) fn guard_dir(&self) -> PathBuf {
        data_dir().join("bottles").join(&self.spec.id)
    }
}

/// A bottle that runs; the test closes it.
pub(crate) struct Live {
    pub(crate) bottle: Bottle,
    pub(crate) provisioned: Provisioned,
}

/// What a program in a bottle said.
#[derive(Debug)]
pub(crate) struct OutputStream {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) limit: Option<String>,
}

impl Live {
    /// Runs a shell script in the bottle, with standard input from a file.
    pub(crate) fn sh(&self, backend: &Docker, run: &Run, script: &str, input: &[u8]) -> OutputStream {
        self.exec(backend, run, &["sh", "-c", script], input)
    }

    pub(crate) fn exec(&self, backend: &Docker, run: &Run, words: &[&str], input: &[u8]) -> OutputStream {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file.rewind().unwrap();
            file
        };
        let streams = [file(input), file(b""), file(b"")];
        let mut request = request(words, &streams);
        request.prompt_path.clone_from(&self.provisioned.prompt_path);
        let status = backend.exec(&run.call(), &self.bottle, &request).unwrap();
        let [_, stdout, stderr] = streams.map(read_all);
        OutputStream { code: status.code, stdout, stderr, limit: status.limit }
    }
}

pub(crate) fn request(words: &[&str], streams: &[File; 3]) -> ExecRequest {
    let command = words.iter().map(|&word| word.to_owned()).collect();
    let mut request = ExecRequest::new(command, ExecRole::Command);
    request.streams = [streams[0].as_raw_fd(), streams[1].as_raw_fd(), streams[2].as_raw_fd()];
    request
}

fn read_all(mut file: File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Opens the backend as a host would, with settings of the test's own.
pub(crate) fn backend(settings: &[(&str, &str)]) -> Docker {
    let mut context = Context::default();
    context.data_dir = data_dir().to_owned();
    context.settings.insert("BASE_IMAGE".to_owned(), base_image().to_owned());
    if let Ok(image) = std::env::var("CLAUDE_BOTTLE_IMAGE") {
        context.settings.insert("IMAGE".to_owned(), image);
    }
    context.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let backend = Docker::open(context).unwrap();
    let probe = backend.probe(&Call::detached()).unwrap();
    assert_ne!(probe.health, Health::Unusable, "these tests need an engine: {probe:?}");
    backend
}

/// Returns where every backend of these tests keeps its data, as those of one user do. It goes with this process's directory.
pub(crate) fn data_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("engine-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    })
}

/// The options of a bottle whose guard is in a container of its own.
pub(crate) fn with_sidecar() -> serde_json::Value {
    serde_json::json!({ "guard": "sidecar" })
}

/// Runs the docker command line and returns what it prints; it must succeed.
pub(crate) fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().expect("the docker command line is needed");
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns an address of this machine that the engine's containers reach by the tests' own network.
pub(crate) fn bridge_address() -> IpAddr {
    static ADDRESS: OnceLock<IpAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| claude_bottle_standin::bridge_address().unwrap())
}

pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub(crate) fn base_image() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| {
        if let Ok(image) = std::env::var("CLAUDE_BOTTLE_BASE_IMAGE") {
            return image;
        }
        let output = Command::new(root().join("tests/setup/base-image.sh")).output().unwrap();
        assert!(output.status.success(), "base-image.sh: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

/// Returns the guard's program, next to which is that for the inside: `EGRESS_GUARD`, or one that is built here.
pub(crate) fn guard() -> PathBuf {
    static GUARD: OnceLock<PathBuf> = OnceLock::new();
    let path = GUARD.get_or_init(|| {
        if let Ok(path) = std::env::var("EGRESS_GUARD") {
            return path.into();
        }
        let mut make = Command::new("make");
        make.args(["--no-print-directory", "--silent", "companions"]).current_dir(root());
        let output = as_by_hand(&mut make).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        root().join("target/libexec/claude-bottle/egress-guard")
    });
    path.clone()
}
