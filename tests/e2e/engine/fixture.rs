//! The engine of a test's own does what tests rely on.

use std::net::TcpListener;
use std::process::Command;

use rustix::process::Signal;

use crate::support::private_engine::{Options, PrivateEngine, WORLD, small_image};
use crate::support::{run, stdout};

#[test]
fn an_engine_of_a_tests_own_restarts_and_leaves_nothing() {
    let options = Options { live_restore: true, ..Options::default() };
    let mut engine = PrivateEngine::start(&options);
    let image = small_image();
    engine.load(&image);
    let upstream = engine.inside(|| TcpListener::bind((WORLD, 0)).unwrap());
    let port = upstream.local_addr().unwrap().port().to_string();
    let words = ["run", "--detach", "--name=lives", &image, "sleep", "infinity"];
    engine.docker(&words);
    for signal in [Signal::TERM, Signal::KILL] {
        engine.stop(signal);
        engine.start_again();
        let state = engine.docker(&["inspect", "--format", "{{.State.Running}}", "lives"]);
        assert_eq!(state.trim(), "true", "after {signal:?}");
    }
    let connect = format!("exec 3<>/dev/tcp/{WORLD}/{port}");
    engine.docker(&["exec", "lives", "bash", "-c", &connect]);
    upstream.accept().unwrap();
    let addresses = engine.run_inside(&["hostname", "-I"]);
    let own = [WORLD, engine.client().bridge_address()].map(|address| address.to_string());
    assert!(own.iter().all(|own| addresses.split_whitespace().any(|address| address == own)), "{addresses}");
    let data = engine.data();
    drop(engine);
    assert!(!data.exists());
    let name = data.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let groups =
        run(Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("claude-bottle-{name}")]));
    assert_eq!(stdout(&groups), "");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(data.to_str().unwrap()), "{mounts}");
}
