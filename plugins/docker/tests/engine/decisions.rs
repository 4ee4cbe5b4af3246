//! What a bottle's proxy decided is on the disk while the bottle runs, and all of it after, whoever removes the sidecar.

use std::path::Path;

use claude_bottle_plugin_api::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::support::{Live, Run, backend, bridge_address, with_sidecar};

const LOG: &str = "egress.jsonl";

/// Asks for a host that nobody allowed.
fn ask(live: &Live, backend: &claude_bottle_backend_docker::Docker, run: &Run, host: &str) {
    let script = format!("curl -sS -m 5 http://{host}/ -o /dev/null -w '%{{http_code}}'");
    assert_eq!(live.sh(backend, run, &script, b"").stdout, "403");
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join(LOG)).unwrap_or_default()
}

/// Counts the lines about a host.
fn times(log: &str, name: &str) -> usize {
    log.matches(&format!("\"host\":\"{name}.example\"")).count()
}

/// Waits until the log in a directory has a text.
fn wait_for(dir: &Path, text: &str) {
    let changes = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    // A guard of this machine writes in a directory of its own.
    for dir in [dir, &dir.join("egress")].into_iter().filter(|dir| dir.exists()) {
        inotify::add_watch(&changes, dir, inotify::WatchFlags::CREATE | inotify::WatchFlags::MODIFY).unwrap();
    }
    while !log(dir).contains(text) {
        let mut waited = [PollFd::new(&changes, PollFlags::IN)];
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        assert_eq!(poll(&mut waited, Some(&patience)).unwrap(), 1, "no `{text}` in:\n{}", log(dir));
        rustix::io::read(&changes, &mut [0; 4096]).unwrap();
    }
}

#[test]
fn decisions_are_in_the_file_while_the_bottle_runs_and_once_each_after_it() {
    let backend = backend(&[]);
    let run = Run::new("watched", &[]);
    let live = run.start(&backend);
    let dir = &run.spec.state_dir;
    ask(&live, &backend, &run, "one.example");
    wait_for(dir, "one.example");
    ask(&live, &backend, &run, "two.example");
    wait_for(dir, "two.example");
    ask(&live, &backend, &run, "three.example");

    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    let log = log(dir);
    let hosts: Vec<_> = ["one", "two", "three"].map(|name| times(&log, name)).into();
    assert_eq!((hosts, log.lines().count()), (vec![1, 1, 1], 3), "{log}");
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
}

#[test]
fn a_tunnel_that_is_open_at_the_end_has_its_last_line() {
    let backend = backend(&[]);
    let mut run = Run::new("tunnel", &[]);
    let address = bridge_address();
    let upstream = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = upstream.local_addr().unwrap().port();
    run.spec.bottle.egress.config = format!(
        "{{version: 1, bottle: b, listen: '127.0.0.1:1', policy: {{rules: [{{rule: 'up.test:{port}', origin: t}}], \
         hosts: {{up.test: [{address}]}}, private: [{{host: up.test, range: {address}}}]}}}}"
    );
    let live = run.start(&backend);
    // The background process keeps the connection when the shell has ended.
    let script = format!(
        "p=${{HTTP_PROXY#http://}}; p=${{p%/}}; exec 3<>\"/dev/tcp/${{p%:*}}/${{p#*:}}\"
         printf 'CONNECT up.test:{port} HTTP/1.1\\r\\nHost: up.test:{port}\\r\\n\\r\\n' >&3; head -n 1 <&3
         sleep 1000 </dev/null >/dev/null 2>&1 &"
    );
    let said = live.exec(&backend, &run, &["bash", "-c", &script], b"");
    assert!(said.stdout.contains(" 200 "), "{said:?}");
    let open = upstream.accept().unwrap();
    backend.close(&run.call(), &live.bottle).unwrap();
    let log = log(&run.spec.state_dir);
    let events: Vec<_> =
        ["request", "close"].map(|event| log.matches(&format!("\"event\":\"{event}\"")).count()).into();
    assert_eq!(events, [1, 1], "{log}");
    drop(open);
}

#[test]
fn another_process_that_closes_the_bottle_saves_its_log() {
    let backend = backend(&[]);
    let run = Run::new("stopped", &[]);
    let live = run.start(&backend);
    ask(&live, &backend, &run, "one.example");
    let active = backend.list_active(&run.call()).unwrap();
    let listed = active.iter().find(|bottle| bottle.id == run.spec.id).unwrap();
    // Its maker is alive and holds the file until the sidecar ends.
    let other = crate::support::backend(&[]);
    other.close(&run.call(), &listed.record).unwrap();
    assert_eq!(times(&log(&run.spec.state_dir), "one"), 1);
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(log(&run.spec.state_dir).lines().count(), 1);
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn clean_up_keeps_what_a_dead_runs_sidecar_decided() {
    let (maker, mut run) = (backend(&[]), Run::new("orphan", &[]));
    run.spec.options = with_sidecar();
    let live = run.start(&maker);
    ask(&live, &maker, &run, "one.example");
    wait_for(&run.spec.state_dir, "one.example");
    ask(&live, &maker, &run, "two.example");
    // As when its process is killed: nobody copies any more, and the last write did not get through.
    drop(maker);
    let path = run.spec.state_dir.join(LOG);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(40).unwrap();

    let (cleaner, mut gone) = (backend(&[]), Run::new("orphan-gone", &[]));
    gone.spec.options = with_sidecar();
    let other = gone.start(&cleaner);
    // Its file is there from then on, and no other is made.
    ask(&other, &cleaner, &gone, "three.example");
    wait_for(&gone.spec.state_dir, "three.example");
    std::fs::remove_dir_all(&gone.spec.state_dir).unwrap();
    let owners = [run.spec.owner.clone(), gone.spec.owner.clone()];
    let plan = {
        run.services.dead.lock().unwrap().extend(owners.iter().map(|owner| owner.pid));
        let mut plan = cleaner.prepare_cleanup(&run.call(), &CleanupScope::new(false)).unwrap();
        plan.remove.retain(|item| item.owner.as_ref().is_some_and(|owner| owners.contains(owner)));
        plan
    };
    let report = cleaner.cleanup(&run.call(), &plan).unwrap();
    assert_eq!(report.failures, [], "{report:?}");
    assert_eq!([run.leftovers(), gone.leftovers()].concat(), Vec::<String>::new());
    let log = log(&run.spec.state_dir);
    assert_eq!((times(&log, "one"), times(&log, "two"), log.lines().count()), (1, 1, 2), "{log}");
    assert!(!gone.spec.state_dir.exists());
    cleaner.close(&gone.call(), &other.bottle).unwrap();
}
