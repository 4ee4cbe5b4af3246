//! System calls tried from inside a bottle, and what each is answered: on every backend the same.
//!
//! The backends' tests include this file. A probe is a line of perl, which every image has that is made of Debian.

/// A call by number on x86-64 and arm64, with arguments in perl, and the error or the answer expected.
pub(crate) type Probe = (&'static str, u32, u32, &'static str, &'static str);

/// What is tried.
pub(crate) const PROBES: &[Probe] = &[
    ("io_uring_setup", 425, 425, "8, $buffer", "EPERM"),
    ("userfaultfd", 323, 282, "0", "EPERM"),
    ("bpf", 321, 280, "0, $buffer, 64", "EPERM"),
    ("add_key", 248, 217, "$text, $text, $text, 4, -3", "EPERM"),
    ("request_key", 249, 218, "$text, $text, 0, -3", "EPERM"),
    ("keyctl", 250, 219, "0, -3, 0", "EPERM"),
    ("unshare user", 272, 97, "0x10000000", "EPERM"),
    ("unshare mount", 272, 97, "0x20000", "EPERM"),
    ("setns", 308, 268, "0, 0", "EPERM"),
    ("mount", 165, 40, "$text, $text, $text, 0, 0", "EPERM"),
    ("pivot_root", 155, 41, "$text, $text", "EPERM"),
    ("chroot", 161, 51, "$text", "EPERM"),
    ("open_tree", 428, 428, "-100, $text, 1", "EPERM"),
    ("fsopen", 430, 430, "$text, 0", "EPERM"),
    ("perf_event_open", 298, 241, "$buffer, 0, -1, -1, 0", "EPERM"),
    ("pidfd_getfd", 438, 438, "0, 0, 0", "EPERM"),
    ("name_to_handle_at", 303, 264, "-100, $text, $buffer, $buffer, 0", "EPERM"),
    ("get_mempolicy", 239, 236, "0, 0, 0, 0, 0", "EPERM"),
    ("process_madvise", 440, 440, "-1, $buffer, 0, 0, 0", "EPERM"),
    ("reboot", 169, 142, "0xfee1dead, 672274793, 0, 0", "EPERM"),
    ("kexec_load", 246, 104, "0, 0, 0, 0", "EPERM"),
    ("init_module", 175, 105, "$buffer, 1, $text", "EPERM"),
    ("clone with a user namespace", 56, 220, "0x10000011, 0, 0, 0, 0", "EPERM"),
    ("personality without address randomisation", 135, 92, "0x0040000", "EPERM"),
    ("personality, asked", 135, 92, "0xffffffff", "got 0"),
    ("clone3", 435, 435, "$buffer, 88", "ENOSYS"),
    ("a call of a later kernel", 470, 470, "0", "ENOSYS"),
    ("terminal input", 16, 29, "0, 0x5412, $text", "EPERM"),
    ("terminal input behind an upper half", 16, 29, "0, 0x100005412, $text", "EPERM"),
    ("console takeover", 16, 29, "0, 0x541d, 0", "EPERM"),
    ("terminal's size, of none", 16, 29, "-1, 0x5413, $buffer", "EBADF"),
    ("AF_VSOCK", 41, 198, "40, 1, 0", "EAFNOSUPPORT"),
    ("AF_VSOCK behind an upper half", 41, 198, "0x100000028, 1, 0", "EAFNOSUPPORT"),
    ("AF_ALG", 41, 198, "38, 5, 0", "EAFNOSUPPORT"),
    ("AF_PACKET", 41, 198, "17, 3, 0x300", "EAFNOSUPPORT"),
    ("AF_TIPC as a pair", 53, 199, "30, 5, 0, $buffer", "EAFNOSUPPORT"),
    ("netlink of audit", 41, 198, "16, 3, 9", "EPROTONOSUPPORT"),
    ("netlink of kernel events", 41, 198, "16, 3, 15", "EPROTONOSUPPORT"),
    ("generic netlink", 41, 198, "16, 2, 16", "EPROTONOSUPPORT"),
    ("MPTCP", 41, 198, "2, 1, 262", "EPROTONOSUPPORT"),
    ("MPTCP over IPv6, closed on exec", 41, 198, "10, 0x80001, 262", "EPROTONOSUPPORT"),
    ("SMC", 41, 198, "2, 1, 256", "EPROTONOSUPPORT"),
    ("SCTP by its kind", 41, 198, "2, 5, 0", "ESOCKTNOSUPPORT"),
    ("packets by their old kind", 41, 198, "2, 10, 0x300", "ESOCKTNOSUPPORT"),
    ("raw IPv4", 41, 198, "2, 3, 255", "EPERM"),
    ("TCP", 41, 198, "2, 0x80801, 6", "got"),
    ("UDP over IPv6", 41, 198, "10, 2, 0", "got"),
    ("a Unix socket", 41, 198, "1, 5, 0", "got"),
    ("a pair of Unix sockets", 53, 199, "1, 1, 0, $buffer", "got"),
    ("route netlink", 41, 198, "16, 0x80003, 0", "got"),
    ("a process number", 39, 172, "", "got"),
];

/// Returns a perl program that tries all of [`PROBES`] and prints a line for each that is answered otherwise.
///
/// Each is tried in a process of its own, so that one that goes through cannot change the next.
pub(crate) fn script() -> String {
    let mut script = String::from(
        "use Errno; $| = 1; my $buffer = chr(0) x 256; my $text = 'user'; \
         sub answer { my $got = shift; return \"got $got\" if $got != -1; \
         for (keys %!) { return $_ if $!{$_} && $_ !~ /^(EWOULDBLOCK|EDEADLOCK|EOPNOTSUPP)$/ } } \
         sub probe { my ($name, $expected, $call) = @_; my $child = fork; die 'fork' unless defined $child; \
         if ($child == 0) { my $said = answer($call->()); \
         print \"$name: $said\\n\" unless $said eq $expected || $expected eq 'got' && $said =~ /^got/; exit 0 } \
         waitpid $child, 0; print \"$name: ended by $?\\n\" if $? } ",
    );
    for (name, x86, arm, arguments, expected) in PROBES {
        let number = if cfg!(target_arch = "x86_64") { x86 } else { arm };
        let comma = if arguments.is_empty() { "" } else { ", " };
        script.push_str(&format!(
            "probe(\"{name}\", '{expected}', sub {{ syscall({number}{comma}{arguments}) }}); "
        ));
    }
    script + "print \"tried\\n\";"
}

/// What [`script`] prints when each call is answered as it should be.
pub(crate) const ALL_AS_EXPECTED: &str = "tried\n";

/// A shell's line that runs a program of 32 bits and says how it ended. It does `exit(0)`: mov eax,1; xor ebx,ebx; int 0x80.
#[cfg(target_arch = "x86_64")]
pub(crate) const FOREIGN: &str = "perl -e 'print pack(\"H*\", \"\
    7f454c46010101000000000000000000020003000100000054800408340000000000000000000000340020000100000000000000\
    0100000000000000008004080080040860000000600000000500000000100000\
    b80100000031dbcd80000000\")' > /tmp/exit32; chmod +x /tmp/exit32; /tmp/exit32; echo $?";

/// How it ends: by SIGSYS; or it cannot be started by a kernel without 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub(crate) const FOREIGN_ENDS: [&str; 2] = ["159\n", "126\n"];
