//! The system call filter of a bottle, as classic BPF for `bwrap --add-seccomp-fd`.
//!
//! Everything is allowed but what the list in `table` names and what the rules here refuse; a number above
//! the newest one known is refused with `ENOSYS`, so that neither a later kernel nor the x32 call numbers open
//! anything. Another architecture's call (a 32-bit program's) kills the process. What is refused follows the
//! default profile of moby for a container without capabilities, which is what programs are used to:
//! <https://github.com/moby/profiles/blob/main/seccomp/default_linux.go>. Beyond it the filter refuses `io_uring`,
//! `userfaultfd`, key rings, every way to new namespaces, terminal injection and all sockets but those of
//! [`sockets`]. `ptrace` is allowed: an agent debugs its own programs, and process 1 is not traceable.
//!
//! Invariant: what is refused is said once, in the public tables here, in [`calls`] and in [`sockets`]. A backend whose
//! engine takes a profile makes it from them, so that it is no wider than this filter.

mod assemble;
pub mod calls;
mod profile;
pub mod sockets;

pub use profile::profile;

use assemble::{Assembler, Instruction};
use calls::Arch;
use sockets::{KIND_MASK, RAW, Sockets};

use crate::GuestError;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EPROTONOSUPPORT: u32 = 93;
const ESOCKTNOSUPPORT: u32 = 94;
const EAFNOSUPPORT: u32 = 97;

/// Namespaces a `clone` may ask for, all refused: `CLONE_NEWNS`, cgroup, uts, ipc, user, pid and net.
pub const NAMESPACES: u32 = 0x7e02_0000;

/// `ioctl` requests that put input into a terminal or take it over: `TIOCSTI`, `TIOCLINUX`, `TIOCCONS`, `TIOCSETD`.
pub const TERMINAL_REQUESTS: [u32; 4] = [0x5412, 0x541c, 0x541d, 0x5423];

/// What `personality` may be asked: Linux with or without short inodes, 32-bit names, and "what is it".
pub const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];

/// Returns the filter for the machine this runs on, as the bytes of an array of `struct sock_filter`.
///
/// # Errors
/// Fails on an architecture there is no table for; a bottle is then not made.
pub fn filter() -> Result<Vec<u8>, GuestError> {
    let arch = std::env::consts::ARCH;
    let arch = Arch::named(arch).ok_or(GuestError::BuildFilter { arch })?;
    Ok(program(arch).iter().flat_map(Instruction::bytes).collect())
}

fn program(arch: Arch) -> Vec<Instruction> {
    let mut filter = Assembler::default();
    filter.unless_architecture_kill(arch.audit());
    filter.above_errno(calls::NEWEST, ENOSYS);
    for number in arch.refused() {
        filter.call_errno(number, EPERM);
    }
    // glibc falls back to `clone`, whose flags can be looked at.
    filter.call_errno(calls::CLONE3, ENOSYS);
    filter.call(arch.clone(), |rule| {
        rule.load_argument(0);
        rule.any_bit_errno(NAMESPACES, EPERM);
    });
    filter.call(arch.ioctl(), |rule| {
        // Only the lower half counts, as it does for the kernel (CVE-2019-10063).
        rule.load_argument(1);
        TERMINAL_REQUESTS.iter().for_each(|request| rule.equal_errno(*request, EPERM));
    });
    filter.call(arch.personality(), |rule| {
        rule.load_argument(0);
        PERSONALITIES.iter().for_each(|persona| rule.equal_allow(*persona));
        rule.errno(EPERM);
    });
    // One family (TIPC) makes pairs too.
    for number in [arch.socket(), arch.socketpair()] {
        filter.call(number, |rule| {
            rule.load_argument(0);
            sockets::ALLOWED.iter().for_each(|sockets| allow_sockets(rule, sockets));
            rule.errno(EAFNOSUPPORT);
        });
    }
    filter.finish()
}

fn allow_sockets(rule: &mut Assembler, sockets: &Sockets) {
    rule.when_equal(sockets.family, |rule| {
        if let Some(kinds) = sockets.kinds {
            rule.load_argument(1);
            rule.mask(KIND_MASK);
            if !kinds.contains(&RAW) {
                // What the kernel says to a program without the privilege.
                rule.equal_errno(RAW, EPERM);
            }
            rule.unless_one_of_errno(kinds, ESOCKTNOSUPPORT);
        }
        if let Some(protocols) = sockets.protocols {
            rule.load_argument(2);
            // By this answer, and no other, Go takes plain TCP in place of MPTCP.
            rule.unless_one_of_errno(protocols, EPROTONOSUPPORT);
        }
    });
}

#[cfg(test)]
mod tests;
