//! ssh: keys the agent can use and that are not in its Pod at all.
//!
//! An `ssh-agent` of this bottle alone runs on this machine, for as long as the process that made the bottle: without that no key is had. Its
//! socket inside is one of the guest program's, which carries what is asked to this process, over the same door as everything else.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bottle_guest::pod::client::{Call as Channel, Said};
use bottle_guest::pod::verbs::{LINGER, Side, Verb};
use bottle_guest::protocol::Exec;
use bottle_guest::ssh_socket::{Connections, READY, read};
use claude_bottle_kit::bwrap::find_on_path;
use claude_bottle_kit::companions::guest_program;
use claude_bottle_kit::contents::Files;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::ssh::{self, PrivateKey, Way};
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, Spec};

use crate::door::Door;
use crate::plan::Planned;
use crate::pod::GUEST;

/// The socket, in the home. The files next to it are the client's.
const SOCKET: &str = ".ssh/agent.sock";

/// The directory of one directory an agent, and the name of its socket there.
const DIR: &str = "ssh";
const NAME: &str = "socket";

/// How old a directory without an agent is at least that is removed.
const YOUNG: Duration = Duration::from_secs(60);

/// How long the agent may take to listen, and the bottle's end too.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses what could not be used, before anything is made.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    if spec.bottle.ssh.is_empty() {
        return Ok(());
    }
    for program in ["ssh-agent", "ssh-add"] {
        if find_on_path(program).is_none() {
            let message =
                format!("cannot find `{program}`, which keeps the bottle's ssh keys on this machine");
            return Err(
                Failure::new(FailureKind::Missing, message).hint("sudo apt-get install openssh-client")
            );
        }
    }
    guest_program(None, Some(spec))?;
    ssh::check(&spec.bottle.ssh)
}

/// Adds the settings by which every ssh inside finds the keys and the way out.
pub(crate) fn add(plan: &Planned, port: u16, files: &mut Files) -> Result<()> {
    let entries = &plan.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    let proxy_command = |_: &str| format!("{GUEST} connect 127.0.0.1:{port} %h %p");
    let way = Way { agent_socket: &socket(&plan.home), proxy_command: &proxy_command };
    let dir = format!("{}/.ssh", plan.home);
    files.dir(&dir, 0o700);
    for file in ssh::client_files(entries, way)? {
        files.file(format!("{dir}/{}", file.name), 0o600, file.content);
    }
    Ok(())
}

/// Returns the variable by which `ssh-add` and git's signing find the keys; one of the manifest's own wins.
pub(crate) fn variable(spec: &Spec, home: &str) -> Option<(&'static str, String)> {
    (!spec.bottle.ssh.is_empty()).then(|| ("SSH_AUTH_SOCK", socket(home)))
}

fn socket(home: &str) -> String {
    format!("{home}/{SOCKET}")
}

/// Starts the agent with the bottle's keys and carries what is asked of it. The agent is there until what is returned is dropped.
pub(crate) fn serve(data_dir: &Path, plan: &Planned, door: &Door) -> Result<Option<Agent>> {
    let entries = &plan.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(None);
    }
    let keys = ssh::private_keys(entries)?;
    let guest = guest_program(None, Some(&plan.spec))?;
    let exec = Exec {
        command: [GUEST, "ssh-socket", &socket(&plan.home)].map(str::to_owned).into(),
        env: Default::default(),
        directory: "/".to_owned(),
        terminal: None,
    };
    let channel = Arc::new(door.call(Side::Bottle, &Verb::Exec { exec, linger: LINGER })?);
    sweep(data_dir);
    let dir = data_dir.join(DIR).join(&plan.spec.id);
    let (told, heard) = mpsc::channel();
    // The kernel ties the agent to the thread that starts it, so that is one that stays.
    let serve = move || {
        let begun = Agent::start(&guest, dir).and_then(|agent| Ok((agent.place()?, agent)));
        match begun {
            Err(failure) => drop(told.send(Err(failure))),
            Ok((place, agent)) => {
                let ended = carry(&channel, &place, || drop(told.send(Ok(agent))));
                tracing::debug!(?ended, "the bottle's ssh keys are served no more");
            }
        }
    };
    let thread = std::thread::Builder::new().name("ssh".to_owned()).spawn(serve);
    thread.failure(FailureKind::Internal, || "cannot start a thread")?;
    let missing = |_| door.said("there is no socket for the ssh keys");
    let agent = heard.recv_timeout(2 * PATIENCE).map_err(missing)??;
    keys.iter().try_for_each(|key| add_key(&agent.dir, key))?;
    Ok(Some(agent))
}

