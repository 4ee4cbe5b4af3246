//! The same rules as a profile of an OCI engine, for backends that do not load a filter themselves.
//!
//! A profile names calls, which the engine's libseccomp turns into numbers. It allows by name and refuses the rest, so that a
//! name which the engine does not know stays refused; runc answers `ENOSYS` for calls newer than all names it knows.
//! A rule of a profile decides by values that it names, so "all others" is said by patterns of bits.
//! <https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config-linux.md#seccomp>

mod names;

use serde::Serialize;

use super::calls::Arch;
use super::sockets::{self, KIND_MASK, RAW, Sockets};
use super::{EAFNOSUPPORT, ENOSYS, EPROTONOSUPPORT, ESOCKTNOSUPPORT};
use super::{NAMESPACES, PERSONALITIES, TERMINAL_REQUESTS};

const ERRNO: &str = "SCMP_ACT_ERRNO";

/// `AF_UNIX`, the one family whose sockets come in pairs.
const PAIRED: u32 = 1;

/// A profile for one architecture. What no rule allows is refused with `EPERM`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: &'static str,
    architectures: [&'static str; 1],
    syscalls: Vec<Rule>,
}

/// What is done with calls of these names when all conditions hold.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<&'static str>,
    action: &'static str,
    /// The error, for a rule that refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    args: Vec<Condition>,
}

/// Bits of an argument, and what they are. The upper half is never among them: the kernel does not look at it either.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    #[serde(rename = "value")]
    mask: u32,
    #[serde(rename = "valueTwo")]
    bits: u32,
    op: &'static str,
}

/// Returns the profile as JSON, or `None` for an architecture without a table.
///
/// The architecture is the engine's, which may run on another machine, in the engine's words or in Rust's.
#[must_use]
pub fn profile(arch: &str) -> Option<String> {
    let arch = match arch {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    };
    serde_json::to_string(&document(Arch::named(arch)?)).ok()
}

fn document(arch: Arch) -> Profile {
    let architecture = match arch {
        Arch::X86 => "SCMP_ARCH_X86_64",
        Arch::Arm => "SCMP_ARCH_AARCH64",
    };
    let mut syscalls = vec![Rule { names: names::ALLOWED.to_vec(), ..allow("", Vec::new()) }];
    // The C library falls back to `clone`, whose flags can be looked at.
    syscalls.push(refuse("clone3", ENOSYS, Vec::new()));
    syscalls.push(allow("clone", vec![masked(0, (NAMESPACES, 0))]));
    let requests = all_but(u32::MAX, &TERMINAL_REQUESTS).into_iter();
    syscalls.extend(requests.map(|bits| allow("ioctl", vec![masked(1, bits)])));
    syscalls.extend(PERSONALITIES.map(|persona| allow("personality", vec![equal(0, persona)])));
    syscalls.extend(sockets::ALLOWED.iter().flat_map(family));
    syscalls.push(allow("socketpair", vec![equal(0, PAIRED)]));
    let families = sockets::ALLOWED.map(|sockets| sockets.family);
    for (call, families) in [("socket", &families[..]), ("socketpair", &[PAIRED])] {
        let rest = all_but(u32::MAX, families).into_iter();
        syscalls.extend(rest.map(|bits| refuse(call, EAFNOSUPPORT, vec![masked(0, bits)])));
    }
    Profile { default_action: ERRNO, architectures: [architecture], syscalls }
}

/// Returns the rules about the sockets of one family. All look at the arguments in the same order, and of the rules that
/// look at the same argument one holds: an engine's filter does not come back to a rule that it has gone past.
fn family(sockets: &Sockets) -> Vec<Rule> {
    let is_family = equal(0, sockets.family);
    let Some(kinds) = sockets.kinds else { return vec![allow("socket", vec![is_family])] };
    let mut rules = Vec::new();
    // A raw socket is refused with `EPERM`, as the kernel refuses it.
    let named: Vec<_> = kinds.iter().copied().chain([RAW]).collect();
    let rest = all_but(KIND_MASK, &named).into_iter();
    rules.extend(rest.map(|bits| refuse("socket", ESOCKTNOSUPPORT, vec![is_family, masked(1, bits)])));
    for kind in kinds {
        let is_kind = masked(1, (KIND_MASK, *kind));
        let Some(protocols) = sockets.protocols else {
            rules.push(allow("socket", vec![is_family, is_kind]));
            continue;
        };
        let with = |condition| vec![is_family, is_kind, condition];
        rules.extend(protocols.iter().map(|protocol| allow("socket", with(equal(2, *protocol)))));
        let rest = all_but(u32::MAX, protocols).into_iter();
        rules.extend(rest.map(|bits| refuse("socket", EPROTONOSUPPORT, with(masked(2, bits)))));
    }
    rules
}

fn allow(call: &'static str, args: Vec<Condition>) -> Rule {
    Rule { names: vec![call], action: "SCMP_ACT_ALLOW", errno_ret: None, args }
}

fn refuse(call: &'static str, errno: u32, args: Vec<Condition>) -> Rule {
    Rule { names: vec![call], action: ERRNO, errno_ret: Some(errno), args }
}

fn equal(index: u32, value: u32) -> Condition {
    masked(index, (u32::MAX, value))
}

fn masked(index: u32, (mask, bits): (u32, u32)) -> Condition {
    Condition { index, mask, bits, op: "SCMP_CMP_MASKED_EQ" }
}

/// Returns patterns, as a mask and the bits under it, of which exactly one fits each value but those that are named.
fn all_but(within: u32, named: &[u32]) -> Vec<(u32, u32)> {
    let mut patterns = Vec::new();
    let mut todo = vec![(0, 0, named.to_vec())];
    while let Some((mask, bits, named)) = todo.pop() {
        if named.is_empty() {
            patterns.push((mask, bits));
            continue;
        }
        let left = within & !mask;
        if left == 0 {
            continue;
        }
        let bit = 1 << left.ilog2();
        let (set, clear) = named.into_iter().partition(|value| value & bit != 0);
        todo.extend([(mask | bit, bits, clear), (mask | bit, bits | bit, set)]);
    }
    patterns
}

#[cfg(test)]
mod tests;
