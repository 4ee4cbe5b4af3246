//! The filter, run by a small interpreter over calls as the kernel would present them.

use super::assemble::{ALLOW, ERRNO, JUMP_BITS, JUMP_EQUAL, JUMP_GREATER, KILL_PROCESS, LOAD, RETURN};
use super::*;

/// Runs the filter over one call and returns its verdict.
fn verdict(arch: Arch, audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
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
            RETURN => return step.value,
            JUMP_EQUAL => accumulator == step.value,
            JUMP_GREATER => accumulator > step.value,
            JUMP_BITS => accumulator & step.value != 0,
            other => panic!("unknown instruction {other:#x}"),
        };
        at += usize::from(if holds { step.if_true } else { step.if_false });
    }
}

fn call(arch: Arch, number: u32, arguments: [u64; 6]) -> u32 {
    verdict(arch, arch.audit(), number, arguments)
}

const BOTH: [Arch; 2] = [Arch::X86, Arch::Arm];

#[test]
fn every_refused_call_is_refused_and_others_are_not() {
    for arch in BOTH {
        let refused: Vec<u32> = arch.refused().collect();
        for number in 0..=table::NEWEST {
            let expected = match number {
                number if refused.contains(&number) => ERRNO | EPERM,
                table::CLONE3 => ERRNO | ENOSYS,
                number if number == arch.socket() => ERRNO | EAFNOSUPPORT,
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
        assert_eq!(call(arch, table::NEWEST + 1, [0; 6]), ERRNO | ENOSYS);
        assert_eq!(call(arch, u32::MAX, [0; 6]), ERRNO | ENOSYS);
    }
}

#[test]
fn arguments_decide() {
    let wide = |low: u32| 0xdead_beef_0000_0000 | u64::from(low);
    for arch in BOTH {
        let cases: [(u32, [u64; 3], u32); 14] = [
            (arch.clone(), [0x11, 0, 0], ALLOW),
            (arch.clone(), [0x1000_0011, 0, 0], ERRNO | EPERM),
            (arch.clone(), [0x0002_0011, 0, 0], ERRNO | EPERM),
            (arch.ioctl(), [0, 0x5413, 0], ALLOW),
            (arch.ioctl(), [0, 0x5412, 0], ERRNO | EPERM),
            (arch.ioctl(), [0, wide(0x5412), 0], ERRNO | EPERM),
            (arch.ioctl(), [0, 0x541c, 0], ERRNO | EPERM),
            (arch.personality(), [u64::from(u32::MAX), 0, 0], ALLOW),
            (arch.personality(), [0x0040_0000, 0, 0], ERRNO | EPERM),
            (arch.socket(), [10, 1, 0], ALLOW),
            (arch.socket(), [16, 3, 0], ALLOW),
            (arch.socket(), [16, 3, 9], ERRNO | EAFNOSUPPORT),
            (arch.socket(), [40, 1, 0], ERRNO | EAFNOSUPPORT),
            (arch.socket(), [wide(38), 5, 0], ERRNO | EAFNOSUPPORT),
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
fn the_table_agrees_with_the_headers_of_this_machine() {
    let header = match std::env::consts::ARCH {
        "x86_64" => "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        _ => "/usr/include/asm-generic/unistd.h",
    };
    let text = std::fs::read_to_string(header).expect("the kernel's headers come with the C compiler");
    let arch = Arch::named(std::env::consts::ARCH).unwrap();
    for (name, x86, arm) in table::REFUSED {
        let number = if arch == Arch::X86 { x86 } else { arm };
        let define = format!("#define __NR_{name} ");
        // Calls newer than the headers are not in them.
        if let Some(line) = text.lines().find(|line| line.starts_with(&define)) {
            assert_eq!(line[define.len()..].trim(), number.to_string(), "{name}");
        }
    }
}
