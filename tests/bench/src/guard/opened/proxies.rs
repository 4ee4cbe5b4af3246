//! The proxies that open tunnels, each on loopback and with an authority of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::NAME;
use super::certificates::Roots;
use crate::guard::proxies::{self, find, guard, resident_of, secrets};

/// Longest time any of them may take to listen. mitmdump makes keys first.
const PATIENCE: Duration = Duration::from_secs(60);

/// squid's program that makes certificates, as Debian has it.
const MAKER: &str = "/usr/lib/squid/security_file_certgen";

/// Who does the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Guard,
    Squid,
    Mitmdump,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Guard, Self::Squid, Self::Mitmdump];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Guard => "egress-guard",
            Self::Squid => "squid ssl-bump",
            Self::Mitmdump => "mitmdump",
        }
    }
}

/// A running proxy. Ended when dropped.
pub(super) struct Opened {
    pub(super) kind: Kind,
    pub(super) address: SocketAddr,
    /// Whom its clients have to trust.
    pub(super) authority: String,
    child: Child,
    _dir: TempDir,
}

impl Opened {
    /// Starts one that allows the upstream's port alone, and trusts it by these authorities.
    pub(super) fn start(kind: Kind, upstream: u16, roots: &Roots) -> anyhow::Result<Self> {
        let dir = proxies::place()?;
        let place = dir.path();
        // Squid gives root up before it opens its logs.
        fs::set_permissions(place, fs::Permissions::from_mode(0o777))?;
        fs::write(place.join("roots.pem"), &roots.pem)?;
        fs::write(place.join("secrets"), secrets().to_json()?)?;
        let own = Roots::new("bench inside")?;
        fs::write(place.join("own.pem"), [own.pem.as_str(), &own.key].concat())?;
        fs::set_permissions(place.join("own.pem"), fs::Permissions::from_mode(0o644))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = match kind {
            Kind::Guard => guard_of(place, address, upstream, roots)?,
            Kind::Squid => squid(place, address, upstream)?,
            Kind::Mitmdump => mitmdump(place, address)?,
        };
        let errors = fs::File::create(place.join("errors"))?;
        let began = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).spawn();
        let child = child.with_context(|| format!("start {}", kind.name()))?;
        let mut opened = Self { kind, address, authority: own.pem, child, _dir: dir };
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > PATIENCE || opened.child.try_wait()?.is_some() {
                let said = fs::read_to_string(opened._dir.path().join("errors")).unwrap_or_default();
                bail!("{} does not listen: {said}", kind.name());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let place = opened._dir.path();
        match kind {
            Kind::Guard => opened.authority = authority_said(&place.join("errors"))?,
            Kind::Mitmdump => {
                opened.authority = fs::read_to_string(place.join("mitmproxy-ca-cert.pem"))?;
            }
            Kind::Squid => {}
        }
        Ok(opened)
    }

    /// Returns the memory that it and its helpers have in use, in megabytes.
    pub(super) fn resident(&self) -> anyhow::Result<f64> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
        children.chain([id]).map(resident_of).sum()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn guard_of(dir: &Path, listen: SocketAddr, upstream: u16, roots: &Roots) -> anyhow::Result<Command> {
    let pem = roots.pem.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let shown = dir.display();
    let config = format!(
        "\
version: 1
bottle: bench
listen: {listen}
tls_ports: [{upstream}]
policy:
  intercept: all
  rules: [{{ rule: \"{NAME}:{upstream}\" }}]
  hosts: {{ {NAME}: [127.0.0.1] }}
  private: [{{ host: {NAME}, range: 127.0.0.1/32 }}]
roots: |
{pem}dlp: {{ secrets_file: {shown}/secrets }}
log: {{ stdout: false, file: {shown}/log }}
"
    );
    fs::write(dir.join("config"), config)?;
    let mut command = Command::new(guard()?);
    command.args(["run", "--config"]).arg(dir.join("config"));
    Ok(command)
}

/// Returns the authority that the guard says it made, which it says once it listens.
fn authority_said(errors: &Path) -> anyhow::Result<String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let said = fs::read_to_string(errors)?;
        let mut events = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        if let Some(listening) = events.find(|event| event["event"] == "listening") {
            return listening["ca"].as_str().map(str::to_owned).context("the guard says its authority");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the guard does not say that it listens")
}

fn squid(dir: &Path, listen: SocketAddr, upstream: u16) -> anyhow::Result<Command> {
    let shown = dir.display();
    let made = Command::new(MAKER).args(["-c", "-s"]).arg(dir.join("made")).args(["-M", "4MB"]).status();
    let made = made.with_context(|| format!("run {MAKER}; install it with `tests/setup/bench-tools.sh`"))?;
    anyhow::ensure!(made.success(), "{MAKER} failed: {made}");
    open_to_all(&dir.join("made"))?;
    let config = format!(
        "\
http_port {listen} ssl-bump tls-cert={shown}/own.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program {MAKER} -s {shown}/made -M 4MB
sslcrtd_children 2 startup=1
tls_outgoing_options cafile={shown}/roots.pem
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
acl host dst 127.0.0.1/32
acl port port {upstream}
http_access allow host port
http_access deny all
cache deny all
cache_mem 0
access_log stdio:{shown}/log
cache_log {shown}/cache.log
cache_store_log none
pid_filename none
netdb_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname bench
coredump_dir {shown}
"
    );
    fs::write(dir.join("config"), config)?;
    let mut command = Command::new(find("squid")?);
    // In the foreground, as one process with its helpers.
    command.args(["-N", "-f"]).arg(dir.join("config"));
    Ok(command)
}

/// Lets squid's own user write what root has made.
fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
    for entry in fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        match path.is_dir() {
            true => open_to_all(&path)?,
            false => fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?,
        }
    }
    Ok(())
}

fn mitmdump(dir: &Path, listen: SocketAddr) -> anyhow::Result<Command> {
    let shown = dir.display();
    let mut command = Command::new(find("mitmdump")?);
    command.args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port", &listen.port().to_string()]);
    command.args(["--set", &format!("confdir={shown}")]);
    command.args(["--set", &format!("ssl_verify_upstream_trusted_ca={shown}/roots.pem")]);
    // Bodies go as they come, as with the others.
    command.args(["--set", "stream_large_bodies=1"]);
    Ok(command)
}
