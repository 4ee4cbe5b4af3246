//! SSH: keys the agent can use and cannot read.
//!
//! The keys go from the host over standard input straight into an ssh-agent that root runs inside; they are in no file of the
//! bottle. ssh-agent talks to its own user and root alone, so a bridge of root's hands requests on. The agent's user cannot
//! trace root's processes, and nothing inside gives it root's rights.

use std::fmt::Write;
use std::fs;
use std::io;

use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, Spec, SshEntry};
use zeroize::Zeroizing;

use super::{Files, Guest, Script, Task};

/// Where root's ssh-agent listens.
const AGENT_SOCKET: &str = "/run/claude-bottle-agent.sock";
/// Where the bridge listens, for everyone inside.
const PUBLIC_SOCKET: &str = "/run/claude-bottle-agent-public.sock";
/// The longest private key taken; one of 16384 bits has 13 KiB.
const MAX_KEY: u64 = 64 * 1024;
/// An unencrypted key in OpenSSH's format, in base64: the magic and the cipher's name, "none".
/// <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>
const OPEN_KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU";

/// `$1` is ssh-agent's socket, `$2` the bridge's. `-P none`: no library is ever loaded on anybody's request.
const START: &str = r#"
    set -eu; umask 077
    ssh-agent -P none -a "$1" >/dev/null
    export SSH_AUTH_SOCK="$1"
    key=
    while IFS= read -r line; do
        key="$key$line
"
        case $line in -----END*) printf %s "$key" | ssh-add -q -; key= ;; esac
    done
    socat "UNIX-LISTEN:$2,fork,mode=666" "UNIX-CONNECT:$1" </dev/null >/dev/null 2>&1 &
    n=0
    until [ -S "$2" ]; do n=$((n + 1)); [ "$n" -lt 200 ]; sleep 0.01; done"#;

/// Checks the entries and their keys on the host.
pub(super) fn survey(spec: &Spec) -> Result<()> {
    spec.bottle.ssh.iter().try_for_each(|entry| {
        check_words(entry)?;
        let key = read_key(entry)?;
        if is_open(&key) {
            return Ok(());
        }
        let path = entry.identity_file.display();
        let message = format!("the key `{path}` of ssh host `{}` has a passphrase or is none", entry.host);
        Err(Failure::new(FailureKind::Invalid, message).hint(format!(
            "cp '{path}' '{path}.bottle' && ssh-keygen -p -N '' -f '{path}.bottle'   # a copy without one"
        )))
    })
}

/// Adds the settings by which every ssh inside finds the keys and the way out.
pub(super) fn add(task: &Task<'_>, files: &mut Files) -> Result<()> {
    let entries = &task.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    let proxy = task.proxy.and_then(|url| url.strip_prefix("http://")?.rsplit_once(':'));
    let (address, port) = proxy
        .ok_or_else(|| Failure::new(FailureKind::Internal, "the bottle's record does not name its proxy"))?;
    let ssh = format!("{}/.ssh", task.home);
    let (mut config, mut known_hosts) = (String::new(), String::new());
    for entry in entries {
        let strict = if entry.known_host_key.is_some() { "yes" } else { "accept-new" };
        // Writing to a String cannot fail.
        write!(
            config,
            "Host {}\n  HostName {}\n  User {}\n  Port {}\n  IdentityAgent {PUBLIC_SOCKET}\n  \
             StrictHostKeyChecking {strict}\n  ProxyCommand socat - PROXY:{address}:%h:%p,proxyport={port}\n",
            hosts(entry),
            entry.hostname,
            entry.user,
            entry.port,
        )
        .ok();
        if let Some(key) = &entry.known_host_key {
            writeln!(known_hosts, "{}", known_host(entry, key)?).ok();
        }
    }
    files.dir(&ssh, 0o700);
    files.file(format!("{ssh}/config"), 0o600, config);
    files.file(format!("{ssh}/known_hosts"), 0o600, known_hosts);
    Ok(())
}

