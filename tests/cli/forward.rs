//! `forward`: a bottle's ports on the loopback of this machine. A fake bottle has that loopback itself, so that the number of a
//! port is always taken here.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::support::{Home, Live, assert_code, assert_says, stderr, stdout};

/// How long a byte may take, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts an agent that runs until its standard input is closed.
fn running(home: &Home) -> Live {
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    run
}

/// A server of the bottle.
fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server at a port that the system gives to nothing by itself, so that it stays free when the server ends.
fn server_at_a_quiet_port() -> (TcpListener, u16) {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let listen = |port| Some((TcpListener::bind(("127.0.0.1", port)).ok()?, port));
    (first..32_000).find_map(listen).unwrap()
}

/// Opens ports, and returns under which numbers they are here.
fn forward(home: &Home, ports: &[u16], faults: &[(&str, &str)]) -> (Live, Vec<u16>) {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let mut words = vec!["forward", "shell"];
    words.extend(ports.iter().map(String::as_str));
    let forward = Live::start(home.command(&words).envs(faults.iter().copied()));
    let mut urls = String::new();
    while urls.lines().count() < ports.len() {
        urls = forward.wait_for_stdout(&format!("{urls}http://"));
    }
    let number = |url: &str| url.strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
    let numbers = urls.lines().map(number).collect();
    (forward, numbers)
}

fn connect(port: u16) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn all(mut from: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    all
}

/// Reads what is no answer: the connection was broken off.
#[track_caller]
fn assert_reset(mut client: &TcpStream) {
    let read = client.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_port_is_opened_each_way_and_a_ctrl_c_closes_it() {
    let home = Home::new();
    let run = running(&home);
    let (listener, port) = server();
    let (forward, numbers) = forward(&home, &[port], &[]);
    assert_ne!(numbers, [port]);
    let client = connect(numbers[0]);
    let (mut inside, _) = listener.accept().unwrap();
    (&client).write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&inside), b"question");
    inside.write_all(b"answer").unwrap();
    drop(inside);
    assert_eq!(all(&client), b"answer");
    // One that is open goes with it.
    let open = connect(numbers[0]);
    let inside = listener.accept().unwrap().0;
    forward.send(Signal::INT);
    let output = forward.end();
    assert_code(&output, 130);
    assert_eq!(stdout(&output), format!("http://127.0.0.1:{}\n", numbers[0]));
    let told = format!("port {port} cannot be had here: the bottle's is at {}\n", numbers[0]);
    assert_eq!(stderr(&output), told);
    assert_reset(&open);
    assert_eq!(all(&inside), b"");
    let refused = TcpStream::connect(("127.0.0.1", numbers[0])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_code(&run.end(), 0);
    home.assert_nothing_left();
}

#[test]
fn several_ports_are_open_at_once_and_many_connections() {
    let home = Home::new();
    let run = running(&home);
    let servers = [server(), server()];
    let (forward, numbers) = forward(&home, &servers.each_ref().map(|(_, port)| *port), &[]);
    thread::scope(|scope| {
        for (index, (listener, _)) in servers.iter().enumerate() {
            scope.spawn(move || {
                for _ in 0..80 {
                    let (mut inside, _) = listener.accept().unwrap();
                    // Each waits for its client, so that all that may be are open together.
                    thread::spawn(move || {
                        let mut letter = [0];
                        inside.read_exact(&mut letter).unwrap();
                        inside.write_all(&[letter[0], b'0' + u8::try_from(index).unwrap()]).unwrap();
                    });
                }
            });
        }
        // More than are carried at once: the others wait, and are taken when one has ended.
        let clients: Vec<_> = (0..160).map(|n| (n % 2, connect(numbers[n % 2]))).collect();
        for (index, client) in &clients {
            (&*client).write_all(b"x").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(all(client), [b'x', b'0' + u8::try_from(*index).unwrap()]);
        }
    });
    forward.send(Signal::TERM);
    assert_code(&forward.end(), 130);
    assert_code(&run.end(), 0);
}

#[test]
fn it_ends_with_its_bottle() {
    let home = Home::new();
    let run = running(&home);
    let (_listener, port) = server();
    let (forward, _) = forward(&home, &[port], &[]);
    assert_code(&run.end(), 0);
    let said = forward.wait_for_stderr("has ended");
    assert_snapshot!(home.filtered(said.lines().last().unwrap()), @"fake-shell-[ID] has ended");
    assert_code(&forward.end(), 0);
    home.assert_nothing_left();
}

