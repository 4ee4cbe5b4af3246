//! The relay between real sockets.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use super::*;

/// A relay on a port of the system's choice, and the socket it leads to.
fn relay(opening: Opening) -> (u16, UnixListener, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    let guard = UnixListener::bind(&path).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let entrance = Entrance::new(listener, &path, opening).unwrap();
    thread::spawn(move || run(vec![entrance], None));
    (port, guard, dir)
}

fn pair(opening: Opening) -> (TcpStream, UnixStream, tempfile::TempDir) {
    let (port, guard, dir) = relay(opening);
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    (client, guard.accept().unwrap().0, dir)
}

#[test]
fn every_byte_arrives_in_both_directions_at_once() {
    let (client, server, _dir) = pair(Opening::Plain);
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    thread::scope(|scope| {
        let send = |mut to: Box<dyn Write + Send>, end: Box<dyn Fn() + Send>| {
            let bytes = &bytes;
            scope.spawn(move || {
                to.write_all(bytes).unwrap();
                end();
            });
        };
        let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (up_end, down_end) = (up.try_clone().unwrap(), down.try_clone().unwrap());
        send(Box::new(up), Box::new(move || up_end.shutdown(Shutdown::Write).unwrap()));
        send(Box::new(down), Box::new(move || down_end.shutdown(Shutdown::Write).unwrap()));
        let read = |mut from: Box<dyn Read + Send>| {
            scope.spawn(move || {
                let mut all = Vec::new();
                from.read_to_end(&mut all).unwrap();
                all
            })
        };
        let (at_client, at_server) = (read(Box::new(&client)), read(Box::new(&server)));
        assert!(at_client.join().unwrap() == bytes && at_server.join().unwrap() == bytes);
    });
}

#[test]
fn the_end_of_one_side_leaves_the_other_direction_open() {
    let (mut client, mut server, _dir) = pair(Opening::Plain);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut asked = String::new();
    server.read_to_string(&mut asked).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((asked.as_str(), answer.as_str()), ("question", "answer"));
}

#[test]
fn a_client_that_reads_nothing_holds_no_other_back() {
    let (port, guard, _dir) = relay(Opening::Plain);
    let _deaf = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut flood, _) = guard.accept().unwrap();
    flood.set_nonblocking(true).unwrap();
    // Until no buffer on the way has room.
    while flood.write(&[0; 65_536]).is_ok() {}
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut server, _) = guard.accept().unwrap();
    client.write_all(b"through").unwrap();
    let mut got = [0; 7];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"through");
}

/// Reads a request's head.
fn head(server: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_forwarded_port_asks_for_its_place_and_then_carries() {
    let (mut client, mut server, _dir) = pair(Opening::Tunnel("db.example:5432".to_owned()));
    client.write_all(b"first").unwrap();
    assert_eq!(head(&mut server), "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n");
    // The answer's head in two pieces, and the server's first bytes with the second.
    server.write_all(b"HTTP/1.1 200 Connection established\r\n").unwrap();
    server.write_all(b"\r\nhello").unwrap();
    let (mut hello, mut first) = ([0; 5], [0; 5]);
    client.read_exact(&mut hello).unwrap();
    server.read_exact(&mut first).unwrap();
    assert_eq!((&hello, &first), (b"hello", b"first"));
}

#[test]
fn what_the_guard_refuses_ends() {
    for answer in [&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], b"SSH-2.0-x\r\n\r\n", &[b'x'; 9000]] {
        let (mut client, mut server, _dir) = pair(Opening::Tunnel("db.example:5432".to_owned()));
        head(&mut server);
        server.write_all(answer).unwrap();
        let mut rest = Vec::new();
        // Reset or ended: there is nothing to read.
        client.read_to_end(&mut rest).ok();
        assert_eq!(rest, b"", "{}", answer.escape_ascii());
    }
}

#[test]
fn without_a_guard_the_connection_ends_and_the_relay_goes_on() {
    let (port, guard, dir) = relay(Opening::Plain);
    drop(guard);
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.read_to_end(&mut Vec::new()).ok();
    std::fs::remove_file(dir.path().join("guard.sock")).unwrap();
    let guard = UnixListener::bind(dir.path().join("guard.sock")).unwrap();
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    guard.accept().unwrap();
}

#[test]
fn a_caught_connection_says_its_place_and_then_carries_without_an_answer() {
    let (mut client, mut server, _dir) = pair(Opening::Caught("a.example:443".to_owned()));
    client.write_all(b"first").unwrap();
    assert_eq!(head(&mut server), "CATCH a.example:443 HTTP/1.1\r\n\r\n");
    let mut first = [0; 5];
    server.read_exact(&mut first).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!((&first, answer.as_str()), (b"first", "answer"));
}

#[test]
fn entrances_come_and_go_while_others_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    let guard = UnixListener::bind(&path).unwrap();
    let (mut changes, arrivals) = changes::pair().unwrap();
    thread::spawn(move || run(Vec::new(), Some(arrivals)));
    let address = Ipv4Addr::new(127, 64, 77, 1);
    let listener = TcpListener::bind((address, 0)).unwrap();
    let place = listener.local_addr().unwrap();
    let entrance = Entrance::new(listener, &path, Opening::Plain).unwrap();
    changes.send(Change::Open(entrance.at(address)));
    let mut client = TcpStream::connect(place).unwrap();
    let (mut server, _) = guard.accept().unwrap();
    changes.send(Change::Close(address));
    while TcpStream::connect(place).is_ok() {
        thread::yield_now();
    }
    // What was taken before goes on.
    client.write_all(b"still").unwrap();
    let mut got = [0; 5];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still");
}
