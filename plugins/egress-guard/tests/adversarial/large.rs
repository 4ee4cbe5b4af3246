//! Tunnels that carry much: they go through a pipe of the kernel's, and nothing about them may be different.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Guard, PATIENCE, Upstream, open_tunnel, read_all, relay};

/// Far beyond the bytes after which a direction changes its way, and no multiple of any buffer.
const SIZE: usize = 9_000_001;

fn guard_for(port: u16, listen: &str, limits: &Value) -> Guard {
    let config = json!({
        "limits": limits,
        "policy": {
            "rules": [{ "rule": format!("ok.test:{port}") }],
            "hosts": { "ok.test": ["127.0.0.1"] },
            "private": [{ "host": "ok.test", "range": "127.0.0.1/32" }],
        },
    });
    Guard::start_on(listen, &config, &[])
}

/// Bytes in no order, different for each seed: <https://en.wikipedia.org/wiki/Xorshift>.
fn noise(mut state: u64) -> Vec<u8> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(SIZE).collect()
}

/// Writes in pieces of uneven length, in a thread of its own.
fn writing(stream: &TcpStream, bytes: Vec<u8>, end: bool) -> JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        for piece in bytes.chunks(77_777) {
            stream.write_all(piece).unwrap();
        }
        if end {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    })
}

fn reads(stream: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).unwrap();
    assert!(read == bytes, "what arrives is not what was sent");
}

/// Both ends of a tunnel: the client's and the upstream's.
fn ends(to: std::net::SocketAddr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = open_tunnel(to, &format!("ok.test:{}", listener.local_addr().unwrap().port()));
    let (upstream, _) = listener.accept().unwrap();
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    upstream.set_write_timeout(Some(PATIENCE)).unwrap();
    (client, upstream)
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn carries_both_ways((mut client, mut upstream): (TcpStream, TcpStream), guard: &Guard) {
    let (up, down) = (noise(1), noise(2));
    let writers = [writing(&client, up.clone(), true), writing(&upstream, down.clone(), false)];
    let mut near = client.try_clone().unwrap();
    let reading = std::thread::spawn(move || reads(&mut near, &down));
    reads(&mut upstream, &up);
    assert_eq!(upstream.read(&mut [0]).unwrap(), 0, "the client's end is passed on");
    reading.join().unwrap();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    // The other direction is still open, and ends by itself.
    upstream.write_all(b"last").unwrap();
    drop(upstream);
    assert_eq!(read_all(&mut client), b"last");
    let line = guard.decision(&json!({ "event": "close" }));
    assert_eq!((&line["bytes_up"], &line["bytes_down"]), (&json!(SIZE), &json!(SIZE + 4)));
}

#[test]
fn both_directions_carry_every_byte() {
    let (listener, port) = listener();
    let guard = guard_for(port, "127.0.0.1:0", &json!({}));
    carries_both_ways(ends(guard.address(), &listener), &guard);
}

#[test]
fn both_directions_carry_every_byte_through_a_relay_and_a_unix_socket() {
    let (listener, port) = listener();
    let dir = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", dir.path().join("guard.sock").display());
    let guard = guard_for(port, &listen, &json!({}));
    let to = relay(&listen);
    carries_both_ways(ends(to, &listener), &guard);
}

#[test]
fn an_upstream_that_is_done_still_hears_the_client() {
    let (listener, port) = listener();
    let guard = guard_for(port, "127.0.0.1:0", &json!({}));
    let (mut client, mut upstream) = ends(guard.address(), &listener);
    let (up, down) = (noise(3), noise(4));
    let writer = writing(&upstream, down.clone(), true);
    reads(&mut client, &down);
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "the upstream's end is passed on");
    writer.join().unwrap();
    let writer = writing(&client, up.clone(), true);
    reads(&mut upstream, &up);
    assert_eq!(upstream.read(&mut [0]).unwrap(), 0);
    writer.join().unwrap();
    let line = guard.decision(&json!({ "event": "close" }));
    assert_eq!((&line["reason"], &line["bytes_up"]), (&json!("closed"), &json!(SIZE)));
}