/// An agent; it ends with this, and its directory with it.
pub(crate) struct Agent {
    process: Child,
    dir: PathBuf,
}

impl Agent {
    /// Starts one without keys, and waits until it listens.
    fn start(guest: &Path, dir: PathBuf) -> Result<Self> {
        let failed = || "cannot start the ssh-agent";
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).failure(FailureKind::Internal, failed)?;
        let mut command = Command::new(guest);
        command.arg("tied").arg(std::process::id().to_string());
        // By a name in its own directory, since a socket's has at most 107 bytes. `-P none`: no library is ever loaded on anybody's
        // request (CVE-2023-38408).
        command.args(["ssh-agent", "-D", "-P", "none", "-a", NAME]).current_dir(&dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut agent = match command.spawn().failure(FailureKind::Internal, failed) {
            Ok(process) => Self { process, dir },
            Err(failure) => {
                fs::remove_dir(&dir).ok();
                return Err(failure);
            }
        };
        let (place, begun) = (agent.place()?, Instant::now());
        while place.connect().is_err() {
            let has_ended = matches!(agent.process.try_wait(), Ok(Some(_)));
            if has_ended || begun.elapsed() > PATIENCE {
                return Err(Failure::new(FailureKind::Internal, failed()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(agent)
    }

    fn place(&self) -> Result<Place> {
        File::open(&self.dir).map(Place).at("open", &self.dir)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// The directory of an agent's socket, by which it is reached however long its path is.
struct Place(File);

impl Place {
    fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(format!("/proc/self/fd/{}/{NAME}", self.0.as_raw_fd()))
    }
}

/// Removes the directories of agents that ended with a process that was killed.
fn sweep(data_dir: &Path) {
    for entry in fs::read_dir(data_dir.join(DIR)).into_iter().flatten().flatten() {
        // One that is being made has no socket yet.
        let age =
            entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        let is_served = || File::open(entry.path()).map(Place).and_then(|place| place.connect()).is_ok();
        if age.is_some_and(|age| age > YOUNG) && !is_served() {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Hands a key over by a pipe.
fn add_key(dir: &Path, key: &PrivateKey<'_>) -> Result<()> {
    let mut command = Command::new("ssh-add");
    command.args(["-q", "-"]).env("SSH_AUTH_SOCK", NAME).env("SSH_ASKPASS_REQUIRE", "never").current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().failure(FailureKind::Internal, || "cannot run ssh-add")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading everything says why by its exit code.
        stdin.write_all(&key.text).ok();
    }
    let ended = child.wait_with_output().failure(FailureKind::Internal, || "cannot wait for ssh-add")?;
    if ended.status.success() {
        return Ok(());
    }
    let shown = claude_bottle_kit::paths::show(key.path);
    let mut failure =
        Failure::new(FailureKind::Invalid, format!("ssh-agent does not take the key `{shown}`"));
    failure.causes.push(claude_bottle_kit::printable(String::from_utf8_lossy(&ended.stderr).trim()));
    Err(failure)
}

/// Carries connections to the agent for as long as the bottle has its end, which is told when it is there.
fn carry(channel: &Arc<Channel>, agent: &Place, ready: impl FnOnce()) -> io::Result<()> {
    let mut ready = Some(ready);
    let all = Arc::new(Connections::to(Input(Arc::clone(channel))));
    let mut newest = READY;
    let mut output = Output { channel, rest: Vec::new() };
    while let Some((number, bytes)) = read(&mut output)? {
        if number == READY {
            ready.take().into_iter().for_each(|ready| ready());
        } else if !all.take(number, &bytes) && number > newest {
            newest = number;
            let begun = agent.connect().and_then(|stream| all.add(number, stream));
            if begun.is_err() || !all.take(number, &bytes) {
                all.say(number, &[])?;
            }
        }
    }
    Ok(())
}

/// What the bottle's end reads.
struct Input(Arc<Channel>);

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the bottle's end says.
struct Output<'c> {
    channel: &'c Channel,
    rest: Vec<u8>,
}

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.channel.next()? {
                Said::Out(bytes) => self.rest = bytes,
                Said::Result(_) => return Ok(0),
                _ => {}
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}
