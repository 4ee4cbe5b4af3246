//! The text of ssh's settings and of its known hosts.

use std::fmt::Write;
use std::net::Ipv6Addr;

use claude_bottle_plugin_api::{Failure, FailureKind, Result, SshEntry};

use super::{PublicName, Way};

/// Refuses what would mean something else in ssh's settings than one name.
pub(super) fn check_words(entry: &SshEntry) -> Result<()> {
    let hostname = host_name(entry);
    let is_address = hostname.parse::<Ipv6Addr>().is_ok();
    let words = [
        ("Host", entry.host.as_str(), false),
        ("Hostname", hostname, is_address),
        ("User", &entry.user, false),
    ];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    for (what, word, is_known_good) in words {
        if is_known_good || !word.is_empty() && !word.starts_with('-') && word.bytes().all(plain) {
            continue;
        }
        let message = format!(
            "the {what} `{}` of an ssh host has characters that are not allowed there",
            word.escape_debug()
        );
        return Err(
            Failure::new(FailureKind::Invalid, message).hint("use letters, digits, `.`, `_`, `-` and `+`")
        );
    }
    entry.known_host_key.as_ref().map_or(Ok(()), |key| known_host(entry, key).map(drop))
}

/// Returns the settings, one block a host. With a public key known, that key alone is offered to the host.
pub(super) fn client(entries: &[SshEntry], way: Way<'_>, keys: &[Option<PublicName>]) -> String {
    let mut text = String::new();
    for (entry, key) in entries.iter().zip(keys) {
        let strict = if entry.known_host_key.is_some() { "yes" } else { "accept-new" };
        let (name, agent) = (host_name(entry), way.agent_socket);
        // Writing to a String cannot fail.
        write!(
            text,
            "Host {}\n  HostName {name}\n  User {}\n  Port {}\n  IdentityAgent {agent}\n",
            patterns(entry),
            entry.user,
            entry.port,
        )
        .ok();
        if let Some(key) = key {
            write!(text, "  IdentityFile ~/.ssh/{}\n  IdentitiesOnly yes\n", key.file).ok();
        }
        let command = (way.proxy_command)(name);
        write!(text, "  StrictHostKeyChecking {strict}\n  ProxyCommand {command}\n\n").ok();
    }
    text
}

/// Returns the known hosts, a line an entry that names a key.
pub(super) fn known_hosts(entries: &[SshEntry]) -> Result<String> {
    let with_key = entries.iter().filter_map(|entry| Some((entry, entry.known_host_key.as_deref()?)));
    with_key.map(|(entry, key)| known_host(entry, key)).collect()
}

/// Returns the real name as ssh takes it: an address of IPv6 without brackets.
fn host_name(entry: &SshEntry) -> &str {
    let bare = entry.hostname.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(&entry.hostname)
}

/// Returns the names an entry is for: its alias and its host's real name.
fn patterns(entry: &SshEntry) -> String {
    match host_name(entry) {
        name if name == entry.host => name.to_owned(),
        name => format!("{} {name}", entry.host),
    }
}

/// Returns the line of a key, which may come with or without names before it.
fn known_host(entry: &SshEntry, key: &str) -> Result<String> {
    let is_type = |word: &&str| ["ssh-", "ecdsa-", "sk-"].iter().any(|begin| word.starts_with(begin));
    let words: Vec<_> = key.split_whitespace().skip_while(|word| !is_type(word)).take(2).collect();
    let name = host_name(entry);
    if words.len() != 2 || key.contains(char::is_control) || key.starts_with('@') {
        let message =
            format!("the KnownHostKey of ssh host `{}` is not a public key", entry.host.escape_debug());
        return Err(Failure::new(FailureKind::Invalid, message).hint(format!(
            "ssh-keyscan -p {} {}",
            entry.port,
            name.escape_debug()
        )));
    }
    let name = match entry.port {
        22 => name.to_owned(),
        port => format!("[{name}]:{port}"),
    };
    Ok(format!("{name} {}\n", words.join(" ")))
}
