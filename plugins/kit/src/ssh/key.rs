//! A private key of the host: whether it can be used, and what its public part is.

use std::fs;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, SshEntry};
use zeroize::Zeroizing;

/// The longest private key taken; one of 16384 bits has 13 KiB. A pipe holds as much without a reader.
const MAX_KEY: u64 = 64 * 1024 - 2;

/// The first and last line of a key in OpenSSH's format, and what its content begins with:
/// <https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A private key without a passphrase.
pub(super) struct Key {
    text: Zeroizing<Vec<u8>>,
    public: Option<String>,
}

impl Key {
    /// Reads and checks the key of an entry.
    pub(super) fn read(entry: &SshEntry) -> Result<Self> {
        let text = normalise(&read(entry)?);
        let public = match form(&text) {
            Form::Open { public } => public,
            Form::Locked => return Err(refusal(entry, "has a passphrase")),
            Form::Unknown => return Err(refusal(entry, "is not a private key")),
        };
        Ok(Self { text, public })
    }

    /// Returns the text, as ssh-add takes it.
    pub(super) fn into_text(self) -> Zeroizing<Vec<u8>> {
        self.text
    }

    /// Returns the public part as type and base64, from the key or else from the file next to it, as ssh does.
    pub(super) fn public_of(&self, entry: &SshEntry) -> Option<String> {
        self.public.clone().or_else(|| {
            let mut path = entry.identity_file.clone().into_os_string();
            path.push(".pub");
            let text = fs::read_to_string(path).ok()?;
            let mut words = text.split_ascii_whitespace();
            let (kind, key) = (words.next()?, words.next()?);
            let is_key = STANDARD.decode(key).is_ok_and(|blob| first_string(&blob) == Some(kind.as_bytes()));
            is_key.then(|| format!("{kind} {key}"))
        })
    }
}

/// What a key's text is.
enum Form {
    Open { public: Option<String> },
    Locked,
    Unknown,
}

fn form(text: &[u8]) -> Form {
    let Ok(text) = std::str::from_utf8(text) else { return Form::Unknown };
    let mut lines = text.lines().map(str::trim).skip_while(|line| line.is_empty());
    match lines.next() {
        Some(BEGIN) => open_ssh(lines),
        Some("-----BEGIN ENCRYPTED PRIVATE KEY-----") => Form::Locked,
        Some(line) if line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----") => {
            if text.contains("ENCRYPTED") { Form::Locked } else { Form::Open { public: None } }
        }
        _ => Form::Unknown,
    }
}

/// Reads the part of OpenSSH's format that is never encrypted: cipher, and public key.
fn open_ssh<'a>(lines: impl Iterator<Item = &'a str>) -> Form {
    let body = Zeroizing::new(lines.take_while(|line| *line != END).collect::<String>());
    let Ok(bytes) = STANDARD.decode(body.as_bytes()).map(Zeroizing::new) else { return Form::Unknown };
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return Form::Unknown };
    let mut next = || {
        let string = first_string(rest)?;
        rest = &rest[4 + string.len()..];
        Some(string)
    };
    let (Some(cipher), Some(_kdf), Some(_options)) = (next(), next(), next()) else { return Form::Unknown };
    if cipher != b"none" {
        return Form::Locked;
    }
    // The number of keys is always one.
    let public = rest.get(4..).and_then(first_string);
    let named = public.and_then(|blob| Some((std::str::from_utf8(first_string(blob)?).ok()?, blob)));
    Form::Open { public: named.map(|(kind, blob)| format!("{kind} {}", STANDARD.encode(blob))) }
}

/// Returns the string at the beginning: a length of four bytes, and that many bytes (RFC 4251, section 5).
fn first_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

fn read(entry: &SshEntry) -> Result<Zeroizing<Vec<u8>>> {
    let path = &entry.identity_file;
    let read = || -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.len() > MAX_KEY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too large for a key"));
        }
        fs::read(path)
    };
    let key = read().failure(FailureKind::Missing, || {
        format!("cannot read the key `{}` of ssh host `{}`", path.display(), entry.host)
    })?;
    Ok(Zeroizing::new(key))
}

/// Drops carriage returns and ends the last line; ssh-add takes a key without that for damaged.
fn normalise(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(key.len() + 1));
    text.extend(key.iter().filter(|byte| **byte != b'\r'));
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text
}

fn refusal(entry: &SshEntry, why: &str) -> Failure {
    let path = entry.identity_file.display();
    let message = format!("the key `{path}` of ssh host `{}` {why}", entry.host);
    let failure = Failure::new(FailureKind::Invalid, message);
    match why {
        "has a passphrase" => failure.hint(format!(
            "cp '{path}' '{path}.bottle' && ssh-keygen -p -N '' -f '{path}.bottle'   # a copy without one"
        )),
        _ => failure.hint("name the private key, not its .pub file, in OpenSSH or PEM format"),
    }
}

/// With several keys a client has to be told which is for which host.
pub(super) fn unknown_public(entry: &SshEntry) -> Failure {
    let path = entry.identity_file.display();
    let message = format!(
        "the public part of the key `{path}` of ssh host `{}` is not known, and the bottle has several keys",
        entry.host
    );
    Failure::new(FailureKind::Invalid, message)
        .hint(format!("write it next to the key: ssh-keygen -y -f '{path}' > '{path}.pub'"))
}
