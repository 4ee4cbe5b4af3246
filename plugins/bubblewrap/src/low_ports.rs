//! Opens the low ports of a bottle's loopback to its programs, as engines do for containers: names are asked for on port 53, and
//! what is caught arrives on 443 and 80.
//!
//! `bwrap` gives process 1 no right over the bottle's own network namespace, not even when it is asked for capabilities: it has moved
//! on to another user namespace by then. The namespace belongs to the user who started it, though, so this process may
//! write its settings once it has hold of them: <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>, "Capabilities".

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use bottle_guest::protocol::{Reply, Request};
use claude_bottle_directory::RunDir;
use claude_bottle_door as door;
use claude_bottle_plugin_api::{Call, ErrorExt, FailureKind, Result};
use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};

/// Opens them. Nothing of the agent's runs yet.
pub(crate) fn open(call: &Call, dir: &RunDir, name: &str) -> Result<()> {
    let stream = door::send_request(&dir.path, name, &Request::LowPorts, &[])?;
    let setting = match door::answer(call, &stream)? {
        Some((Reply::Ready, fds)) => fds.into_iter().next(),
        _ => None,
    };
    let written = setting.map_or_else(|| Err(io::ErrorKind::NotFound.into()), |setting| write(&setting));
    written.failure(FailureKind::Internal, || "cannot open the low ports of the bottle's loopback")
}

fn write(setting: &OwnedFd) -> io::Result<()> {
    if fstatfs(setting)?.f_type != PROC_SUPER_MAGIC {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // It was handed out unopened.
    let mut file = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", setting.as_raw_fd()))?;
    file.write_all(b"0")
}
