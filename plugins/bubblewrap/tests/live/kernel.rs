//! What the kernel refuses to a program in a bottle.

use crate::support::Bench;

#[path = "../../../guest/tests/support/probes.rs"]
mod probes;

#[test]
fn system_calls_are_answered_as_on_the_other_backend() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("calls"));
    let said = live.run(&["perl", "-e", &probes::script()], "");
    assert_eq!((said.out.as_str(), said.err.as_str()), (probes::ALL_AS_EXPECTED, ""));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn foreign_calls_are_refused() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("foreign"));
    let x32 = "use Errno; print $!{ENOSYS} ? 'ENOSYS' : 'open' if syscall(0x40000000 + 39) == -1";
    assert_eq!(live.run(&["perl", "-e", x32], "").out, "ENOSYS");
    let said = live.sh(probes::FOREIGN);
    assert!(probes::FOREIGN_ENDS.contains(&said.out.as_str()), "{said:?}");
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

#[test]
fn shared_memory_is_as_large_as_the_bottle_says() {
    let bench = Bench::new();
    for (asked, mib) in [(None, 256), (Some(64 << 20), 64), (Some(300 << 20), 300)] {
        let mut spec = bench.spec(&format!("shared-{mib}"));
        spec.bottle.limits.shm_bytes = asked;
        let live = bench.launch(&spec);
        let script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=400 2>/dev/null; stat -c %s /dev/shm/x";
        assert_eq!(live.sh(script).out, format!("{}\n", mib << 20), "{asked:?}");
        live.close();
    }
}
