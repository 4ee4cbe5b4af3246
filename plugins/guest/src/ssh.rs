//! The bottle's ssh-agent in a container: root runs it, so that the agent's user can use the keys and never read them.
//!
//! ssh-agent talks to its own user and root alone, so a bridge of root's hands requests on. The agent's user cannot trace
//! root's processes, and nothing inside gives it root's rights.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::process::{setsid, umask};
use zeroize::Zeroizing;

use crate::GuestError;
use crate::container::init::leave_streams;
use crate::error::StepExt;
use crate::lead::SELF;
use crate::relay::{self, Entrance, Opening};

/// Starts ssh-agent at `agent`, gives it the keys that standard input holds, one text after the other, and leaves a bridge for
/// everyone at `public`.
///
/// # Errors
/// Fails when a program is missing or takes no key.
pub fn run(agent: &OsStr, public: &OsStr) -> Result<u8, GuestError> {
    umask(Mode::from_raw_mode(0o077));
    // `-P none`: no library is ever loaded on anybody's request (CVE-2023-38408).
    let mut ssh_agent = Command::new("ssh-agent");
    ssh_agent.args(["-P", "none", "-a"]).arg(agent).stdin(Stdio::null()).stdout(Stdio::null());
    finish("ssh-agent", &mut ssh_agent, b"")?;
    let mut keys = Zeroizing::new(String::new());
    io::stdin().lock().read_to_string(&mut keys).step(|| "read the keys")?;
    for key in texts(&keys) {
        let mut add = Command::new("ssh-add");
        add.args(["-q", "-"])
            .env("SSH_AUTH_SOCK", agent)
            .env("SSH_ASKPASS_REQUIRE", "never")
            .stdin(Stdio::piped());
        finish("ssh-add", &mut add, key.as_bytes())?;
    }
    umask(Mode::from_raw_mode(0o111));
    let listener = UnixListener::bind(public).step(|| format!("listen at `{}`", public.to_string_lossy()))?;
    let mut bridge = Command::new(SELF);
    bridge.arg("bridge").arg(agent).stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    bridge.env_clear().spawn().step(|| "start the bridge")?;
    Ok(0)
}

/// Serves the socket that is standard input for as long as the bottle runs.
///
/// # Errors
/// Fails when standard input is not a listening socket.
pub fn bridge(agent: &OsStr) -> Result<u8, GuestError> {
    setsid().ok();
    // It was started by its link in `/proc`, whose name says nothing.
    rustix::thread::set_name(c"ssh-bridge").ok();
    leave_streams()?;
    let listener =
        rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).step(|| "take the socket over")?;
    let entrance = Entrance::new(listener, Path::new(agent), Opening::Plain).step(|| "use the socket")?;
    relay::run(vec![entrance], None);
    Ok(0)
}

/// Runs a program to its end with this as its input.
fn finish(program: &'static str, command: &mut Command, input: &[u8]) -> Result<(), GuestError> {
    let failed = |source| GuestError::RunProgram { program: program.to_owned(), source };
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading everything says why by its exit code.
        stdin.write_all(input).ok();
    }
    match child.wait().map_err(failed)? {
        status if status.success() => Ok(()),
        status => Err(GuestError::EndProgram { program, status }),
    }
}

/// Takes the texts of keys apart: each ends with a line of its own.
fn texts(keys: &str) -> impl Iterator<Item = &str> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let end = rest.find("-----END")?;
        let length = rest[end..].find('\n').map_or(rest.len(), |line| end + line + 1);
        let (key, others) = rest.split_at(length);
        rest = others;
        Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_text_of_its_own() {
        let key = |n| format!("-----BEGIN X-----\n{n}\n-----END X-----\n");
        let all = [key(1), key(2)].concat();
        assert_eq!(texts(&all).collect::<Vec<_>>(), [key(1), key(2)]);
        assert_eq!(texts(all.trim_end()).last(), Some(key(2).trim_end()));
        assert_eq!(texts("").count(), 0);
    }
}
