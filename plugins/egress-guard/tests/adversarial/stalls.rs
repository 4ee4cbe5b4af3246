//! Peers of HTTP/2 that stop in the middle: a client that takes no answer, and a host that takes no request. What waits for them is bounded.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::h2_raw::{
    DATA, END_HEADERS, HEADERS, SETTINGS, WINDOW, World, block, frame, inside, next, request, until,
};
use crate::support::certificates::Roots;
use crate::support::h2::Message;
use crate::support::held::{HOSTS, config, start};

/// What a guard may keep of one connection that stands still, in bytes: 4 MiB that were granted, and what lies in sockets and beneath TLS.
const KEPT: u64 = 12 << 20;

/// The setting that says how much of a stream may be under way, <https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2>.
const INITIAL_WINDOW: [u8; 2] = [0, 4];

/// Reads nothing behind the first bytes until it is told to, and then to the end.
struct Stalled {
    port: u16,
    go_on: Sender<()>,
    read: JoinHandle<u64>,
}

impl Stalled {
    fn start(roots: &Roots) -> Self {
        let mut config = ServerConfig::clone(&roots.server_for(&HOSTS));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (go_on, may): (_, Receiver<()>) = channel();
        let read = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let connection = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut first = [0; 24];
            stream.read_exact(&mut first).unwrap();
            stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
            may.recv().unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or_default()
        });
        Self { port, go_on, read }
    }
}

fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_client_that_takes_no_answer_makes_the_guard_keep_little_of_it() {
    let long = "0123456789abcdef".repeat(3 << 20);
    let size = long.len() as u64;
    let world = World::answering(move |_| Message { body: long.clone(), ..Message::default() });
    let whole = || {
        let mut inside = world.inside();
        let most = frame(SETTINGS, 0, 0, &[&INITIAL_WINDOW[..], &0x7fff_ffff_u32.to_be_bytes()].concat());
        inside.write_all(&[most, frame(WINDOW, 0, 0, &0x7000_0000_u32.to_be_bytes())].concat()).unwrap();
        inside.write_all(&request(1, &world.fields(&[]))).unwrap();
        let mut got = 0;
        while got < size {
            got += until(&mut inside, DATA).3.len() as u64;
        }
    };
    whole();
    let before = resident(world.guard.id());
    let stalled: Vec<_> = (0..3)
        .map(|_| {
            let mut inside = world.inside();
            let none = [&INITIAL_WINDOW[..], &0_u32.to_be_bytes()].concat();
            inside.write_all(&frame(SETTINGS, 0, 0, &none)).unwrap();
            inside.write_all(&request(1, &world.fields(&[]))).unwrap();
            until(&mut inside, HEADERS);
            inside
        })
        .collect();
    // As long as the whole takes one that does take it.
    whole();
    let grown = resident(world.guard.id()).saturating_sub(before);
    assert!(grown < KEPT * stalled.len() as u64, "{grown} bytes more for {size} bytes that nobody takes");
    assert!(KEPT < size);
}

#[test]
fn a_host_that_takes_no_request_makes_the_guard_take_little_of_it() {
    let roots = Roots::new();
    let host = Stalled::start(&roots);
    let guard = start(&config(host.port, &roots.pem));
    let ca = guard.event("listening")["ca"].as_str().unwrap().to_owned();
    let authority = format!("own.test:{}", host.port);
    let mut inside = inside(&guard, &ca, &authority);
    let fields = [(":method", "POST"), (":scheme", "https"), (":path", "/"), (":authority", &authority)];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    inside.write_all(&frame(HEADERS, END_HEADERS, 1, &block(&fields))).unwrap();
    // What may be sent on the connection and in the stream, until the guard says more.
    let (mut of_all, mut of_stream, mut sent) = (65_535_u64, 65_535_u64, 0_u64);
    inside.sock.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    loop {
        while of_all.min(of_stream) > 0 {
            let size = of_all.min(of_stream).min(16_384);
            inside.write_all(&frame(DATA, 0, 1, &vec![b'x'; size as usize])).unwrap();
            (of_all, of_stream, sent) = (of_all - size, of_stream - size, sent + size);
            assert!(sent < KEPT, "{sent} bytes were taken for a host that takes none");
        }
        match next(&mut inside) {
            Some((WINDOW, _, stream, more)) => {
                let more = u64::from(u32::from_be_bytes(more.try_into().unwrap()));
                if stream == 0 { of_all += more } else { of_stream += more }
            }
            Some((SETTINGS, 0, _, entries)) => {
                let entry = entries.chunks(6).find(|entry| entry[..2] == INITIAL_WINDOW);
                let size = entry.map(|entry| u32::from_be_bytes(entry[2..6].try_into().unwrap()));
                of_stream += u64::from(size.unwrap_or(65_535)) - 65_535;
            }
            Some((kind, ..)) => assert_ne!(kind, HEADERS, "an answer that no host has given"),
            None => break,
        }
    }
    assert!(sent >= 65_535, "{sent}");
    // It stands still, and has not ended.
    assert_eq!(inside.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // It ends with its client, whatever the host takes then.
    drop(inside);
    host.go_on.send(()).unwrap();
    let read = host.read.join().unwrap();
    assert!(read <= KEPT, "{read}");
}
