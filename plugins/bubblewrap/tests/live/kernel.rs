//! What the kernel refuses to a program in a bottle.

use crate::support::{Bench, Live};

/// Makes a system call by number, and returns the name of the error.
fn call(live: &Live<'_>, number: u32, arguments: &str) -> String {
    let script = format!(
        "use Errno; my $buffer = chr(0) x 256; my $text = 'user'; my $got = syscall({number}, {arguments}); \
         if ($got == -1) {{ for (keys %!) {{ print $_ if $!{{$_}} }} }} else {{ print \"got $got\" }}"
    );
    live.run(&["perl", "-e", &script], "").out
}

/// Call numbers of this machine's architecture.
fn number(x86: u32, arm: u32) -> u32 {
    if cfg!(target_arch = "x86_64") { x86 } else { arm }
}

#[test]
fn dangerous_calls_are_refused() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("calls"));
    let refused = [
        ("io_uring_setup", 425, 425, "8, $buffer"),
        ("userfaultfd", 323, 282, "0"),
        ("bpf", 321, 280, "0, $buffer, 64"),
        ("add_key", 248, 217, "$text, $text, $text, 4, -3"),
        ("request_key", 249, 218, "$text, $text, 0, -3"),
        ("keyctl", 250, 219, "0, -3, 0"),
        ("unshare user", 272, 97, "0x10000000"),
        ("unshare mount", 272, 97, "0x20000"),
        ("setns", 308, 268, "0, 0"),
        ("mount", 165, 40, "$text, $text, $text, 0, 0"),
        ("pivot_root", 155, 41, "$text, $text"),
        ("chroot", 161, 51, "$text"),
        ("open_tree", 428, 428, "-100, $text, 1"),
        ("fsopen", 430, 430, "$text, 0"),
        ("perf_event_open", 298, 241, "$buffer, 0, -1, -1, 0"),
        ("pidfd_getfd", 438, 438, "0, 0, 0"),
        ("reboot", 169, 142, "0xfee1dead, 672274793, 0, 0"),
        ("kexec_load", 246, 104, "0, 0, 0, 0"),
        ("init_module", 175, 105, "$buffer, 1, $text"),
        ("clone with a user namespace", 56, 220, "0x10000011, 0, 0, 0, 0"),
        ("personality without address randomisation", 135, 92, "0x0040000"),
    ];
    for (name, x86, arm, arguments) in refused {
        assert_eq!(call(&live, number(x86, arm), arguments), "EPERM", "{name}");
    }
    assert_eq!(call(&live, 435, "$buffer, 88"), "ENOSYS", "clone3");
    assert_eq!(call(&live, 470, "0"), "ENOSYS", "a call of a later kernel");
    let getpid = call(&live, number(39, 172), "");
    assert!(getpid.starts_with("got "), "{getpid}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn foreign_calls_are_refused() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("foreign"));
    assert_eq!(call(&live, 0x4000_0000 + 39, ""), "ENOSYS", "x32");
    // A 32-bit program that does nothing but exit(0): mov eax,1; xor ebx,ebx; int 0x80.
    let program = [
        "7f454c46010101000000000000000000020003000100000054800408340000000000000000000000340020000100000000000000",
        "0100000000000000008004080080040860000000600000000500000000100000",
        "b80100000031dbcd80000000",
    ]
    .concat();
    let said = live.sh(&format!(
        "perl -e 'print pack(\"H*\", \"{program}\")' > /tmp/exit32; chmod +x /tmp/exit32; /tmp/exit32; echo $?"
    ));
    // 128 + SIGSYS; a kernel without 32-bit programs cannot even start it.
    assert!(["159\n", "126\n"].contains(&said.out.as_str()), "{said:?}");
}

