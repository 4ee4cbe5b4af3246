//! SSH hosts of a bottle: which words and keys are accepted, and the client's files inside. One rule for every backend.
//!
//! A backend serves the keys by an agent that the bottle can use and not read. What it writes into the bottle is here:
//! public keys and settings, so that each host gets its own key, however many the agent holds.

mod config;
mod key;

use std::path::Path;

use claude_bottle_plugin_api::{Result, SshEntry};
use zeroize::Zeroizing;

use key::Key;

/// How a client in the bottle finds the keys and the way out.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    /// The agent's socket inside.
    pub agent_socket: &'a str,
    /// The command that opens a connection to a host, given as ssh writes it (an address of IPv6 without brackets), and its
    /// port `%p`.
    pub proxy_command: &'a dyn Fn(&str) -> String,
}

/// A file below `~/.ssh`, owned by the bottle's user, mode 600.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
}

/// Checks words and keys before anything is made.
///
/// # Errors
/// Fails on a word that means more than a name in ssh's settings, on a key that cannot be read, has a passphrase or is not a
/// private key, and on a key whose public part cannot be told where several are granted.
pub fn check(entries: &[SshEntry]) -> Result<()> {
    entries.iter().try_for_each(config::check_words)?;
    public_names(entries).map(drop)
}

/// A private key without a passphrase, wiped from memory when dropped.
pub struct PrivateKey<'a> {
    /// Where it is on the host.
    pub path: &'a Path,
    /// Its text, as ssh-add takes it, in less than 64 KiB.
    pub text: Zeroizing<Vec<u8>>,
}

/// Reads each private key once, with the line ends that every version of ssh takes.
///
/// # Errors
/// Fails when one cannot be used.
pub fn private_keys(entries: &[SshEntry]) -> Result<Vec<PrivateKey<'_>>> {
    let read = |entry: &'_ SshEntry| Key::read(entry).map(Key::into_text);
    let keys = distinct(entries).into_iter();
    keys.map(|entry| Ok(PrivateKey { path: &entry.identity_file, text: read(entry)? })).collect()
}

/// Returns the client's files: settings, known hosts, and the public part of each key.
///
/// # Errors
/// Fails when a key cannot be used, or a host key is not one.
pub fn client_files(entries: &[SshEntry], way: Way<'_>) -> Result<Vec<ClientFile>> {
    let names = public_names(entries)?;
    let mut files = vec![
        ClientFile { name: "config".to_owned(), content: config::client(entries, way, &names) },
        ClientFile { name: "known_hosts".to_owned(), content: config::known_hosts(entries)? },
    ];
    for name in names.into_iter().flatten() {
        if !files.iter().any(|file| file.name == name.file) {
            files.push(ClientFile { name: name.file, content: format!("{}\n", name.public) });
        }
    }
    Ok(files)
}

/// The public part of a key and the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PublicName {
    file: String,
    public: String,
}

/// Returns the public key of each entry; `None` where it cannot be told and does not matter, since there is one key alone.
fn public_names(entries: &[SshEntry]) -> Result<Vec<Option<PublicName>>> {
    let keys = distinct(entries);
    let is_only = keys.len() < 2;
    let mut publics = Vec::new();
    for entry in &keys {
        let key = Key::read(entry)?;
        let public = key.public_of(entry);
        if public.is_none() && !is_only {
            return Err(key::unknown_public(entry));
        }
        publics.push(public);
    }
    let of = |entry: &SshEntry| {
        let index = keys.iter().position(|known| known.identity_file == entry.identity_file)?;
        let public = publics.get(index)?.clone()?;
        Some(PublicName { file: format!("claude-bottle-{}.pub", index + 1), public })
    };
    Ok(entries.iter().map(of).collect())
}

/// Returns the first entry of each key.
fn distinct(entries: &[SshEntry]) -> Vec<&SshEntry> {
    let mut found: Vec<&SshEntry> = Vec::new();
    for entry in entries {
        if !found.iter().any(|known| known.identity_file == entry.identity_file) {
            found.push(entry);
        }
    }
    found
}

#[cfg(test)]
mod tests;
