//! Another policy while the guard runs: it counts at once and for all that is open, and a wrong one changes nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{
    Guard, Upstream, allowing, binary, connect, get, open_tunnel, read_all, read_answer, send,
};

fn start(upstream: &Upstream, names: &[&str]) -> Guard {
    Guard::start_controlled(&json!({ "policy": allowing(upstream, names) }))
}

fn tunnel(guard: &Guard, upstream: &Upstream, name: &str) -> TcpStream {
    let mut stream = open_tunnel(guard.address(), &format!("{name}:{}", upstream.port));
    echoes(&mut stream);
    stream
}

fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"still there").unwrap();
    let mut back = [0; 11];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"still there");
}

fn connect_status(guard: &Guard, place: &str) -> u16 {
    send(guard.address(), format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes()).status
}

#[test]
fn a_tunnel_that_is_allowed_no_more_ends_and_the_others_go_on() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test", "other.test"]);
    let [mut kept, mut ended] = ["ok.test", "other.test"].map(|name| tunnel(&guard, &upstream, name));
    let answer = guard.change(&allowing(&upstream, &["ok.test"]));
    assert_eq!((&answer["event"], &answer["reload"]), (&json!("reloaded"), &json!("test-1")), "{answer}");
    // Not a byte comes that the server did not send: what is in a tunnel is encrypted, and no alert belongs there.
    assert!(read_all(&mut ended).is_empty());
    let line = guard.decision(&json!({ "event": "close", "host": "other.test" }));
    assert_eq!((&line["verdict"], &line["code"]), (&json!("deny"), &json!("not_in_allowlist")), "{line}");
    echoes(&mut kept);
    let place = format!("other.test:{}", upstream.port);
    assert_eq!(send(guard.address(), &get(&place, "/")).code(), "not_in_allowlist");
    assert_eq!(connect_status(&guard, &place), 403);
    let line = guard.decision(&json!({ "event": "policy" }));
    assert_eq!(line["reason"], format!("the policy was changed: removed `{place}`"), "{line}");
    assert_eq!((&line["verdict"], &line["bottle"]), (&json!("allow"), &json!("test")));
    // And back again, for later requests.
    guard.change(&allowing(&upstream, &["ok.test", "other.test"]));
    drop(tunnel(&guard, &upstream, "other.test"));
    echoes(&mut kept);
}

#[test]
fn a_rule_that_denies_and_a_grant_that_is_taken_back_end_a_tunnel_too() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test", "other.test"]);
    let [mut denied, mut private] = ["ok.test", "other.test"].map(|name| tunnel(&guard, &upstream, name));
    let mut policy = allowing(&upstream, &["ok.test", "other.test"]);
    policy["rules"].as_array_mut().unwrap().push(json!({ "rule": "deny ok.test" }));
    policy["private"] = json!([]);
    guard.change(&policy);
    for (stream, code) in [(&mut denied, "denied_by_rule"), (&mut private, "private_address")] {
        assert!(read_all(stream).is_empty());
        guard.decision(&json!({ "event": "close", "code": code }));
    }
}

