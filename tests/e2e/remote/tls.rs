//! An engine behind TLS: dockerd's own, with certificates made here.

use std::fs;
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use claude_bottle_standin::{Authority, Pair};
use rustix::process::Signal;
use tempfile::TempDir;

use super::home;
use crate::egress::session::Session;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine, TLS, small_image};
use crate::support::{assert_code, run, stderr, stdout};

/// Writes a certificate and its key into a directory, and their authority.
fn write(authority: &Authority, dir: &Path, own: &Pair) {
    fs::write(dir.join("ca.pem"), &authority.pem).unwrap();
    fs::write(dir.join("cert.pem"), &own.certificate).unwrap();
    fs::write(dir.join("key.pem"), &own.key).unwrap();
}

fn serves(authority: &Authority, dir: &Path, until: i32) {
    write(authority, dir, &authority.server("127.0.0.1", until).unwrap());
}

/// Makes a directory as `DOCKER_CERT_PATH` names it.
fn client(authority: &Authority) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(authority, dir.path(), &authority.client("me", 2199).unwrap());
    dir
}

/// Serves what an engine serves on its own loopback on this one, byte by byte.
fn way_to(engine: &Arc<PrivateEngine>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let engine = Arc::downgrade(engine);
    std::thread::spawn(move || {
        while let (Ok((near, _)), Some(engine)) = (listener.accept(), engine.upgrade()) {
            let Ok(far) = engine.inside(|| TcpStream::connect(TLS)) else { continue };
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    copy(&mut from, &mut to).ok();
                    to.shutdown(Shutdown::Write).ok();
                });
            }
        }
    });
    address
}

/// Runs the program on the engine at an address, with certificates in a directory.
fn command(home: &Home, address: SocketAddr, files: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = home.command(arguments);
    command.env("DOCKER_HOST", format!("tcp://{address}")).env("DOCKER_TLS_VERIFY", "1");
    command.env("DOCKER_CERT_PATH", files).env("CLAUDE_BOTTLE_IMAGE", small_image());
    command
}

#[test]
fn a_bottle_runs_on_an_engine_behind_tls_and_every_other_certificate_is_refused() {
    let agent = "e2e-tls";
    let (authority, other) = (Authority::new("ours").unwrap(), Authority::new("another").unwrap());
    let server = tempfile::tempdir().unwrap();
    serves(&authority, server.path(), 2199);
    let options = Options { tls: Some(server.path().to_owned()), ..Options::default() };
    let engine = Arc::new(PrivateEngine::start(&options));
    engine.load(&small_image());
    let address = way_to(&engine);
    let home = home(agent);
    let own = client(&authority);

    let doctor = run(&mut command(&home, address, own.path(), &["doctor"]));
    assert!(stdout(&doctor).contains(&format!("tcp://{address}, by TLS")), "{}", stdout(&doctor));
    let start = ["-q", "start", agent, "--cwd", "--yes"];
    let mut inside = Session::start_by(command(&home, address, own.path(), &start), &home, agent);
    inside.ok("echo two >edited");
    let exec = run(&mut command(&home, address, own.path(), &["exec", agent, "--", "cat", "edited"]));
    assert_eq!(stdout(&exec), "two\n", "{}", stderr(&exec));
    inside.end();
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    let results = run(&mut home.command(&["results", "--format", "json"]));
    assert_eq!(stdout(&results).matches("\"run\"").count(), 1, "{}", stdout(&results));

    let refused = |files: &Path, reason: &str| {
        let output = run(&mut command(&home, address, files, &["start", agent, "--yes"]));
        assert_code(&output, 125);
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
    };
    // The engine has another authority than the user says.
    let astray = client(&authority);
    fs::write(astray.path().join("ca.pem"), &other.pem).unwrap();
    refused(astray.path(), "another authority has made it");
    // The user has no certificate, and one of another authority.
    let none = client(&authority);
    fs::remove_file(none.path().join("cert.pem")).unwrap();
    refused(none.path(), "cert.pem`: ");
    fs::remove_file(none.path().join("key.pem")).unwrap();
    refused(none.path(), "or wants one: ");
    let stranger = client(&other);
    fs::write(stranger.path().join("ca.pem"), &authority.pem).unwrap();
    refused(stranger.path(), "or wants one: ");
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
}

#[test]
fn an_engine_whose_certificate_has_expired_is_refused_and_verification_cannot_be_left_out() {
    let agent = "e2e-tls-expired";
    let authority = Authority::new("ours").unwrap();
    let server = tempfile::tempdir().unwrap();
    serves(&authority, server.path(), 2021);
    let options = Options { tls: Some(server.path().to_owned()), ..Options::default() };
    let engine = Arc::new(PrivateEngine::start(&options));
    let address = way_to(&engine);
    let (home, own) = (home(agent), client(&authority));
    let output = run(&mut command(&home, address, own.path(), &["start", agent, "--yes"]));
    assert_code(&output, 125);
    assert!(stderr(&output).contains("it has expired"), "{}", stderr(&output));

    let mut careless = command(&home, address, own.path(), &["start", agent, "--yes"]);
    let output = run(careless.env_remove("DOCKER_TLS_VERIFY").env("DOCKER_TLS", "1"));
    assert_code(&output, 125);
    assert!(stderr(&output).contains("without a look at the engine's certificate"), "{}", stderr(&output));

    // Where it is renewed, all is well.
    let mut engine = Arc::into_inner(engine).unwrap();
    engine.stop(Signal::TERM);
    serves(&authority, server.path(), 2199);
    engine.start_again();
    let engine = Arc::new(engine);
    let address = way_to(&engine);
    let output = run(&mut command(&home, address, own.path(), &["list", "active"]));
    assert_code(&output, 0);
    drop(engine);
}