/// Returns the variable by which `ssh-add` and git's signing find the keys. One of the manifest's own wins.
pub(super) fn variable(spec: &Spec) -> Option<(&'static str, &'static str)> {
    const NAME: &str = "SSH_AUTH_SOCK";
    let is_set = spec.bottle.env.iter().any(|variable| variable.name == NAME);
    (!spec.bottle.ssh.is_empty() && !is_set).then_some((NAME, PUBLIC_SOCKET))
}

/// Starts the ssh-agent and its bridge, and gives it the keys.
pub(super) async fn start(guest: &impl Guest, task: &Task<'_>) -> Result<()> {
    let entries = &task.spec.bottle.ssh;
    if entries.is_empty() {
        return Ok(());
    }
    let mut input = Zeroizing::new(Vec::new());
    let mut seen = Vec::new();
    for entry in entries.iter().filter(|entry| {
        let new = !seen.contains(&&entry.identity_file);
        seen.push(&entry.identity_file);
        new
    }) {
        let key = read_key(entry)?;
        input.extend(key.iter().filter(|byte| **byte != b'\r'));
        input.push(b'\n');
    }
    let arguments = vec![AGENT_SOCKET.to_owned(), PUBLIC_SOCKET.to_owned()];
    let action = "start the ssh agent";
    guest.run(Script { action, text: START, arguments, input, root: true }).await.map(drop)
}

/// Returns the names an entry is for: its alias and its host's real name.
fn hosts(entry: &SshEntry) -> String {
    if entry.host == entry.hostname {
        entry.host.clone()
    } else {
        format!("{} {}", entry.host, entry.hostname)
    }
}

/// Returns the line of `known_hosts`; the key may come with or without names before it.
fn known_host(entry: &SshEntry, key: &str) -> Result<String> {
    let is_type = |word: &&str| ["ssh-", "ecdsa-", "sk-"].iter().any(|begin| word.starts_with(begin));
    let words: Vec<_> = key.split_whitespace().skip_while(|word| !is_type(word)).take(2).collect();
    if words.len() != 2 || key.contains(['\n', '\r', '@']) {
        let message = format!("the KnownHostKey of ssh host `{}` is no public key", entry.host);
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint(format!("ssh-keyscan -p {} {}", entry.port, entry.hostname)));
    }
    let port = if entry.port == 22 { String::new() } else { format!(":{}", entry.port) };
    let name = if port.is_empty() { entry.hostname.clone() } else { format!("[{}]{port}", entry.hostname) };
    Ok(format!("{name} {}", words.join(" ")))
}

/// Refuses what would mean something else in ssh's settings than one word.
fn check_words(entry: &SshEntry) -> Result<()> {
    let words = [("Host", &entry.host), ("Hostname", &entry.hostname), ("User", &entry.user)];
    for (what, word) in words {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
        if word.is_empty() || word.starts_with('-') || !word.bytes().all(plain) {
            let message =
                format!("{what} of an ssh host is `{}`, which is no plain word", word.escape_debug());
            return Err(Failure::new(FailureKind::Invalid, message));
        }
    }
    entry.known_host_key.as_ref().map_or(Ok(()), |key| known_host(entry, key).map(drop))
}

fn read_key(entry: &SshEntry) -> Result<Zeroizing<Vec<u8>>> {
    let path = &entry.identity_file;
    let read = || -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.len() > MAX_KEY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too large for a key"));
        }
        fs::read(path)
    };
    let key = read().failure(FailureKind::Missing, || {
        format!("read the key `{}` of ssh host `{}`", path.display(), entry.host)
    })?;
    Ok(Zeroizing::new(key))
}

/// Says whether it is a private key without a passphrase.
fn is_open(key: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(key) else { return false };
    let mut lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    match lines.next() {
        Some("-----BEGIN OPENSSH PRIVATE KEY-----") => {
            lines.next().is_some_and(|line| line.starts_with(OPEN_KEY))
        }
        Some("-----BEGIN ENCRYPTED PRIVATE KEY-----") => false,
        Some(line) if line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----") => {
            !text.contains("ENCRYPTED")
        }
        _ => false,
    }
}
