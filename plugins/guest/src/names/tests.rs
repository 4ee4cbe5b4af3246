//! The stub between real sockets, with a guard of the test's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;
use crate::relay;

/// Answers names that begin with `open` with a port, and refuses others. Says what it was asked.
fn guard(path: &Path, port: u16) -> Receiver<String> {
    let listener = UnixListener::bind(path).unwrap();
    let (sender, asked) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let answer = match head.starts_with("RESOLVE open") {
                true => format!("HTTP/1.1 200 OK\r\nX-Egress-Ports: {port}\r\n\r\n"),
                false => "HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(),
            };
            // Said first, since a test counts once it has its answer.
            sender.send(head.lines().next().unwrap_or_default().to_owned()).ok();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    asked
}

struct Fixture {
    datagrams: SocketAddr,
    streams: SocketAddr,
    asked: Receiver<String>,
    port: u16,
    dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guard.sock");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let asked = guard(&path, port);
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = (datagrams.local_addr().unwrap(), listener.local_addr().unwrap());
    serve(&path, datagrams, listener, relay::changes_for_tests()).unwrap();
    Fixture { datagrams: places.0, streams: places.1, asked, port, dir }
}

fn question(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

impl Fixture {
    fn client(&self) -> UdpSocket {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(self.datagrams).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client
    }

    /// Asks over UDP; returns the response code and the address, if there is one.
    fn ask(&self, name: &str, kind: u16) -> (u8, Option<Ipv4Addr>) {
        let client = self.client();
        client.send(&question(name, kind)).unwrap();
        let mut answer = [0; 512];
        let length = client.recv(&mut answer).unwrap();
        read(&answer[..length])
    }
}

fn read(answer: &[u8]) -> (u8, Option<Ipv4Addr>) {
    let address = (answer[7] == 1).then(|| <[u8; 4]>::try_from(&answer[answer.len() - 4..]).unwrap());
    (answer[3] & 15, address.map(Ipv4Addr::from))
}

const A: u16 = 1;
const AAAA: u16 = 28;

#[test]
fn an_open_name_has_an_address_at_which_the_port_listens() {
    let fixture = fixture();
    let (code, address) = fixture.ask("open.test", A);
    let address = address.unwrap();
    assert!(code == 0 && address.octets()[0] == 127 && address.octets()[1] & 0xc0 == 64, "{address}");
    TcpStream::connect((address, fixture.port)).unwrap();
    for kind in [AAAA, 15, 16, 33, 65, 255] {
        assert_eq!(fixture.ask("open.test", kind), (0, None));
    }
    assert_eq!(fixture.ask("OPEN.TEST", A), (0, Some(address)));
    // The connection above is asked for too, now or in a moment.
    let looked_up = fixture.asked.try_iter().filter(|line| line.starts_with("RESOLVE"));
    assert_eq!(looked_up.collect::<Vec<_>>(), ["RESOLVE open.test HTTP/1.1"]);
    // At an address that stands for nothing, nothing listens.
    TcpStream::connect((Ipv4Addr::new(127, 127, 255, 254), fixture.port)).unwrap_err();
}

#[test]
fn a_refused_name_is_decided_once_for_both_kinds_of_address_and_again_for_each_attempt() {
    let fixture = fixture();
    for _attempt in 0..3 {
        assert_eq!(fixture.ask("closed.test", A), (3, None));
        assert_eq!(fixture.ask("closed.test", AAAA), (3, None));
    }
    assert_eq!(fixture.asked.try_iter().count(), 3);
}

#[test]
fn what_leads_nowhere_and_the_loopback_itself_are_not_asked_for() {
    let fixture = fixture();
    assert_eq!(fixture.ask("localhost", A), (0, Some(Ipv4Addr::LOCALHOST)));
    assert_eq!(fixture.ask("app.localhost", AAAA), (0, None));
    assert_eq!(fixture.ask("1.0.0.127.in-addr.arpa", 12), (3, None));
    assert_eq!(fixture.asked.try_iter().count(), 0);
}

#[test]
fn without_a_guard_an_answer_says_that_it_cannot_be_said() {
    let fixture = fixture();
    std::fs::remove_file(fixture.dir.path().join("guard.sock")).unwrap();
    assert_eq!(fixture.ask("open.test", A), (2, None));
}

#[test]
fn a_message_that_is_not_a_question_is_answered_with_an_error_or_not_at_all() {
    let fixture = fixture();
    let client = fixture.client();
    let mut answer = [0; 512];
    client.send(b"short").unwrap();
    // Two questions at once.
    let mut two = question("open.test", A);
    two[5] = 2;
    client.send(&two).unwrap();
    let length = client.recv(&mut answer).unwrap();
    assert_eq!((length, answer[3] & 15), (12, 1), "the first message has no answer, the second an error");
    assert_eq!(fixture.asked.try_iter().count(), 0);
}

#[test]
fn over_tcp_questions_are_answered_one_after_the_other_whatever_others_do() {
    let fixture = fixture();
    // Half a length, a length that lies, and one that is too long.
    let idle: Vec<TcpStream> = [&[0][..], &[0, 40, 1, 2], &[255, 255]]
        .map(|bytes| {
            let mut stream = TcpStream::connect(fixture.streams).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .into();
    let mut client = TcpStream::connect(fixture.streams).unwrap();
    let framed = |name: &str| {
        let question = question(name, A);
        [&u16::try_from(question.len()).unwrap().to_be_bytes()[..], &question].concat()
    };
    client.write_all(&[framed("open.test"), framed("closed.test")].concat()).unwrap();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut length = [0; 2];
        client.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        client.read_exact(&mut answer).unwrap();
        answers.push(read(&answer));
    }
    assert!(answers[0].0 == 0 && answers[0].1.is_some() && answers[1] == (3, None), "{answers:?}");
    // The one that is too long is at its end.
    assert_eq!((&idle[2]).read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_flood_of_silent_clients_holds_no_other_up() {
    let fixture = fixture();
    let flood: Vec<_> = (0..4 * MAX_CLIENTS).map(|_| TcpStream::connect(fixture.streams).unwrap()).collect();
    assert_eq!(fixture.ask("closed.test", A), (3, None));
    // The first have gone for the last.
    flood[0].set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!((&flood[0]).read(&mut [0]).unwrap_or(0), 0);
}