#[test]
fn a_terminal_takes_no_input_from_programs() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("tiocsti"));
    for request in ["0x5412", "0x541c", "0xffffffff00005412"] {
        let script = format!(
            "import pty, fcntl, ctypes, os; m, s = pty.openpty(); c = ctypes.CDLL(None, use_errno=True); \
             r = c.ioctl(s, ctypes.c_ulong({request}), b'x'); print(r, os.strerror(ctypes.get_errno()))"
        );
        let said = live.run(&["/usr/bin/python3", "-c", &script], "");
        assert_eq!(said.out, "-1 Operation not permitted\n", "{request}: {said:?}");
    }
}

#[test]
fn a_program_has_no_privilege_to_use_or_to_gain() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("caps"));
    let said = live.sh("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status");
    for line in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(said.out.contains(&format!("{line}:\t0000000000000000\n")), "{said:?}");
    }
    assert!(said.out.contains("NoNewPrivs:\t1\n") && said.out.contains("Seccomp:\t2\n"), "{said:?}");
    let groups = live.run(&["id", "-G"], "").out;
    assert!(groups.split_whitespace().all(|group| ["1000", "65534"].contains(&group)), "{groups}");
    let said = live.sh("cp /bin/sh /tmp/sh && chmod 4755 /tmp/sh; stat -c %a /tmp/sh; /tmp/sh -c 'id -u'; su -c id </dev/null");
    assert!(said.out.ends_with("1000\n"), "{said:?}");
    let said = live.sh("unshare -r true; mount -t tmpfs x /tmp; nsenter -t 1 -m true; bwrap --ro-bind / / true; echo x > /proc/sysrq-trigger");
    assert_ne!(said.code, 0);
    assert!(!said.err.is_empty());
    for tool in ["unshare -r", "mount -t tmpfs x", "nsenter -t 1 -m", "bwrap --ro-bind / /"] {
        assert_ne!(live.sh(&format!("{tool} true /tmp 2>/dev/null")).code, 0, "{tool}");
    }
}

#[test]
fn process_1_is_out_of_reach() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("one"));
    for path in ["environ", "mem", "fd", "root", "cwd", "maps", "map_files"] {
        let said = live.sh(&format!("ls -L /proc/1/{path}/ 2>&1 || head -c 1 /proc/1/{path}"));
        assert_ne!(said.code, 0, "/proc/1/{path}: {said:?}");
    }
    let said = live.sh("kill -9 1; kill -STOP 1; strace -p 1 2>&1 | head -1; echo here");
    assert!(said.out.contains("Operation not permitted") && said.out.ends_with("here\n"), "{said:?}");
    assert_eq!(live.sh("echo still here").out, "still here\n");
    let said =
        live.sh("for f in core_pattern sysrq hostname; do echo x > /proc/sys/kernel/$f && echo WROTE; done");
    assert!(!said.out.contains("WROTE"), "{said:?}");
}

#[test]
fn namespaces_are_all_other_than_the_hosts() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("namespaces"));
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let inside = live.run(&["readlink", &format!("/proc/self/ns/{name}")], "").out;
        let outside = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(inside.trim(), outside.to_str().unwrap(), "{name}");
        assert!(inside.starts_with(name), "{inside}");
    }
    assert_eq!(live.sh("hostname").out, "claude-bottle-namespaces\n");
}

#[test]
fn a_fork_bomb_and_a_memory_hog_end_by_themselves() {
    let bench = Bench::new();
    let mut spec = bench.spec("bombs");
    spec.bottle.limits.pids = Some(64);
    spec.bottle.limits.memory_bytes = Some(256 << 20);
    let live = bench.launch(&spec);
    let said = live.sh("n=0; while [ $n -lt 200 ]; do sleep 60 & n=$((n+1)); done 2>&1; echo done");
    assert!(said.out.contains("fork") || said.err.contains("fork"), "{said:?}");
    live.sh("kill -9 -1");
    let said = live.run(&["perl", "-e", "my $x = 'x' x (1 << 30); print length $x"], "");
    assert_ne!(said.code, 0, "{said:?}");
    assert_eq!(live.sh("echo alive").out, "alive\n");
}
