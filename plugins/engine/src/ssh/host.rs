//! A machine as `ssh://` names it, and the arguments of the `ssh` that is started for it.

use std::fmt;
use std::path::Path;

/// Where an engine listens on a machine when the address does not say it.
const SOCKET: &str = "/var/run/docker.sock";

/// What every start of `ssh` is given. Whom it trusts, by which key and through which proxy is the user's configuration's to say.
///
/// Invariant: no option here weakens how a host key is checked.
const OPTIONS: [&str; 9] = [
    // There is no terminal for a question.
    "BatchMode=yes",
    "ExitOnForwardFailure=yes",
    // The socket is this user's alone.
    "StreamLocalBindMask=0177",
    // A connection that is dead is known to be within 45 seconds.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ConnectTimeout=10",
    // A connection of its own: one that is shared would keep the socket open when this process is gone.
    "ControlMaster=no",
    "ControlPath=none",
    // At this level ssh reports what is refused later.
    "LogLevel=INFO",
];

/// A machine, a user there, and the engine's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshHost {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
}

impl SshHost {
    /// Reads `[user@]host[:port][/path]`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (authority, path) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password has no place in it");
        }
        if user.is_some_and(|user| !is_word(user, "._-+")) {
            return Err("the user has characters that are not allowed");
        }
        if !is_word(host, "._-:%") {
            return Err("the host is empty or has characters that are not allowed");
        }
        // ssh gives a colon, a percent sign and a dollar sign meanings of their own.
        if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@,=".contains(&byte)) {
            return Err("the path of the socket has characters that are not allowed");
        }
        let path = if path.trim_end_matches('/').is_empty() { SOCKET } else { path };
        Ok(Self { user: user.map(str::to_owned), host: host.to_owned(), port, path: path.to_owned() })
    }

    /// Returns the arguments of an `ssh` that serves the engine's socket at a path here.
    pub(super) fn arguments(&self, here: &Path) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let mut arguments = words(&["-N", "-T", "-a", "-x"]);
        OPTIONS.iter().for_each(|option| arguments.extend(words(&["-o", option])));
        arguments.extend(["-L".to_owned(), format!("{}:{}", here.display(), self.path)]);
        self.user.iter().for_each(|user| arguments.extend(words(&["-l", user])));
        self.port.iter().for_each(|port| arguments.extend(words(&["-p", &port.to_string()])));
        arguments.extend(words(&["--", &self.host]));
        arguments
    }

    /// Returns the command with which a user logs in there.
    pub(super) fn login(&self) -> String {
        let user = self.user.as_ref().map_or_else(String::new, |user| format!("{user}@"));
        let port = self.port.map_or_else(String::new, |port| format!("-p {port} "));
        format!("ssh {port}{user}{}", self.host)
    }

    /// Returns advice for a complaint of `ssh`.
    pub(crate) fn hint(&self, said: &str) -> String {
        super::words::hint(self, said)
    }

    /// Returns where the engine listens there.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, rest) = match place.strip_prefix('[') {
        Some(inner) => inner.split_once(']').ok_or("a bracket is not closed")?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((host, None)),
        Some("") => Ok((host, None)),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Ok((host, Some(port))),
            _ => Err("the port is not a number from 1 to 65535"),
        },
        None => Err("something follows the bracket"),
    }
}

/// Returns `true` if a text is a word that no program takes for an option or for more than a word.
fn is_word(text: &str, more: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char))
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        self.user.iter().try_for_each(|user| write!(f, "{user}@"))?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        self.port.iter().try_for_each(|port| write!(f, ":{port}"))?;
        if self.path == SOCKET { Ok(()) } else { f.write_str(&self.path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_again() {
        let parse = |text: &str| SshHost::parse(text).unwrap();
        for (text, shown) in [
            ("far", "ssh://far"),
            ("far/", "ssh://far"),
            ("me@far:2222/run/x.sock", "ssh://me@far:2222/run/x.sock"),
            ("far:", "ssh://far"),
            ("[::1]:22", "ssh://[::1]:22"),
            ("me@[fe80::1%eth0]", "ssh://me@[fe80::1%eth0]"),
        ] {
            assert_eq!(parse(text).to_string(), shown);
            assert_eq!(parse(shown.trim_start_matches("ssh://")), parse(text));
        }
        assert_eq!(parse("me@far:2222").login(), "ssh -p 2222 me@far");
    }

    #[test]
    fn nothing_that_could_mean_more_than_a_name_is_taken() {
        for (text, why) in [
            ("", "the host"),
            ("-oProxyCommand=x", "the host"),
            ("far;reboot", "the host"),
            ("$(reboot)", "the host"),
            ("far\n", "the host"),
            ("far?x=y", "the host"),
            ("-l@far", "the user"),
            ("a b@far", "the user"),
            ("me:secret@far", "a password"),
            ("far:0", "the port"),
            ("far:99999", "the port"),
            ("far:22:22", "the port"),
            ("[::1", "a bracket"),
            ("[::1]x", "something"),
            ("far/a:b", "the path"),
            ("far/%h", "the path"),
            ("far/${HOME}", "the path"),
        ] {
            let refused = SshHost::parse(text).unwrap_err();
            assert!(refused.starts_with(why), "{text}: {refused}");
        }
    }

    #[test]
    fn ssh_is_told_nothing_about_host_keys_and_takes_the_host_for_no_option() {
        let host = SshHost::parse("me@far:2222/run/x.sock").unwrap();
        let arguments = host.arguments(Path::new("/d/s"));
        let text = arguments.join(" ");
        assert!(text.ends_with("-L /d/s:/run/x.sock -l me -p 2222 -- far"), "{text}");
        for needed in ["BatchMode=yes", "ExitOnForwardFailure=yes", "StreamLocalBindMask=0177"] {
            assert!(text.contains(needed), "{text}");
        }
        let lower = text.to_ascii_lowercase();
        for forbidden in ["stricthostkey", "knownhosts", "nohostauth", "checkhostip", "updatehostkeys", "-f "]
        {
            assert!(!lower.contains(forbidden), "{text}");
        }
    }
}
