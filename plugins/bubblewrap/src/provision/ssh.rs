//! ssh: keys the agent can use and cannot read.
//!
//! An `ssh-agent` of this bottle alone runs outside, in a sandbox without a network and without files; its socket is
//! bound in. Keys go to it through a pipe and are on no disk but where they were. It loads no PKCS#11 libraries,
//! which is how an agent was made to run code (CVE-2023-38408).

use std::fs::File;
use std::io;
use std::path::Path;

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, SshEntry};
use rustix::process::{Pid, WaitOptions, waitpid};

use super::Guest;
use crate::error::{BubblewrapError, PathExt, last_words, show};
use crate::guest::{INIT, SSH_DIR, SSH_SOCKET};
use crate::launch::port;
use crate::outer::{self, Arguments};
use crate::tools::find_on_path;
use crate::{etc, sandbox};

const PART: &str = "ssh-agent";

/// How the text of a key in OpenSSH's form begins when it has no passphrase: `openssh-key-v1`, cipher `none`, in base64.
/// <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>
const UNLOCKED: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// Refuses keys that could not be used, before the launch.
pub(super) fn check(entries: &[SshEntry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    for program in ["ssh", "ssh-agent", "ssh-add"] {
        find_on_path(program)
            .ok_or_else(|| Failure::from(BubblewrapError::FindProgram { program: program.to_owned() }))?;
    }
    entries.iter().try_for_each(|entry| {
        check_words(entry)?;
        check_key(&entry.identity_file)
    })
}

/// A word with a space or a line break in it would be another setting.
fn check_words(entry: &SshEntry) -> Result<()> {
    let words = [&entry.host, &entry.hostname, &entry.user];
    let is_plain = |word: &&String| {
        !word.is_empty()
            && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'%*?!,".contains(c))
    };
    let key = entry.known_host_key.as_deref().unwrap_or_default();
    if words.iter().all(is_plain) && !key.contains(char::is_control) {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Invalid,
        format!("ssh host `{}` has a strange name", entry.host.escape_debug()),
    ))
}

fn check_key(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path).at("read", path)?;
    let body: String = text.lines().skip(1).take(2).collect();
    let is_locked = match text.lines().next().unwrap_or_default() {
        "-----BEGIN OPENSSH PRIVATE KEY-----" => !body.starts_with(UNLOCKED),
        head if head.starts_with("-----BEGIN ") && head.contains("PRIVATE KEY") => text.contains("ENCRYPTED"),
        _ => {
            return Err(Failure::new(FailureKind::Invalid, format!("`{}` is no private key", show(path))));
        }
    };
    if is_locked {
        let message = format!("the key `{}` has a passphrase, which nobody could type", show(path));
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint(format!("ssh-keygen -p -N '' -f '{}', or make a key for this bottle", show(path))));
    }
    Ok(())
}

/// Starts the agent with the bottle's keys, and writes the client's configuration.
pub(super) fn provision(guest: &Guest<'_>) -> Result<()> {
    let entries = &guest.state.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    check(entries)?;
    start_agent(guest)?;
    let mut keys: Vec<_> = entries.iter().map(|entry| &entry.identity_file).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter().try_for_each(|key| add_key(guest, key))?;
    guest.make_dirs(".ssh", 0o700)?;
    let port = port(guest.state);
    let config: String = entries.iter().map(|entry| block(entry, port)).collect();
    guest.write(".ssh/config", config.as_bytes(), 0o600)?;
    let known: String = entries.iter().filter_map(known_host).collect();
    guest.write(".ssh/known_hosts", known.as_bytes(), 0o600)
}

fn start_agent(guest: &Guest<'_>) -> Result<()> {
    let mut record = guest.dir.record()?;
    if record.processes.iter().any(|process| process.part == PART && process.is_alive()) {
        return Ok(());
    }
    let (ready, said) = io::pipe().failure(FailureKind::Internal, || "make a pipe")?;
    let words = ["ssh-agent", "-D", "-a", SSH_SOCKET, "-P", "/nonexistent"];
    let nothing = File::open("/dev/null").at("open", Path::new("/dev/null"))?;
    let process = beside(guest, PART, &words, nothing, Some(said))?;
    // It must be found by whoever closes the bottle; it goes after the agent and before the guard.
    let place = record.processes.len().saturating_sub(1);
    record.processes.insert(place, process);
    guest.dir.save(&record)?;
    outer::await_word(guest.call, PART, ready, "SSH_AUTH_SOCK")
}

