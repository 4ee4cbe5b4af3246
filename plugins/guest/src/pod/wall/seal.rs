//! What the namespaces of a wall allow is given up, and the call filter of a bottle is loaded.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use seccompiler::{apply_filter, sock_filter};

use crate::error::StepExt;
use crate::{GuestError, seccomp};

/// The ports of names and of what is caught are below 1024. It is process 1's alone: no program that another user than root runs
/// gets a capability. <https://man7.org/linux/man-pages/man7/capabilities.7.html>
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// Gives up all that is not needed, for this process and all that it starts.
///
/// # Errors
/// Fails when anything would stay.
pub(crate) fn seal() -> Result<(), GuestError> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: none };
    set_capabilities(None, sets).step(|| "give up the capabilities of the namespace")?;
    set_no_new_privs(true).step(|| "give up new privileges")?;
    let program: Vec<_> = seccomp::filter()?.chunks_exact(8).map(instruction).collect();
    apply_filter(&program).map_err(io::Error::other).step(|| "load the call filter")
}

/// Reads a `struct sock_filter`.
fn instruction(bytes: &[u8]) -> sock_filter {
    let [a, b, jt, jf, c, d, e, f] = <[u8; 8]>::try_from(bytes).unwrap_or_default();
    sock_filter { code: u16::from_ne_bytes([a, b]), jt, jf, k: u32::from_ne_bytes([c, d, e, f]) }
}