#[test]
fn what_is_not_a_whole_policy_changes_nothing() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test"]);
    let mut open = tunnel(&guard, &upstream, "ok.test");
    for (line, part) in [
        ("", "EOF"),
        ("rules: []", "expected"),
        ("{}", "name"),
        (r#"{"reload":"x","policy":null}"#, "not a mapping"),
        (r#"{"reload":"x","policy":[]}"#, "not a mapping"),
        (r#"{"reload":"x","policy":{"rules":[{"rule":"*"}]}}"#, "`*`"),
        (r#"{"reload":"x","policy":{"rules":[]},"listen":"0.0.0.0:1"}"#, "unknown field"),
        (r#"{"reload":"x","policy":{"hosts":{"ok.test":[]}}}"#, "policy"),
        (r#"{"reload":"x","policy":{"private":[{"host":"ok.test","range":"0.0.0.0/0"}]}}"#, "policy"),
        (r#"{"reload":"x","policy":{"rules":["#, "EOF"),
    ] {
        let answer = guard.control(&format!("{line}\n"));
        assert_eq!(answer["event"], "reload_failed", "{line}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "{line}: {answer}");
        echoes(&mut open);
    }
    // Of a client that is gone in the middle there is no line, however much of it has come.
    let whole = json!({ "reload": "x", "policy": { "rules": [] } }).to_string();
    for end in [1, whole.len() / 2, whole.len()] {
        assert_eq!(guard.control(&whole[..end]), Value::Null, "{end}");
    }
    echoes(&mut open);
    assert!(!guard.log().iter().any(|line| line["event"] == "policy"), "{:?}", guard.log());
    assert_eq!(guard.change(&json!({ "rules": [] }))["event"], "reloaded");
    assert!(read_all(&mut open).is_empty());
}

#[test]
fn plain_http_under_way_ends_as_well() {
    let upstream = Upstream::ok();
    let guard = start(&upstream, &["ok.test"]);
    let place = format!("ok.test:{}", upstream.port);
    let mut stream = connect(guard.address());
    let head = format!("POST http://{place}/ HTTP/1.1\r\nHost: {place}\r\nContent-Length: 9000\r\n\r\nbegun");
    stream.write_all(head.as_bytes()).unwrap();
    upstream.wait_for("begun");
    guard.change(&json!({ "rules": [] }));
    let answer = read_answer(&mut stream);
    assert_eq!((answer.status, answer.code()), (403, "not_in_allowlist"));
}

#[test]
fn names_and_caught_connections_follow_the_policy() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test"]);
    let place = format!("ok.test:{}", upstream.port);
    let resolve = || send(guard.address(), b"RESOLVE ok.test HTTP/1.1\r\n\r\n").status;
    let catch = || {
        let mut stream = connect(guard.address());
        write!(stream, "CATCH {place} HTTP/1.1\r\n\r\nSSH-2.0-x\r\n").unwrap();
        stream
    };
    assert_eq!(resolve(), 200);
    let mut caught = catch();
    caught.read_exact(&mut [0; 11]).unwrap();
    guard.change(&json!({ "rules": [] }));
    assert!(read_all(&mut caught).is_empty());
    assert_eq!(resolve(), 403);
    read_all(&mut catch());
    let line = guard.decision(
        &json!({ "event": "request", "host": "ok.test", "verdict": "deny", "port": upstream.port }),
    );
    assert_eq!(line["code"], "not_in_allowlist");
    guard.change(&allowing(&upstream, &["ok.test"]));
    assert_eq!(resolve(), 200);
    catch().read_exact(&mut [0; 11]).unwrap();
}

#[test]
fn a_file_that_is_read_again_ends_what_it_allows_no_more() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test", "other.test"]);
    let [mut kept, mut ended] = ["ok.test", "other.test"].map(|name| tunnel(&guard, &upstream, name));
    guard.reload(&json!({ "policy": allowing(&upstream, &["ok.test"]) }));
    guard.event("reloaded");
    assert!(read_all(&mut ended).is_empty());
    echoes(&mut kept);
}

#[test]
fn a_tunnel_that_opens_at_that_very_moment_is_not_left_open() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test"]);
    let place = format!("ok.test:{}", upstream.port);
    // Each opens tunnels until it is refused, keeps the last ones, and then waits for them to end.
    let open = || {
        let mut streams = Vec::new();
        loop {
            let mut stream = connect(guard.address());
            write!(stream, "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").unwrap();
            if read_answer(&mut stream).status != 200 {
                return streams.iter_mut().map(read_all).collect::<Vec<_>>();
            }
            if streams.len() > 8 {
                streams.remove(0);
            }
            streams.push(stream);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        guard.decision(&json!({ "event": "request", "verdict": "allow" }));
        guard.change(&json!({ "rules": [] }));
        for thread in threads {
            assert!(thread.join().unwrap().iter().all(Vec::is_empty));
        }
    });
}

#[test]
fn the_control_socket_is_its_owners_and_one_that_stays_silent_does_not_keep_it() {
    let upstream = Upstream::echo();
    let guard = start(&upstream, &["ok.test"]);
    let mode = std::fs::metadata(guard.control_socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    // It is answered once the silent one has gone.
    let silent = std::os::unix::net::UnixStream::connect(guard.control_socket()).unwrap();
    std::thread::scope(|scope| {
        let change = scope.spawn(|| guard.change(&json!({ "rules": [] })));
        drop(silent);
        assert_eq!(change.join().unwrap()["event"], "reloaded");
    });
}

const SECRETS: &str = r#"[{"name":"TOKEN","value":"hunter2-hunter2-hunter2"}]"#;

#[test]
fn behind_the_secrets_on_standard_input_policies_follow() {
    let upstream = Upstream::ok();
    let config = json!({
        "version": 1, "bottle": "b", "listen": "127.0.0.1:0", "policy": { "rules": [] },
    });
    let mut child = Command::new(binary())
        .args(["run", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut events = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut event = || serde_json::from_str::<Value>(&events.next().unwrap().unwrap()).unwrap();
    // It listens although its input has no end.
    write!(input, "{config}\n...\n{SECRETS}\n...\n").unwrap();
    let address = event()["address"].as_str().unwrap().parse().unwrap();
    let place = format!("ok.test:{}", upstream.port);
    let ask = |path: &str| send(address, &get(&place, path));
    assert_eq!(ask("/").code(), "not_in_allowlist");
    let line = json!({ "reload": "one", "policy": allowing(&upstream, &["ok.test"]) }).to_string();
    // A process that dies in the middle of its line leaves the old policy, and the next one begins a line of its own.
    input.write_all(&line.as_bytes()[..line.len() / 2]).unwrap();
    writeln!(input, "\n{line}").unwrap();
    let failed = event();
    assert_eq!((&failed["event"], &failed["reload"]), (&json!("reload_failed"), &json!("")), "{failed}");
    let done = event();
    assert_eq!((&done["event"], &done["reload"]), (&json!("reloaded"), &json!("one")), "{done}");
    assert_eq!(ask("/").status, 200);
    // The secrets are those of the start.
    assert_eq!(ask("/?q=hunter2-hunter2-hunter2").code(), "dlp_secret");
    // It goes on when its input ends.
    drop(input);
    assert_eq!(ask("/").status, 200);
    child.kill().unwrap();
    child.wait().unwrap();
}
