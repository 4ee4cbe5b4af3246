//! ssh: keys the agent can use and cannot read.
//!
//! An `ssh-agent` of this bottle alone runs outside, in a sandbox without a network and without files; its socket is
//! bound in. Keys go to it through a pipe and are on no disk but where they were. It loads no PKCS#11 libraries,
//! which is how an agent was made to run code (CVE-2023-38408).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use claude_bottle_kit::Ready;
use claude_bottle_kit::bwrap::{self, Arguments, BwrapError, Process, find_on_path, last_words};
use claude_bottle_kit::paths::{PathExt, show};
use claude_bottle_kit::ssh::{self, PrivateKey, Way};
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, SshEntry};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::Guest;
use crate::environment::port;
use crate::inside::{INIT, SSH_DIR, SSH_SOCKET};
use crate::layout;

const PART: &str = "ssh-agent";

/// Refuses keys that could not be used, before the launch.
pub(super) fn check(entries: &[SshEntry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    for program in ["ssh", "ssh-agent", "ssh-add"] {
        find_on_path(program)
            .ok_or_else(|| Failure::from(BwrapError::FindProgram { program: program.to_owned() }))?;
    }
    ssh::check(entries)
}

/// Starts the agent with the bottle's keys, and writes the client's configuration.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let entries = &guest.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    check(entries)?;
    start_agent(guest)?;
    ssh::private_keys(entries)?.iter().try_for_each(|key| add_key(guest, key))?;
    guest.make_dirs(".ssh", 0o700)?;
    let port = port(guest.spec);
    let proxy_command = |_: &str| format!("{INIT} connect 127.0.0.1:{port} %h %p");
    let way = Way { agent_socket: SSH_SOCKET, proxy_command: &proxy_command };
    ssh::client_files(entries, way)?
        .iter()
        .try_for_each(|file| guest.write(&format!(".ssh/{}", file.name), file.content.as_bytes(), 0o600))
}

fn start_agent(guest: &Guest<'_>) -> Result<()> {
    let record = guest.dir.record()?;
    if record.processes.iter().any(|process| process.part == PART && process.is_alive()) {
        return Ok(());
    }
    let (ready, said) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    let words = ["ssh-agent", "-D", "-a", SSH_SOCKET, "-P", "/nonexistent"];
    let nothing = File::open("/dev/null").at("open", Path::new("/dev/null"))?;
    let process = beside(guest, PART, &words, nothing.into(), Some(said))?;
    keep_in_record(guest, process)?;
    bwrap::await_ready(guest.call, PART, ready, &Ready::Begins("SSH_AUTH_SOCK=")).map(drop)
}

fn add_key(guest: &Guest<'_>, key: &PrivateKey<'_>) -> Result<()> {
    const ADD: &str = "ssh-add";
    let (reader, mut writer) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
    // A pipe holds a whole key, so this waits for no reader.
    writer.write_all(&key.text).failure(FailureKind::Internal, || "cannot hand a key over")?;
    drop(writer);
    let process = beside(guest, ADD, &[ADD, "-q", "-"], reader.into(), None)?;
    keep_in_record(guest, process.clone())?;
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let ended =
        waitpid(pid, WaitOptions::empty()).failure(FailureKind::Internal, || "cannot wait for ssh-add")?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => {
            let mut record = guest.dir.record()?;
            record.processes.retain(|other| *other != process);
            guest.dir.save(&record)
        }
        _ => {
            let message = format!("ssh-agent does not take the key `{}`", show(key.path));
            let mut failure = Failure::new(FailureKind::Invalid, message);
            failure.causes.push(last_words(&bwrap::errors(&guest.dir.path, ADD)));
            Err(failure)
        }
    }
}

/// Names a helper in the record, by which it is ended with the bottle: after the agent and before the guard.
fn keep_in_record(guest: &Guest<'_>, process: Process) -> Result<()> {
    let mut record = guest.dir.record()?;
    let place = record.processes.len().min(1);
    record.processes.insert(place, process);
    guest.dir.save(&record)
}

/// Starts a program outside the bottle that sees the agent's socket, and of the host its programs.
fn beside(
    guest: &Guest<'_>,
    part: &'static str,
    words: &[&str],
    stdin: OwnedFd,
    said: Option<io::PipeWriter>,
) -> Result<Process> {
    let mut arguments = Arguments::new(guest.bwrap);
    arguments.add(["--unshare-net"]);
    bwrap::system(&mut arguments)?;
    arguments.bind("--ro-bind", &guest.dir.join(layout::ETC), "/etc")?;
    arguments.add(["--dev", "/dev"]);
    arguments.bind("--bind", &guest.dir.join(layout::SSH), SSH_DIR)?;
    arguments.add(["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "SSH_AUTH_SOCK", SSH_SOCKET]);
    arguments.add(["--setenv", "SSH_ASKPASS_REQUIRE", "never"]);
    arguments.helper(guest.bwrap, words.iter().copied())?;
    let begun = bwrap::begin(guest.bwrap, &guest.dir.path, part, stdin, said.map(Into::into), &[])?;
    let process = begun.process.clone();
    begun.exec_bwrap(guest.bwrap, arguments)?;
    Ok(process)
}
