//! Where the engine is, as `DOCKER_HOST` says it: what is spoken works, and what is not is refused with a way round.

use std::fs::{self, Permissions};
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

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
fn tcp_in_clear_works_and_what_is_not_spoken_is_refused_with_a_way_round() {
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
        (tcp.as_str(), "1", "cannot use `", "export DOCKER_CERT_PATH=DIR"),
        (
            "https://engine.test",
            "",
            "no directory with its certificates is named",
            "export DOCKER_CERT_PATH=DIR",
        ),
        ("ssh://me:word@engine.test", "", "a password has no place in it", "ssh://[USER@]HOST[:PORT]"),
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

/// Copies what `make install` installs for docker to where every user can read it.
fn install(prefix: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_claude-bottle"));
    let built = program.parent().unwrap();
    let companions = built.join("../libexec/claude-bottle");
    let plugin = built.join("libclaude_bottle_backend_docker.so");
    for (from, to) in [
        (program.to_owned(), "bin/claude-bottle"),
        (plugin, "lib/claude-bottle/plugins/claude-bottle-backend-docker.so"),
        (companions.join("egress-guard"), "libexec/claude-bottle/egress-guard"),
        (companions.join("bottle-guest"), "libexec/claude-bottle/bottle-guest"),
    ] {
        let to = prefix.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
    }
}

#[test]
fn a_socket_that_the_user_may_not_use_is_named_with_the_group_to_join() {
    const NOBODY: u32 = 65534;
    let dir = tempfile::Builder::new().prefix("claude-bottle-denied-").tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    install(&dir.path().join("usr"));
    let (home, socket) = (dir.path().join("home"), dir.path().join("docker.sock"));
    fs::create_dir(&home).unwrap();
    fs::write(home.join("claude-bottle.yaml"), "bottles: { dev: {} }\nagents: { a: { bottle: dev } }\n")
        .unwrap();
    for path in [home.clone(), home.join("claude-bottle.yaml")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    let mut start = Command::new(dir.path().join("usr/bin/claude-bottle"));
    start.args(["start", "a", "--yes"]).uid(NOBODY).gid(NOBODY).current_dir(&home).env_clear();
    start.env("HOME", &home).env("PATH", "/usr/bin:/bin").env("CLAUDE_BOTTLE_BACKEND", "docker");
    let output = run(start.env("DOCKER_HOST", format!("unix://{}", socket.display())));
    assert_code(&output, 125);
    let said = stderr(&output);
    let cause =
        format!("caused by: the engine's socket `unix://{}` may not be used by this user", socket.display());
    assert!(said.starts_with("error: cannot ask the engine for its features\n"), "{said}");
    assert!(said.contains(&cause) && said.contains("hint: sudo usermod -aG docker"), "{said}");
}
