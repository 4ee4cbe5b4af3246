//! A backend with its directories, bottles of it, and programs run in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use claude_bottle_backend_bubblewrap::Bubblewrap;
use claude_bottle_plugin_api::*;
use claude_bottle_standin::as_by_hand;

/// Set when the tests run once more as an ordinary user.
pub(crate) const AGAIN: &str = "BUBBLEWRAP_TESTS_AGAIN";

/// Returns the directory of built programs, with those in it that a bottle needs.
pub(crate) fn programs() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let exe = std::env::current_exe().unwrap();
        let dir = exe.parent().unwrap().parent().unwrap().to_owned();
        if std::env::var_os(AGAIN).is_none() {
            let mut cargo = Command::new(env!("CARGO"));
            // All of it, as it was built before the tests: a part by itself has other features, and is built again.
            cargo.args(["build", "--quiet", "--locked", "--workspace"]);
            assert!(as_by_hand(&mut cargo).status().unwrap().success(), "build the programs of a bottle");
        }
        dir
    };
    BUILT.get_or_init(build).clone()
}

/// Returns the directory of installers of programs, which the set-up makes.
pub(crate) fn installers() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let make = || match std::env::var_os(AGAIN) {
        Some(_) => programs().join("installers"),
        None => {
            let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/setup/installers.sh");
            let output = Command::new(script).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
        }
    };
    MADE.get_or_init(make).clone()
}

/// The host, as far as a backend sees it.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) dead: bool,
    pub(crate) cancel: Option<OwnedFd>,
}

impl CallServices for Services {
    fn event(&self, _event: &Event) {}
    fn cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|fd| {
            let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap()
                > 0
        })
    }
    fn cancel_fd(&self) -> Option<OwnedFd> {
        self.cancel.as_ref().map(|fd| fd.try_clone().unwrap())
    }
    fn secret(&self, name: &str) -> Result<Secret> {
        let value = self.secrets.get(name);
        let missing = || Failure::new(FailureKind::NotFound, format!("secret `{name}` is not granted"));
        value.map(|value| Secret::new(value.clone().into_bytes())).ok_or_else(missing)
    }
    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(!self.dead)
    }
}

/// A backend in a directory of its own.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    data: PathBuf,
    pub(crate) backend: Bubblewrap,
    pub(crate) call: Call,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Services::default(), &[])
    }

    pub(crate) fn with(services: Services, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self::of(dir, data, services, settings)
    }

    /// A bench whose bottles are found by another process, since their directory has a known name.
    pub(crate) fn in_dir(place: &Path) -> Self {
        let dir = tempfile::tempdir_in(place).unwrap();
        Self::of(dir, place.join("data"), Services::default(), &[])
    }

    fn of(dir: tempfile::TempDir, data: PathBuf, services: Services, settings: &[(&str, &str)]) -> Self {
        let mut context = Context::default();
        context.data_dir.clone_from(&data);
        context.settings =
            settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let init = programs().join("bottle-guest").to_str().unwrap().to_owned();
        context.settings.entry("GUEST".to_owned()).or_insert(init);
        Self { backend: Bubblewrap::open(context).unwrap(), dir, data, call: Call::new(Arc::new(services)) }
    }

    /// A run that may do nothing: its guard lets nothing out.
    pub(crate) fn spec(&self, id: &str) -> Spec {
        let agent = AgentSpec::new("tester", vec!["sh".to_owned()]);
        let mut spec = Spec::new(id, agent, Owner::new("here", std::process::id(), 1));
        spec.bottle.name = "box".to_owned();
        spec.bottle.egress.guard = Some(programs().join("egress-guard"));
        spec.stage_dir = self.dir.path().join("stage");
        spec.state_dir = self.dir.path().join("state").join(id);
        std::fs::create_dir_all(&spec.state_dir).unwrap();
        spec
    }

    pub(crate) fn launch(&self, spec: &Spec) -> Live<'_> {
        let plan = self.backend.prepare(&self.call, spec).unwrap().with_spec(spec);
        let bottle = self.backend.launch(&self.call, &plan).unwrap_or_else(|failure| panic!("{failure:#?}"));
        let mut live = Live { bench: self, bottle, provisioned: Provisioned::default() };
        let provisioned = self.backend.provision(&self.call, &plan, &live.bottle);
        live.provisioned = provisioned.unwrap_or_else(|failure| panic!("{failure:#?}"));
        live
    }

    pub(crate) fn bottles(&self) -> PathBuf {
        self.data.join("bottles")
    }
}

/// A bottle that runs.
pub(crate) struct Live<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) bottle: Bottle,
    pub(crate) provisioned: Provisioned,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Live<'_> {
    /// Runs a line of shell.
    pub(crate) fn sh(&self, script: &str) -> Said {
        self.run(&["sh", "-c", script], "")
    }

    /// Runs a program with its input.
    pub(crate) fn run(&self, command: &[&str], input: &str) -> Said {
        let (stdin, mut writer) = std::io::pipe().unwrap();
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        writer.write_all(input.as_bytes()).unwrap();
        drop(writer);
        let command = command.iter().map(|&word| word.to_owned()).collect();
        let mut request = ExecRequest::new(command, ExecRole::Command);
        request.streams = [stdin.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()];
        let status = self.bench.backend.exec(&self.bench.call, &self.bottle, &request);
        let status = status.unwrap_or_else(|failure| panic!("{failure:#?}"));
        Said { code: status.code, out: text(out), err: text(err) }
    }

    pub(crate) fn close(&self) {
        self.bench
            .backend
            .close(&self.bench.call, &self.bottle)
            .unwrap_or_else(|failure| panic!("{failure:#?}"));
    }

    /// The bottle's directory on the host.
    pub(crate) fn outside(&self) -> PathBuf {
        PathBuf::from(self.bottle.state["dir"].as_str().unwrap())
    }

    /// The numbers of the bottle's processes on the host.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let record = std::fs::read_to_string(self.outside().join("record.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["processes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|process| process["pid"].as_u64().unwrap())
            .collect()
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.bench.backend.close(&self.bench.call, &self.bottle).ok();
    }
}

pub(crate) fn text(mut file: File) -> String {
    use std::io::Seek;
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
