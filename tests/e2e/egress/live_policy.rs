//! A bottle's policy, changed while it runs: the same client inside gets through at once, and what is open ends when it is denied.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::Output;

use super::session::Session;
use super::{decisions, home};
use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(
    a_host_is_allowed_and_denied_while_the_bottle_runs,
    a_policy_outlives_the_process_that_was_killed_while_it_sent_another,
);
on_a_cluster!(
    a_host_is_allowed_and_denied_while_the_bottle_runs,
    a_policy_outlives_the_process_that_was_killed_while_it_sent_another,
);

/// Begins a command that has a search path and nothing else of the environment.
const BARE: &str = "env -i PATH=\"$PATH\" HOME=/tmp timeout 60";

/// Serves on a free port of an address: what comes is answered by `answer`.
fn serve(ip: IpAddr, answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    stream.write_all(answer).ok();
                }
            });
        }
    });
    address
}

fn policy(backend: Backend, home: &Home, words: &[&str]) -> Output {
    run(&mut backend.command(home, &[&["policy"][..], words].concat()))
}

#[track_caller]
fn changes(backend: Backend, home: &Home, words: &[&str]) {
    assert_code(&policy(backend, home, words), 0);
}

fn a_host_is_allowed_and_denied_while_the_bottle_runs(backend: Backend) {
    let agent = &format!("e2e-live-policy-{}", backend.name());
    let ip = backend.host_address();
    let page = serve(ip, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n");
    let echo = serve(ip, b"hello\n");
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['echo.test:{0}']\n      hosts: {{ page.test: {ip}, echo.test: {ip} }}\n      \
             private: [{{ host: page.test, range: {ip}/32 }}, {{ host: echo.test, range: {ip}/32 }}]\n",
            echo.port()
        ),
    );
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    let (place, other) = (format!("page.test:{}", page.port()), format!("echo.test:{}", echo.port()));
    // By the proxy that the variables name, and by a client that knows no proxy.
    let clients =
        [format!("curl -sS -f -m 60 http://{place}/"), format!("{BARE} curl -sS -f -m 60 http://{place}/")];
    clients.iter().for_each(|client| drop(inside.fails(client)));
    changes(backend, &home, &["allow", agent, &place]);
    clients.iter().for_each(|client| assert_eq!(inside.ok(client), "page"));
    let shown = policy(backend, &home, &["show", agent]);
    assert!(stdout(&shown).contains(&format!("Z  added `{place}`")), "{}", stdout(&shown));
    changes(backend, &home, &["check", agent, &place]);

    // A connection that is open says so, and says when it is over.
    inside.ok(&format!(
        "mkfifo /tmp/open /tmp/over
         begin() {{ echo begin >&3; read -r line <&3; echo \"$line\" >/tmp/open; cat <&3 >/dev/null; echo over >/tmp/over; }}
         ( exec 3<>/dev/tcp/echo.test/{0} && begin ) >/dev/null 2>&1 &
         timeout 100 cat /tmp/open | grep -q hello",
        echo.port()
    ));
    changes(backend, &home, &["deny", agent, &other]);
    assert_eq!(inside.ok("timeout 100 cat /tmp/over"), "over");
    // The address may still stand for the name for a moment; what connects to it is decided all the same.
    let speak = format!(
        "{BARE} bash -c 'exec 3<>/dev/tcp/echo.test/{} && echo begin >&3 && read -r line <&3 && echo \"$line\"'",
        echo.port()
    );
    let refused = inside.run(&speak);
    assert!(refused.code != 0 && refused.code != 124, "{refused:?}");
    // The other one goes on.
    clients.iter().for_each(|client| assert_eq!(inside.ok(client), "page"));
    changes(backend, &home, &["allow", agent, &other]);
    assert_eq!(inside.ok(&speak), "hello");
    inside.end();

    let log = decisions(&home);
    let told: Vec<_> = log.iter().filter(|line| line["event"] == "policy").collect();
    let reasons: Vec<_> = told.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(
        reasons,
        [
            format!("the policy was changed: added `{place}`"),
            format!("the policy was changed: added `deny {other}`"),
            format!("the policy was changed: removed `deny {other}`"),
        ]
    );
    let closed = log.iter().find(|line| line["event"] == "close" && line["code"] == "denied_by_rule");
    assert!(closed.is_some_and(|line| line["host"] == "echo.test"), "{log:?}");
    // A change of the policy is no request, in no number.
    let text = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(text.contains("requests blocked") && !text.contains("policy was changed"), "{text}");
    backend.assert_nothing_left(&home, agent);
}

fn a_policy_outlives_the_process_that_was_killed_while_it_sent_another(backend: Backend) {
    let agent = &format!("e2e-live-killed-{}", backend.name());
    let ip = backend.host_address();
    let page = serve(ip, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n");
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['page.test:{0}']\n      hosts: {{ page.test: {ip} }}\n      \
             private: [{{ host: page.test, range: {ip}/32 }}]\n",
            page.port()
        ),
    );
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    let ask = format!("curl -sS -f -m 60 http://page.test:{}/", page.port());
    assert_eq!(inside.ok(&ask), "page");
    for round in 0..12_u64 {
        // Killed at another moment each time, from before it has read the record until after it has its answer.
        let host = format!("round-{round}.test");
        let mut command = backend.command(&home, &["policy", "allow", agent, &host]);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 5));
        child.kill().unwrap();
        child.wait().unwrap();
        // What was allowed still is, and what is said of the other host is what counts.
        assert_eq!(inside.ok(&ask), "page");
        let said = policy(backend, &home, &["check", agent, &host]).status.code() == Some(0);
        let names = inside.run(&format!("{BARE} getent ahosts {host}")).code == 0;
        assert_eq!(said, names, "round {round}");
    }
    changes(backend, &home, &["deny", agent, "page.test"]);
    inside.fails(&ask);
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

/// pipelock reads its configuration once.
#[track_caller]
pub(super) fn is_refused_by_pipelock(home: &Home, agent: &str) {
    let output = policy(Backend::Docker, home, &["allow", agent, "other.test"]);
    assert_code(&output, 1);
    let said = stderr(&output);
    assert!(said.contains("error: pipelock takes no other policy while it runs"), "{said}");
    assert!(said.contains("start the bottle again: claude-bottle edit; claude-bottle stop"), "{said}");
    assert_code(&policy(Backend::Docker, home, &["check", agent, "other.test"]), 1);
}
