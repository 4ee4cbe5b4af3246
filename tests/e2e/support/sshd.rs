//! A real sshd as a process of the test: keys and settings of its own, nothing of the system's.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::TempDir;

use super::{run, stderr, stdout};

/// How often another port is tried when somebody else took the one that was free.
const TRIES: usize = 5;

/// A running server. The user who runs the tests may log in, with one key.
pub(crate) struct Sshd {
    child: Child,
    said: BufReader<ChildStderr>,
    address: SocketAddr,
    dir: TempDir,
}

impl Sshd {
    /// Starts a server on a free port of an address; this public key may log in.
    pub(crate) fn start(ip: IpAddr, allowed: &Path) -> Self {
        Self::start_with(ip, allowed, "")
    }

    /// Does the same with more lines of its settings.
    pub(crate) fn start_with(ip: IpAddr, allowed: &Path, more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("sshd-").tempdir().unwrap();
        make_key(&dir.path().join("host"), "");
        fs::copy(allowed, dir.path().join("authorized_keys")).unwrap();
        if user() == "root" {
            // As root it does not start without the directory its unprivileged part is shut into; a service would make it.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        for _ in 0..TRIES {
            let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
            fs::write(dir.path().join("config"), settings(dir.path(), address) + more).unwrap();
            if let Some((child, said)) = serve(dir.path()) {
                return Self { child, said, address, dir };
            }
        }
        panic!("sshd found no free port");
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its public key, as type and base64.
    pub(crate) fn host_key(&self) -> String {
        public_key(&self.dir.path().join("host"))
    }

    /// Ends it; connections that are open go on.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        (self.child, self.said) = serve(self.dir.path()).expect("the port is taken");
    }

    /// Ends it, and returns what it said about its connections.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let said = &mut self.said;
        said.lines().map(|line| line.unwrap()).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts the server and waits until it listens. Returns nothing when the port is taken.
fn serve(dir: &Path) -> Option<(Child, BufReader<ChildStderr>)> {
    let config = dir.join("config");
    let mut command = Command::new(program());
    command.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut all = String::new();
    while said.read_line(&mut all).unwrap() > 0 {
        if all.contains("Server listening on") {
            return Some((child, said));
        }
    }
    child.wait().unwrap();
    assert!(all.contains("Address already in use"), "sshd did not start:\n{all}");
    None
}

/// Returns the server's path: it starts itself again by it, and `/usr/sbin` is not on every user's search path.
fn program() -> String {
    let found = run(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin:/sbin command -v sshd"]));
    assert!(found.status.success(), "there is no sshd; tests/setup/test-tools.sh installs it");
    stdout(&found).trim().to_owned()
}

fn settings(dir: &Path, address: SocketAddr) -> String {
    let (ip, port, dir) = (address.ip(), address.port(), dir.display());
    let path = std::env::var("PATH").unwrap();
    format!(
        "\
ListenAddress {ip}
Port {port}
HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PidFile none
StrictModes no
UsePAM no
PermitUserRC no
SetEnv PATH={path}
LoginGraceTime 20
LogLevel VERBOSE
"
    )
}

/// Returns the name of the user who runs the tests.
pub(crate) fn user() -> String {
    stdout(&run(Command::new("id").arg("-un"))).trim().to_owned()
}

/// Makes a key; an empty passphrase is none.
pub(crate) fn make_key(path: &Path, passphrase: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-C", "made-by-a-test", "-N", passphrase, "-f"]).arg(path);
    let output = run(&mut keygen);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Returns the public part of a key, as type and base64.
pub(crate) fn public_key(path: &Path) -> String {
    let text = fs::read_to_string(path.with_extension("pub")).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
