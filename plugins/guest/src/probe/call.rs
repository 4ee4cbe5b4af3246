//! System calls that are to be refused. Each is made by a process of its own, since one that succeeds changes it.

use std::process::Command;

use rustix::mount::{MountFlags, mount};
use rustix::net::{AddressFamily, Protocol, RawProtocol, SocketFlags, SocketType, socket_with};
use rustix::thread::UnshareFlags;

use super::{Finding, Request};
use crate::lead::SELF;

/// A call by the name of what it would give, and the call.
type Call = (&'static str, fn() -> rustix::io::Result<()>);

const CALLS: [Call; 14] = [
    ("a user namespace", || unshare(UnshareFlags::NEWUSER)),
    ("a mount namespace", || unshare(UnshareFlags::NEWNS)),
    ("a network namespace", || unshare(UnshareFlags::NEWNET)),
    ("a process namespace", || unshare(UnshareFlags::NEWPID)),
    ("a mount", || mount("tmpfs", "/tmp", "tmpfs", MountFlags::empty(), None)),
    ("another root", || rustix::process::chroot("/tmp")),
    // <https://www.iana.org/assignments/protocol-numbers>, and linux/socket.h for the families.
    ("a raw socket", || socket(2, SocketType::RAW, 1)),
    ("a raw socket of IPv6", || socket(10, SocketType::RAW, 58)),
    ("a packet socket", || socket(17, SocketType::RAW, 0)),
    ("a socket to the virtual machine's host (AF_VSOCK)", || socket(40, SocketType::STREAM, 0)),
    ("a socket of the kernel's cryptography (AF_ALG)", || socket(38, SocketType::SEQPACKET, 0)),
    ("a socket of MPTCP", || socket(2, SocketType::STREAM, 262)),
    ("a netlink socket of the audit", || socket(16, SocketType::RAW, 9)),
    ("a socket of Bluetooth", || socket(31, SocketType::RAW, 1)),
];

/// Each call of the list is refused, and the machine's key rings are not shown.
pub(super) fn calls(_request: &Request) -> Finding {
    let mut finding = Finding::new("calls");
    for (index, (name, _)) in CALLS.iter().enumerate() {
        let ended = Command::new(SELF).args(["probe", "call", &index.to_string()]).status();
        finding.note(match ended.map(|status| status.code()) {
            Ok(Some(1)) => None,
            Ok(Some(0)) => Some(format!("it can have {name}")),
            Ok(code) => Some(format!("the try for {name} ended with {code:?}")),
            Err(error) => Some(format!("the try for {name} could not be made: {error}")),
        });
    }
    let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
    finding.note((!keys.is_empty()).then(|| "it sees key rings (/proc/keys)".to_owned()));
    finding
}

/// Makes one call of the list. The exit code says what came of it: 0 for one that succeeded, 1 for one that was refused.
pub fn run(index: &std::ffi::OsStr) -> u8 {
    let call = index.to_str().and_then(|index| CALLS.get(index.parse::<usize>().ok()?));
    match call.map(|(_, call)| call()) {
        Some(Ok(())) => 0,
        Some(Err(_)) => 1,
        None => 2,
    }
}

#[expect(deprecated, reason = "its replacement is unsafe because of another flag, FILES")]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(flags)
}

fn socket(family: u16, kind: SocketType, protocol: u32) -> rustix::io::Result<()> {
    let protocol = RawProtocol::new(protocol).map(Protocol::from_raw);
    socket_with(AddressFamily::from_raw(family), kind, SocketFlags::CLOEXEC, protocol).map(drop)
}
