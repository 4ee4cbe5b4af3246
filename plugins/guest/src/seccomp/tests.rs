//! The filter, run by a small interpreter over calls as the kernel would present them.

use super::assemble::{ALLOW, AND, ERRNO, JUMP_BITS, JUMP_EQUAL, JUMP_GREATER, KILL_PROCESS, LOAD, RETURN};
use super::*;

/// Runs the filter over one call and returns its verdict.
pub(super) fn verdict(arch: Arch, audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(audit.to_le_bytes());
    data.extend(0u64.to_le_bytes());
    arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
    let program = program(arch);
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let step = program[at];
        at += 1;
        let holds = match step.code {
            LOAD => {
                let offset = step.value as usize;
                accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                continue;
            }
            AND => {
                accumulator &= step.value;
                continue;
            }
            RETURN => return step.value,
            JUMP_EQUAL => accumulator == step.value,
            JUMP_GREATER => accumulator > step.value,
            JUMP_BITS => accumulator & step.value != 0,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += usize::from(if holds { step.if_true } else { step.if_false });
    }
}

pub(super) fn call(arch: Arch, number: u32, arguments: [u64; 6]) -> u32 {
    verdict(arch, arch.audit(), number, arguments)
}

pub(super) const BOTH: [Arch; 2] = [Arch::X86, Arch::Arm];

#[test]
fn every_refused_call_is_refused_and_others_are_not() {
    for arch in BOTH {
        let refused: Vec<u32> = arch.refused().collect();
        for number in 0..=calls::NEWEST {
            let expected = match number {
                number if refused.contains(&number) => ERRNO | EPERM,
                calls::CLONE3 => ERRNO | ENOSYS,
                number if [arch.socket(), arch.socketpair()].contains(&number) => ERRNO | EAFNOSUPPORT,
                _ => ALLOW,
            };
            assert_eq!(call(arch, number, [0; 6]), expected, "{arch:?} {number}");
        }
    }
}

#[test]
fn foreign_and_unknown_calls_are_refused() {
    let i386 = 0x4000_0003;
    assert_eq!(verdict(Arch::X86, i386, 20, [0; 6]), KILL_PROCESS);
    let x32_getpid = 0x4000_0000 + 39;
    assert_eq!(call(Arch::X86, x32_getpid, [0; 6]), ERRNO | ENOSYS);
    for arch in BOTH {
        assert_eq!(call(arch, calls::NEWEST + 1, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(call(arch, u32::MAX, [0; 6]), ERRNO | ENOSYS);
    }
}

#[test]
fn arguments_decide() {
    let wide = |low: u32| 0xdead_beef_0000_0000 | u64::from(low);
    for arch in BOTH {
        let cases: [(u32, [u64; 3], u32); 9] = [
            (arch.clone(), [0x11, 0, 0], ALLOW),
            (arch.clone(), [0x1000_0011, 0, 0], ERRNO | EPERM),
            (arch.clone(), [0x0002_0011, 0, 0], ERRNO | EPERM),
            (arch.ioctl(), [0, 0x5413, 0], ALLOW),
            (arch.ioctl(), [0, 0x5412, 0], ERRNO | EPERM),
            (arch.ioctl(), [0, wide(0x5412), 0], ERRNO | EPERM),
            (arch.ioctl(), [0, 0x541c, 0], ERRNO | EPERM),
            (arch.personality(), [u64::from(u32::MAX), 0, 0], ALLOW),
            (arch.personality(), [0x0040_0000, 0, 0], ERRNO | EPERM),
        ];
        for (number, [a, b, c], expected) in cases {
            assert_eq!(
                call(arch, number, [a, b, c, 0, 0, 0]),
                expected,
                "{arch:?} {number} {a:#x} {b:#x} {c}"
            );
        }
    }
}

#[test]
fn a_socket_is_one_of_the_table() {
    const CLOEXEC_NONBLOCK: u64 = 0x80800;
    let wide = |low: u64| 0xdead_beef_0000_0000 | low;
    let cases: [([u64; 3], u32); 26] = [
        ([1, 1, 0], ALLOW),
        ([1, 5, 0], ALLOW),
        ([2, 1 | CLOEXEC_NONBLOCK, 6], ALLOW),
        ([2, 2, 17], ALLOW),
        ([2, 2, 1], ALLOW),
        ([10, 1, 0], ALLOW),
        ([10, 2, 58], ALLOW),
        ([16, 3, 0], ALLOW),
        ([16, 2 | CLOEXEC_NONBLOCK, 0], ALLOW),
        // MPTCP, SMC, SCTP, DCCP, L2TP, UDP-Lite, and the kinds that stand for some of them.
        ([2, 1, 262], ERRNO | EPROTONOSUPPORT),
        ([10, 1 | CLOEXEC_NONBLOCK, 262], ERRNO | EPROTONOSUPPORT),
        ([wide(2), 1, wide(262)], ERRNO | EPROTONOSUPPORT),
        ([2, 1, 256], ERRNO | EPROTONOSUPPORT),
        ([2, 1, 132], ERRNO | EPROTONOSUPPORT),
        ([2, 2, 115], ERRNO | EPROTONOSUPPORT),
        ([2, 2, 136], ERRNO | EPROTONOSUPPORT),
        ([2, 5, 0], ERRNO | ESOCKTNOSUPPORT),
        ([2, 6, 0], ERRNO | ESOCKTNOSUPPORT),
        // `SOCK_PACKET`, which the kernel takes for the family of packets.
        ([2, 10, 0x300], ERRNO | ESOCKTNOSUPPORT),
        ([2, 3, 1], ERRNO | EPERM),
        ([10, 3 | CLOEXEC_NONBLOCK, 58], ERRNO | EPERM),
        // Netlink other than of routes, AF_VSOCK, AF_ALG, AF_PACKET.
        ([16, 3, 9], ERRNO | EPROTONOSUPPORT),
        ([16, 1, 0], ERRNO | ESOCKTNOSUPPORT),
        ([40, 1, 0], ERRNO | EAFNOSUPPORT),
        ([wide(38), 5, 0], ERRNO | EAFNOSUPPORT),
        ([17, 3, 0x300], ERRNO | EAFNOSUPPORT),
    ];
    for arch in BOTH {
        for ([family, kind, protocol], expected) in cases {
            for number in [arch.socket(), arch.socketpair()] {
                let got = call(arch, number, [family, kind, protocol, 0, 0, 0]);
                assert_eq!(got, expected, "{arch:?} {number} {family:#x} {kind:#x} {protocol:#x}");
            }
        }
    }
}

#[test]
fn the_table_agrees_with_the_headers_of_this_machine() {
    let header = match std::env::consts::ARCH {
        "x86_64" => "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        _ => "/usr/include/asm-generic/unistd.h",
    };
    let text = std::fs::read_to_string(header).expect("the kernel's headers come with the C compiler");
    let arch = Arch::named(std::env::consts::ARCH).unwrap();
    for (name, x86, arm) in calls::REFUSED {
        let number = if arch == Arch::X86 { x86 } else { arm };
        let define = format!("#define __NR_{name} ");
        // Calls newer than the headers are not in them.
        if let Some(line) = text.lines().find(|line| line.starts_with(&define)) {
            assert_eq!(line[define.len()..].trim(), number.to_string(), "{name}");
        }
    }
}
