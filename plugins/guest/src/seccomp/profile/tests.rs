//! The profile, decided as libseccomp decides it, beside the filter.

use super::super::assemble::{ALLOW, ERRNO as REFUSED};
use super::super::tests::{BOTH, call};
use super::super::{EPERM, calls};
use super::*;

/// Calls that no kernel of today has behind their numbers.
const UNMADE: [&str; 6] = ["afs_syscall", "getpmsg", "putpmsg", "security", "tuxcall", "vserver"];

/// Returns what the profile says to a call by name, as the filter says it.
fn answer(profile: &Profile, name: &str, arguments: [u64; 3]) -> u32 {
    let fits = |condition: &Condition| {
        assert_eq!(condition.op, "SCMP_CMP_MASKED_EQ");
        arguments[condition.index as usize] & u64::from(condition.mask) == u64::from(condition.bits)
    };
    let rules = || profile.syscalls.iter().filter(|rule| rule.names.contains(&name));
    let held: Vec<_> = rules().filter(|rule| rule.args.iter().all(fits)).collect();
    assert!(held.len() <= 1, "{name} {arguments:x?}: {held:?}");
    match held.first() {
        Some(rule) => rule.errno_ret.map_or(ALLOW, |errno| REFUSED | errno),
        None => REFUSED | EPERM,
    }
}

/// Returns names and numbers of this machine's calls, by its headers.
fn header() -> Vec<(String, u32)> {
    let path = match std::env::consts::ARCH {
        "x86_64" => "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        _ => "/usr/include/asm-generic/unistd.h",
    };
    let text = std::fs::read_to_string(path).expect("the kernel's headers come with the C compiler");
    let call = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(call).collect()
}

#[test]
fn each_call_of_this_machine_is_answered_as_the_filter_answers_it() {
    let arch = Arch::named(std::env::consts::ARCH).unwrap();
    let profile = document(arch);
    for (name, number) in header().into_iter().filter(|(name, _)| !UNMADE.contains(&name.as_str())) {
        for arguments in arguments_for(&name) {
            let [a, b, c] = arguments;
            let said = answer(&profile, &name, arguments);
            let expected = call(arch, number, [a, b, c, 0, 0, 0]);
            if name == "socketpair" && expected == ALLOW {
                // The kernel makes a pair of no other family that the filter lets through.
                assert_eq!(said == ALLOW, a as u32 == PAIRED, "{name} {arguments:x?}");
            } else if name == "socketpair" {
                assert_ne!(said, ALLOW, "{name} {arguments:x?}");
            } else {
                assert_eq!(said, expected, "{name} {arguments:x?}");
            }
        }
    }
}

/// Returns the arguments that make a difference to a call, and their neighbours, with and without an upper half.
fn arguments_for(name: &str) -> Vec<[u64; 3]> {
    let (first, second, third): (&[u32], &[u32], &[u32]) = match name {
        "socket" | "socketpair" => (
            &[0, 1, 2, 3, 8, 10, 11, 16, 17, 38, 40, 45, u32::MAX],
            &[0, 1, 2, 3, 4, 5, 6, 10, 15, 0x80801, 0x80803],
            &[0, 1, 2, 6, 9, 17, 58, 59, 115, 132, 136, 256, 262, u32::MAX],
        ),
        "clone" => (&[0, 0x11, 0x1000_0011, 0x0200_0011, 0x2_0011, u32::MAX], &[0], &[0]),
        "personality" => (&[0, 1, 8, 0x2_0000, 0x2_0008, 0x0040_0000, u32::MAX], &[0], &[0]),
        "ioctl" => {
            const REQUESTS: &[u32] = &[
                0x5411,
                0x5412,
                0x5413,
                0x541b,
                0x541c,
                0x541d,
                0x541e,
                0x5422,
                0x5423,
                0x5424,
                0x8000_5412,
            ];
            (&[0], REQUESTS, &[0])
        }
        _ => (&[0], &[0], &[0]),
    };
    let wide = |low: u64| 0xdead_beef_0000_0000 | low;
    let mut arguments = Vec::new();
    for (a, b) in first.iter().flat_map(|a| second.iter().map(move |b| (*a, *b))) {
        for c in third {
            let plain = [a, b, *c].map(u64::from);
            arguments.extend([plain, plain.map(wide)]);
        }
    }
    arguments
}

#[test]
fn no_name_is_both_allowed_and_refused() {
    for (name, ..) in calls::REFUSED {
        assert!(!names::ALLOWED.contains(name), "{name}");
    }
    assert!(names::ALLOWED.is_sorted());
    for name in ["socket", "socketpair", "clone", "clone3", "ioctl", "personality"] {
        assert!(!names::ALLOWED.contains(&name), "{name}");
    }
}

#[test]
fn patterns_fit_each_other_value_once() {
    let check = |within: u32, named: &[u32]| {
        let patterns = all_but(within, named);
        for value in 0..=0xffff_u32 {
            let value = value & within;
            let fitting = patterns.iter().filter(|(mask, bits)| value & mask == *bits).count();
            assert_eq!(fitting, usize::from(!named.contains(&value)), "{within:#x} {named:?} {value:#x}");
        }
    };
    check(u32::MAX, &[0]);
    check(u32::MAX, &[1, 2, 10, 16]);
    check(u32::MAX, &TERMINAL_REQUESTS);
    check(KIND_MASK, &[1, 2, 3]);
}

#[test]
fn an_engine_says_its_architecture_in_other_words() {
    for arch in BOTH {
        assert_eq!(document(arch).default_action, "SCMP_ACT_ERRNO");
    }
    assert_eq!(profile("amd64"), profile("x86_64"));
    assert_eq!(profile("arm64"), profile("aarch64"));
    assert!(profile("arm64").unwrap().contains("SCMP_ARCH_AARCH64"));
    assert_eq!(profile("riscv64"), None);
}
