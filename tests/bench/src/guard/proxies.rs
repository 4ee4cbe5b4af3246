//! The proxies: each started on loopback, with one allowed host and port, and with a line in a log for each request.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use claude_bottle_egress_policy::{GuardSecret, GuardSecrets};
use tempfile::TempDir;

/// Longest time any of them may take to listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who does the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Guard,
    Squid,
    Tinyproxy,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Guard, Self::Squid, Self::Tinyproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guard => "egress-guard",
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
        }
    }

    /// tinyproxy ends each connection behind one plain answer, without a word about it.
    pub(crate) fn keeps(self) -> bool {
        self != Self::Tinyproxy
    }

    fn program(self) -> anyhow::Result<PathBuf> {
        if self == Self::Guard { guard() } else { find(self.name()) }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Guard => &["run", "--config"],
            // In the foreground, as one process, without going into the background.
            Self::Squid => &["-N", "-f"],
            Self::Tinyproxy => &["-d", "-c"],
        }
    }

    fn config(self, dir: &Path, listen: SocketAddr, upstream: SocketAddr) -> String {
        let (own, port) = (listen.port(), upstream.port());
        let dir = dir.display();
        match self {
            Self::Guard => format!(
                "\
version: 1
bottle: bench
listen: {listen}
policy:
  rules: [{{ rule: \"{upstream}\" }}]
  private: [{{ host: 127.0.0.1, range: 127.0.0.1/32 }}]
dlp: {{ secrets_file: {dir}/secrets }}
log: {{ stdout: false, file: {dir}/log }}
"
            ),
            Self::Squid => format!(
                "\
http_port 127.0.0.1:{own}
acl host dst 127.0.0.1/32
acl port port {port}
http_access allow host port
http_access deny all
cache deny all
cache_mem 0
access_log stdio:{dir}/log
cache_log {dir}/cache.log
cache_store_log none
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname bench
coredump_dir {dir}
"
            ),
            Self::Tinyproxy => format!(
                "\
Port {own}
Listen 127.0.0.1
Timeout 600
MaxClients 2000
Allow 127.0.0.1
ConnectPort {port}
Filter \"{dir}/filter\"
FilterDefaultDeny Yes
LogFile \"{dir}/log\"
LogLevel Connect
"
            ),
        }
    }
}

/// A running proxy. Ended when dropped.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first connection it took.
    pub(crate) start: Duration,
    _dir: TempDir,
}

impl Proxy {
    /// Starts one that allows plain requests and tunnels to `upstream` alone.
    pub(crate) fn start(kind: Kind, upstream: SocketAddr) -> anyhow::Result<Self> {
        let dir = place()?;
        // Squid gives root up before it opens its logs.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777))?;
        fs::write(dir.path().join("filter"), "^127\\.0\\.0\\.1$\n")?;
        fs::write(dir.path().join("secrets"), secrets().to_json()?)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = dir.path().join("config");
        fs::write(&config, kind.config(dir.path(), address, upstream))?;
        let errors = fs::File::create(dir.path().join("errors"))?;
        let mut command = Command::new(kind.program()?);
        command.args(kind.arguments()).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let began = Instant::now();
        let child = command.spawn().with_context(|| format!("start {}", kind.name()))?;
        let mut proxy = Self { child, address, start: Duration::ZERO, _dir: dir };
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > PATIENCE || proxy.child.try_wait()?.is_some() {
                let said = fs::read_to_string(proxy._dir.path().join("errors")).unwrap_or_default();
                bail!("{} does not listen: {said}", kind.name());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        proxy.start = began.elapsed();
        Ok(proxy)
    }

    /// Returns the memory it has in use, in megabytes.
    pub(crate) fn resident(&self) -> anyhow::Result<f64> {
        resident_of(self.child.id())
    }
}

/// Returns the memory that a process has in use, in megabytes.
pub(super) fn resident_of(id: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is told")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

/// Finds the guard that is installed.
pub(super) fn guard() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).context("this program lies below `target`")?;
    let guard = target.join("libexec/claude-bottle/egress-guard");
    guard.canonicalize().context("find the guard; build it with `make companions`")
}

/// Finds a program that it is measured beside.
pub(super) fn find(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    let found = places.iter().map(|place| place.join(name)).find(|file| file.is_file());
    found.with_context(|| format!("find {name}; install it with `tests/setup/bench-tools.sh`"))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns what every guard of a bottle looks for: at least one secret.
pub(crate) fn secrets() -> GuardSecrets {
    let value = "correct-horse-battery-staple-0123456789".to_owned();
    GuardSecrets { entries: vec![GuardSecret { name: "BENCH".to_owned(), value, hosts: Vec::new() }] }
}

/// In memory where that exists: tinyproxy waits for the disk after each line it logs, which would be all one sees.
pub(super) fn place() -> anyhow::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.context("make a directory for a proxy")
}