#[test]
fn a_port_where_nothing_listens_is_told_once_and_its_client_is_reset() {
    let home = Home::new();
    let run = running(&home);
    let (listener, port) = server_at_a_quiet_port();
    let (forward, numbers) = forward(&home, &[port], &[]);
    drop(listener);
    let told =
        format!("warning: cannot connect to port {port} in the bottle: Connection refused (os error 111)\n");
    for _ in 0..3 {
        assert_reset(&connect(numbers[0]));
    }
    forward.wait_for_stderr(&told);
    // It works again, and what is said after that is said once more.
    let again = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let client = connect(numbers[0]);
    drop(again.accept().unwrap());
    assert_eq!(all(&client), b"");
    drop((client, again));
    // The end of the one before it may not be known yet.
    let said = loop {
        assert_reset(&connect(numbers[0]));
        let said = forward.wait_for_stderr(&told);
        if said.matches(&told).count() == 2 {
            break said;
        }
    };
    forward.send(Signal::INT);
    let output = forward.end();
    assert_code(&output, 130);
    assert_eq!(stderr(&output), said);
    assert_code(&run.end(), 0);
}

#[test]
fn a_backend_that_fails_is_told_of_and_what_is_open_goes_on() {
    let home = Home::new();
    let run = running(&home);
    let (_listener, port) = server();
    for (fault, told) in [
        ("error:connect", "warning: a fault was asked for in `connect`"),
        ("panic:connect", "warning: backend `fake` panicked"),
    ] {
        let (forward, numbers) = forward(&home, &[port], &[("CLAUDE_BOTTLE_FAKE_FAULT", fault)]);
        for _ in 0..2 {
            assert_reset(&connect(numbers[0]));
        }
        forward.wait_for_stderr(told);
        forward.send(Signal::INT);
        let output = forward.end();
        assert_code(&output, 130);
        assert_eq!(stderr(&output).matches("warning:").count(), 1, "{}", stderr(&output));
    }
    assert_code(&run.end(), 0);
}

#[test]
fn json_is_a_line_a_port() {
    let home = Home::new();
    let run = running(&home);
    let (_listener, port) = server();
    let words = ["forward", "shell", &port.to_string(), "--format", "json", "-q"];
    let forward = Live::start(&mut home.command(&words));
    let line = forward.wait_for_stdout("\n");
    let shown: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(shown["port"], port);
    assert_eq!(shown["url"], format!("http://127.0.0.1:{}", shown["host_port"]));
    assert_eq!(shown.as_object().unwrap().len(), 3);
    assert_code(&run.end(), 0);
    let output = forward.end();
    assert_code(&output, 0);
    assert_eq!((stdout(&output), stderr(&output)), (line, String::new()));
}

/// Lists the addresses at which a process listens, as the kernel writes them.
fn listening(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links: Vec<_> = links.filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            // <https://docs.kernel.org/networking/proc_net_tcp.html>: 0A is LISTEN.
            let fields: Vec<_> = line.split_whitespace().collect();
            let link = format!("socket:[{}]", fields[9]);
            if fields[3] == "0A" && links.iter().any(|known| known.to_string_lossy() == link) {
                found.push(fields[1].to_owned());
            }
        }
    }
    found
}

#[test]
fn a_forward_listens_on_the_loopback_alone() {
    let home = Home::new();
    let run = running(&home);
    let (_listener, port) = server();
    let (forward, numbers) = forward(&home, &[port, port], &[]);
    let mut expected: Vec<_> = numbers.iter().map(|number| format!("0100007F:{number:04X}")).collect();
    let mut found = listening(forward.pid());
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    forward.send(Signal::INT);
    assert_code(&forward.end(), 130);
    assert_code(&run.end(), 0);
}

#[test]
fn what_cannot_be_forwarded_is_refused_before_anything_is_open() {
    let home = Home::new();
    assert_snapshot!(home.shown(&["forward", "shell", "80"]), @"
    exit 1
    --- stderr
    error: there is no bottle `shell`; none is running

    hint: claude-bottle list active
    ");
    assert_snapshot!(home.shown(&["forward", "shell", "80:http"]), @"
    exit 2
    --- stderr
    error: invalid value '80:http' for '<PORT[:HOSTPORT]>...': `http` is not a valid port: use a whole number from 1 to 65535

    For more information, try '--help'.
    ");
    let run = running(&home);
    let (_listener, port) = server();
    let output = home.call(&["forward", "shell", &format!("80:{port}")]);
    assert_code(&output, 1);
    assert_says(
        &stderr(&output),
        &[
            &format!("error: cannot listen on `127.0.0.1:{port}`"),
            "caused by: Address already in use",
            "hint: let a free one be found: claude-bottle forward BOTTLE 80",
        ],
    );
    assert_eq!(stdout(&output), "");
    assert_code(&run.end(), 0);
}