fn add_key(guest: &Guest<'_>, key: &Path) -> Result<()> {
    const ADD: &str = "ssh-add";
    let file = File::open(key).at("open", key)?;
    let process = beside(guest, ADD, &[ADD, "-q", "-"], file, None)?;
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let ended = waitpid(pid, WaitOptions::empty()).failure(FailureKind::Internal, || "wait for ssh-add")?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        _ => {
            let mut failure = Failure::new(
                FailureKind::Invalid,
                format!("ssh-agent does not take the key `{}`", show(key)),
            );
            failure.causes.push(last_words(&outer::errors(&guest.dir, ADD)));
            Err(failure)
        }
    }
}

/// Starts a program beside the bottle that sees the agent's socket, and of the host its programs.
fn beside(
    guest: &Guest<'_>,
    part: &'static str,
    words: &[&str],
    stdin: File,
    said: Option<io::PipeWriter>,
) -> Result<crate::process::Process> {
    let mut arguments = Arguments::new(guest.state);
    arguments.add(["--unshare-net"]);
    sandbox::system(&mut arguments)?;
    arguments.bind("--ro-bind", &guest.dir.join(etc::DIR), "/etc")?;
    arguments.add(["--dev", "/dev"]);
    arguments.bind("--bind", &guest.dir.join(sandbox::SSH), SSH_DIR)?;
    arguments.add(["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "SSH_AUTH_SOCK", SSH_SOCKET]);
    arguments.add(["--setenv", "SSH_ASKPASS_REQUIRE", "never", "--remount-ro", "/", "--chdir", "/", "--"]);
    arguments.add(words);
    let begun = outer::begin(guest.state, &guest.dir, part, stdin.into(), said.map(Into::into), &[])?;
    let process = begun.process.clone();
    begun.become_bwrap(guest.state, arguments)?;
    Ok(process)
}

fn block(entry: &SshEntry, port: u16) -> String {
    let strict = if entry.known_host_key.is_some() { "yes" } else { "accept-new" };
    format!(
        "Host {}\n  HostName {}\n  User {}\n  Port {}\n  IdentityAgent {SSH_SOCKET}\n  StrictHostKeyChecking {strict}\n  \
         ProxyCommand {INIT} connect 127.0.0.1:{port} %h %p\n\n",
        entry.host, entry.hostname, entry.user, entry.port
    )
}

/// Returns the server's key as a line of `known_hosts`; a line that has its host already stays as it is.
fn known_host(entry: &SshEntry) -> Option<String> {
    let key = entry.known_host_key.as_deref()?.trim();
    let is_bare = ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| key.starts_with(kind));
    Some(match (is_bare, entry.port) {
        (false, _) => format!("{key}\n"),
        (true, 22) => format!("{} {key}\n", entry.hostname),
        (true, port) => format!("[{}]:{port} {key}\n", entry.hostname),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> SshEntry {
        SshEntry::new("forge", "git.example", "/keys/id")
    }

    #[test]
    fn a_key_line_gets_its_host() {
        let check = |key: &str, port: u16, expected: &str| {
            let mut entry = entry();
            (entry.known_host_key, entry.port) = (Some(key.to_owned()), port);
            assert_eq!(known_host(&entry).as_deref(), Some(expected));
        };
        check("ssh-ed25519 AAAA", 22, "git.example ssh-ed25519 AAAA\n");
        check("ssh-ed25519 AAAA", 2222, "[git.example]:2222 ssh-ed25519 AAAA\n");
        check("git.example ssh-ed25519 AAAA", 22, "git.example ssh-ed25519 AAAA\n");
    }

    #[test]
    fn a_word_cannot_smuggle_a_setting() {
        assert!(check_words(&entry()).is_ok());
        for wrong in ["a b", "a\nProxyCommand x", "", "%h"] {
            let mut entry = entry();
            entry.hostname = wrong.to_owned();
            assert!(check_words(&entry).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_locked_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (passphrase, is_fine) in [("", true), ("locked", false)] {
            let path = dir.path().join(format!("key{passphrase}"));
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
                .arg(&path)
                .status()
                .unwrap();
            assert!(made.success());
            assert_eq!(check_key(&path).is_ok(), is_fine, "{passphrase:?}");
        }
        let path = dir.path().join("text");
        std::fs::write(&path, "hello").unwrap();
        assert!(check_key(&path).is_err());
    }
}
