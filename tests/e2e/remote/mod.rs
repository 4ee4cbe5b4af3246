//! Bottles on an engine of another machine: by ssh through a real sshd, and by TLS. What makes it another machine is the way there: the
//! engine is this machine's own, or one of the test's.

mod lost;
mod refused;
mod ssh;
mod tls;

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::home::Home;
use crate::support::process::Process;
use crate::support::sshd::{Sshd, make_key, user};
use crate::support::{run, stdout};

/// How long the end of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that is reached by ssh alone, under a name that the user's own configuration of ssh knows.
struct Far {
    name: String,
    sshd: Sshd,
    /// The user's key and configuration, and an `ssh` that takes them: it asks the system for its home, not the environment.
    dir: TempDir,
}

impl Far {
    /// Starts its sshd, with more lines of its settings.
    fn start(name: &str, settings: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("far-").tempdir().unwrap();
        let key = dir.path().join("key");
        make_key(&key, "");
        let sshd = Sshd::start_with(Ipv4Addr::LOCALHOST.into(), &key.with_extension("pub"), settings);
        let far = Self { name: name.to_owned(), sshd, dir };
        let known = format!("[127.0.0.1]:{} {}\n", far.sshd.address().port(), far.sshd.host_key());
        fs::write(far.known_hosts(), known).unwrap();
        far.configure(&key);
        far
    }

    /// Writes the user's configuration: with this key and no other.
    fn configure(&self, key: &std::path::Path) {
        let (port, known, key) = (self.sshd.address().port(), self.known_hosts(), key.display());
        let config = format!(
            "Host {}\n  HostName 127.0.0.1\n  Port {port}\n  User {}\n  IdentityFile {key}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {}\n  GlobalKnownHostsFile none\n",
            self.name,
            user(),
            known.display()
        );
        fs::write(self.dir.path().join("config"), config).unwrap();
        let real = stdout(&run(Command::new("sh").args(["-c", "command -v ssh"])));
        let (bin, dir) = (self.bin(), self.dir.path().display());
        fs::create_dir_all(&bin).unwrap();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>{dir}/starts\nexec {} -F {dir}/config \"$@\"\n",
            real.trim()
        );
        fs::write(bin.join("ssh"), script).unwrap();
        fs::set_permissions(bin.join("ssh"), Permissions::from_mode(0o755)).unwrap();
    }

    fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Returns its engine's address: the machine's own engine, at the end of the way.
    fn host(&self) -> String {
        let own = std::env::var("DOCKER_HOST").unwrap_or_default();
        format!("ssh://{}{}", self.name, own.trim_start_matches("unix://"))
    }

    /// Prepares a call of the program with its engine.
    fn command(&self, home: &Home, arguments: &[&str]) -> Command {
        let mut command = home.command(arguments);
        let path = format!("{}:{}", self.bin().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("DOCKER_HOST", self.host());
        command
    }

    /// Returns how `ssh` was started, each start as a line.
    fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.dir.path().join("starts")).unwrap_or_default();
        starts.lines().map(str::to_owned).collect()
    }

    /// Returns the processes that hold the way open.
    fn ways(&self) -> Vec<Process> {
        Process::with_arguments(&["--", &self.name])
    }

    /// Fails if a way is still open, or becomes one that does not end.
    #[track_caller]
    fn assert_no_way_is_open(&self) {
        for way in self.ways() {
            assert!(way.ends_within(PATIENCE), "an ssh to `{}` goes on", self.name);
        }
    }
}

/// Makes a home with an agent that is a shell, and a file in its working directory.
fn home(agent: &str) -> Home {
    let manifest = format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\nagents: {{ {agent}: {{ bottle: dev, command: [bash] }} }}\n"
    );
    let home = Home::new(&manifest);
    fs::write(home.work().join("edited"), "one\n").unwrap();
    home
}
