//! Where the engine is, as `DOCKER_HOST` says it: what is spoken works, and what is not is refused with a way round.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::{engine, home};
use crate::support::private_engine::Options;
use crate::support::{assert_code, run, stderr, stdout};

/// Serves an engine's socket on a TCP port of the loopback, in clear.
fn forward(socket: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((near, _)) = listener.accept() {
            let Ok(far) = UnixStream::connect(&socket) else { return };
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || pass(near_too, far_too, |far| far.shutdown(Shutdown::Write)));
            std::thread::spawn(move || pass(far, near, |near: &TcpStream| near.shutdown(Shutdown::Write)));
        }
    });
    address
}

/// Copies until one side says no more, and passes that on.
fn pass<From: std::io::Read, To: std::io::Write>(
    mut from: From,
    mut to: To,
    end: impl Fn(&To) -> std::io::Result<()>,
) {
    copy(&mut from, &mut to).ok();
    end(&to).ok();
}

#[test]
fn tcp_in_clear_works_and_ssh_and_tls_are_refused_with_a_way_round() {
    let agent = "e2e-address";
    let engine = engine(&Options::default());
    let home = home(&engine, &[agent], "      allowlist: []\n");
    let start = |host: &str, tls: &str| {
        let mut command = home.command(&["--quiet", "start", agent, "--yes", "--", "-c", "cat; exit 7"]);
        run(command.env("DOCKER_HOST", host).env("DOCKER_TLS_VERIFY", tls))
    };
    let address = forward(engine.host().trim_start_matches("unix://").to_owned());
    let output = start(&format!("tcp://{address}"), "");
    assert_code(&output, 7);
    assert_eq!(stdout(&output) + &stderr(&output), "");
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());

    let tcp = format!("tcp://{address}");
    for (host, tls, reason, hint) in [
        (
            "ssh://me@engine.test",
            "",
            "is not an engine's address this backend can use",
            "ssh://me@engine.test &&",
        ),
        (tcp.as_str(), "1", "wants TLS, which this backend does not speak", "hint: ssh -fnNT -L"),
        ("https://engine.test", "", "wants TLS, which this backend does not speak", "hint: ssh -fnNT -L"),
        ("fd://", "", "is not an engine's address this backend can use", "hint: unset DOCKER_HOST"),
        (
            "unix:///nowhere/docker.sock",
            "",
            "no engine answers at `unix:///nowhere/docker.sock`",
            "systemctl start docker",
        ),
    ] {
        let output = start(host, tls);
        assert_code(&output, 125);
        assert!(stderr(&output).contains(reason) && stderr(&output).contains(hint), "{}", stderr(&output));
    }
}
