//! Services of the host that a program must not reach, and other bottles' ways out.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use crate::support::Bench;

#[test]
fn no_service_of_the_host_is_there() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("services"));
    let paths = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/dbus/system_bus_socket",
        "/run/user/0/bus",
        "/run/user/1000/bus",
        "/run/systemd/private",
        "/tmp/.X11-unix",
        "/run/user/1000/wayland-0",
        "/run/user/1000/gnupg",
        "/run/user/1000/keyring",
        "/run/udev",
        "/run/nscd",
    ];
    for path in paths {
        assert_ne!(live.sh(&format!("test -e {path}")).code, 0, "{path}");
    }
    let said = live.sh("env | grep -E 'DBUS|SSH_AUTH|DISPLAY|WAYLAND|XDG_|GPG|DOCKER'");
    assert_eq!(said.out, "");
    for tool in [
        "docker ps",
        "busctl list",
        "busctl --user list",
        "systemd-run --user true",
        "systemd-run true",
        "gdbus call --session --dest x --object-path / --method x.y",
        "ssh-add -l",
        "systemctl status",
    ] {
        let said =
            live.sh(&format!("command -v {} || exit 9; {tool} </dev/null", tool.split(' ').next().unwrap()));
        assert_ne!(said.code, 0, "{tool}: {said:?}");
    }
}

#[test]
fn abstract_sockets_of_the_host_are_not_there() {
    let name = format!("claude-bottle-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("abstract"));
    let script = format!("import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0{name}')");
    let said = live.run(&["/usr/bin/python3", "-c", &script], "");
    assert!(said.err.contains("ConnectionRefusedError"), "{said:?}");
}

#[test]
fn strange_sockets_are_refused() {
    const FAMILY: &str = "Address family not supported by protocol";
    const KIND: &str = "Socket type not supported";
    const PROTOCOL: &str = "Protocol not supported";
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("families"));
    let cases = [
        // AF_VSOCK reaches a virtual machine's host whatever the network namespace.
        (40, 1, 0, FAMILY),
        (17, 3, 0, FAMILY),
        (38, 5, 0, FAMILY),
        (31, 3, 0, FAMILY),
        (30, 5, 0, FAMILY),
        // Netlink other than of routes: audit, kernel events, generic.
        (16, 3, 9, PROTOCOL),
        (16, 3, 15, PROTOCOL),
        (16, 3, 16, PROTOCOL),
        // MPTCP, SMC, UDP-Lite, SCTP by its kind, packets by their old kind.
        (2, 1, 262, PROTOCOL),
        (10, 1, 262, PROTOCOL),
        (2, 1, 256, PROTOCOL),
        (2, 2, 136, PROTOCOL),
        (2, 5, 0, KIND),
        (2, 10, 0x300, KIND),
        (2, 3, 255, "Operation not permitted"),
    ];
    for (family, kind, protocol, expected) in cases {
        for call in ["c.socket({}, {}, {})", "c.socketpair({}, {}, {}, (ctypes.c_int * 2)())"] {
            let call = call.replacen("{}", &family.to_string(), 1).replacen("{}", &kind.to_string(), 1);
            let call = call.replacen("{}", &protocol.to_string(), 1);
            let script = format!(
                "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); \
                 print({call}, os.strerror(ctypes.get_errno()))"
            );
            let said = live.run(&["/usr/bin/python3", "-c", &script], "");
            assert_eq!(said.out, format!("-1 {expected}\n"), "{call}");
        }
    }
}

/// What programs open in daily work, by the calls of theirs that fail as a whole when a socket is refused.
#[test]
fn ordinary_sockets_open() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("ordinary"));
    let script = "import socket as s; [s.socket(*each).close() for each in \
         [(s.AF_INET, s.SOCK_STREAM), (s.AF_INET6, s.SOCK_DGRAM), (s.AF_INET, s.SOCK_STREAM, 6), (s.AF_UNIX, s.SOCK_SEQPACKET)]]; \
         s.socketpair(); print(s.if_nameindex(), s.getaddrinfo('localhost', 80)[0][4][1])";
    let said = live.run(&["/usr/bin/python3", "-c", script], "");
    assert_eq!(said.out, "[(1, 'lo')] 80\n", "{said:?}");
}

#[test]
fn there_is_no_network() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("network"));
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "import socket, os\n\
         for address in ['127.0.0.1', '10.0.0.1', '172.17.0.1', '169.254.169.254', '8.8.8.8', '::1', '2001:db8::1']:\n\
         \x20 for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM]:\n\
         \x20   s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind); s.settimeout(2)\n\
         \x20   try:\n\
         \x20     s.connect((address, {port})); s.send(b'x'); print('SENT', address, kind) if kind == socket.SOCK_STREAM or '127' not in address and address != '::1' else None\n\
         \x20   except OSError as e: pass\n\
         for proto in [1, 58]:\n\
         \x20 try: socket.socket(socket.AF_INET, socket.SOCK_RAW, proto); print('RAW')\n\
         \x20 except PermissionError: pass\n\
         try: print('RESOLVED', socket.getaddrinfo('example.com', 80))\n\
         except OSError: pass\n\
         print(sorted(os.listdir('/proc/sys/net/ipv4/conf')))"
    );
    let said = live.run(&["/usr/bin/python3", "-c", &script], "");
    assert_eq!(said.out, "['all', 'default', 'lo']\n", "{said:?}");
}

#[test]
fn another_bottles_guard_is_out_of_reach() {
    let bench = Bench::new();
    let one = bench.launch(&bench.spec("mine"));
    let two = bench.launch(&bench.spec("other"));
    let others = one.outside().join("egress/guard.sock");
    assert!(others.exists());
    let said = two.sh(&format!("test -e '{}'", others.display()));
    assert_ne!(said.code, 0);
    assert_eq!(two.sh("ls /run/claude-bottle/egress /run/claude-bottle").out.matches("sock").count(), 1);
}