#[test]
fn a_client_that_does_not_read_makes_the_upstream_wait() {
    /// More than the sockets and the pipe on the way hold together.
    const MUCH: usize = 200 * 1024 * 1024;
    let (listener, port) = listener();
    let guard = guard_for(port, "127.0.0.1:0", &json!({}));
    let (mut client, mut upstream) = ends(guard.address(), &listener);
    upstream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let bytes = noise(5);
    let mut taken = 0;
    let stalled = loop {
        match upstream.write(&bytes[taken % SIZE..]) {
            Ok(count) if taken < MUCH => taken += count,
            other => break other,
        }
    };
    assert_eq!(stalled.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "{taken} bytes were taken");
    assert!(taken > SIZE / 4, "only {taken} bytes were taken");
    // Once it reads, all that was taken arrives.
    drop(upstream);
    let arrived = read_all(&mut client);
    assert_eq!(arrived.len(), taken);
    assert!(arrived.iter().eq(bytes.iter().cycle().take(taken)), "what arrives is not what was sent");
    drop(client);
    let line = guard.decision(&json!({ "event": "close" }));
    assert_eq!(line["bytes_down"], taken);
}

#[test]
fn a_client_that_breaks_off_is_counted_for_what_it_took() {
    let (listener, port) = listener();
    let guard = guard_for(port, "127.0.0.1:0", &json!({}));
    let (mut client, mut upstream) = ends(guard.address(), &listener);
    let bytes = noise(6);
    let mut feeder = upstream.try_clone().unwrap();
    let feeding = std::thread::spawn(move || while feeder.write_all(&bytes).is_ok() {});
    client.read_exact(&mut vec![0; SIZE]).unwrap();
    drop(client);
    feeding.join().unwrap();
    assert_eq!(upstream.read(&mut [0]).unwrap_or(0), 0);
    let line = guard.decision(&json!({ "event": "close" }));
    assert!(line["bytes_down"].as_u64().unwrap() >= SIZE as u64, "{line}");
}

#[test]
fn idle_tunnels_are_ended_however_much_they_carried() {
    let (listener, port) = listener();
    // Made before there is a tunnel, which is idle meanwhile; and long enough for a machine with other work.
    let bytes = noise(7);
    let guard = guard_for(port, "127.0.0.1:0", &json!({ "idle_timeout_seconds": 3 }));
    let (mut client, upstream) = ends(guard.address(), &listener);
    let writer = writing(&upstream, bytes.clone(), false);
    reads(&mut client, &bytes);
    writer.join().unwrap();
    let last = std::time::Instant::now();
    assert!(read_all(&mut client).is_empty());
    // The guard counts in whole milliseconds, and wrote the last byte a moment before it was read.
    assert!(last.elapsed() >= Duration::from_millis(2_900), "it ended while it was busy");
    let line = guard.decision(&json!({ "event": "close", "code": "timeout" }));
    assert_eq!(line["bytes_down"], SIZE);
}

#[test]
fn tunnels_at_rest_hold_no_pipes() {
    const TUNNELS: usize = 40;
    let upstream = Upstream::echo();
    let guard = guard_for(upstream.port, "127.0.0.1:0", &json!({}));
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", guard.id())).unwrap().count();
    let before = descriptors();
    let bytes = &noise(8)[..1_000_000];
    let tunnels: Vec<TcpStream> = (0..TUNNELS)
        .map(|_| {
            let mut stream = open_tunnel(guard.address(), &format!("ok.test:{}", upstream.port));
            let writer = writing(&stream, bytes.to_vec(), false);
            reads(&mut stream, bytes);
            writer.join().unwrap();
            stream
        })
        .collect();
    let more = descriptors() - before;
    // Two sockets each, and what shows that pipes were used: the few that each thread keeps for the next bytes.
    assert!((2 * TUNNELS + 2..3 * TUNNELS).contains(&more), "{more} descriptors more");
    drop(tunnels);
}
