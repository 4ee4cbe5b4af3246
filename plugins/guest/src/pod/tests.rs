//! Calls over connections that are cut: the server and the client as they are, with sockets in place of a Pod.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::client::{Dial, Link, Said, Wire};
use super::frame::{self, Frame, Kind, PIECE};
use super::server::{Channel, Serve, Server};
use super::verbs::{Hello, Outcome, Side, VERSION, Verb, Welcome};

/// How much is said in a call: far more than a window holds.
const MUCH: usize = 100 * PIECE;

/// What is said at a place.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// A side that hands back what it hears (`policy`), says much (`log`), or waits until it is closed (`halt`).
#[derive(Default)]
struct Sayer {
    closed: Mutex<Option<Sender<()>>>,
    begun: AtomicUsize,
}

impl Serve for Arc<Sayer> {
    fn serve(&self, verb: Verb, channel: &Arc<Channel>) -> Outcome {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match verb {
            Verb::Policy => {
                let mut buffer = vec![0; PIECE];
                let mut input = channel.input();
                while let Ok(length @ 1..) = input.read(&mut buffer) {
                    channel.send(Kind::Out, buffer[..length].to_vec()).unwrap();
                }
            }
            Verb::Log { .. } => {
                for piece in 0..MUCH / PIECE {
                    let bytes = (piece * PIECE..(piece + 1) * PIECE).map(byte).collect();
                    channel.send(Kind::Out, bytes).unwrap();
                }
            }
            _ => {
                channel.send(Kind::Out, Vec::new()).unwrap();
                while channel.next().is_some() {}
                if let Some(closed) = self.closed.lock().unwrap().take() {
                    closed.send(()).unwrap();
                }
            }
        }
        Outcome::Done
    }

    fn greet(&self, frame: &Frame) -> Option<Frame> {
        if frame.kind == Kind::Beat {
            return Some(Frame::about(Kind::Beat, 0, 0));
        }
        let welcome = Welcome { version: VERSION, has_bottle: true, has_policy: false };
        Some(Frame::new(Kind::Welcome, 0, 0, serde_json::to_vec(&welcome).unwrap()))
    }
}

/// Makes connections to a server, each of which breaks after so many bytes of either direction.
struct Breaking {
    server: Server<Arc<Sayer>>,
    after: usize,
    made: Arc<AtomicUsize>,
    last: Arc<Mutex<Option<UnixStream>>>,
}

impl Dial for Breaking {
    fn dial(&self) -> io::Result<Wire> {
        self.made.fetch_add(1, Ordering::SeqCst);
        let (near, far) = UnixStream::pair()?;
        self.server.show(far)?;
        *self.last.lock().unwrap() = Some(near.try_clone()?);
        let reader = Cut { stream: near.try_clone()?, left: self.after };
        let writer = Cut { stream: near.try_clone()?, left: self.after };
        let close = move || drop(near.shutdown(Shutdown::Both));
        Ok(Wire { reader: Box::new(reader), writer: Box::new(writer), close: Box::new(close) })
    }
}

struct Cut {
    stream: UnixStream,
    left: usize,
}

impl Cut {
    fn spend(&mut self, most: usize) -> io::Result<usize> {
        let length = most.min(self.left);
        self.left -= length;
        if length == 0 && most > 0 {
            self.stream.shutdown(Shutdown::Both).ok();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(length)
    }
}

impl Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.spend(buffer.len())?;
        let read = (&self.stream).read(&mut buffer[..length])?;
        self.left += length - read;
        Ok(read)
    }
}

impl io::Write for Cut {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.spend(buffer.len())?;
        io::Write::write_all(&mut &self.stream, &buffer[..length])?;
        Ok(length)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pair {
    link: Link,
    sayer: Arc<Sayer>,
    server: Server<Arc<Sayer>>,
    made: Arc<AtomicUsize>,
    last: Arc<Mutex<Option<UnixStream>>>,
}

fn pair(after: usize) -> Pair {
    let sayer = Arc::<Sayer>::default();
    let server = Server::new(Arc::clone(&sayer)).unwrap();
    let (made, last) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<_>>::default());
    let dial = Breaking { server: server.clone(), after, made: Arc::clone(&made), last: Arc::clone(&last) };
    let link = Link::open(dial, Hello { version: VERSION, grace: Some(60) }).unwrap();
    Pair { link, sayer, server, made, last }
}

/// Hears a call to its end, and checks that each byte comes once and in its place.
fn hear_all(call: &super::client::Call, expected: usize) {
    let mut at = 0;
    loop {
        match call.next().unwrap() {
            Said::Out(bytes) => {
                assert!(bytes.iter().enumerate().all(|(index, got)| *got == byte(at + index)), "at {at}");
                at += bytes.len();
            }
            Said::Result(outcome) => {
                assert_eq!((at, outcome), (expected, Outcome::Done));
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn output_comes_whole_however_often_the_connection_breaks() {
    let pair = pair(200_000);
    hear_all(&pair.link.call(Side::Bottle, &Verb::Log { from: 0, follow: true }).unwrap(), MUCH);
    assert!(pair.made.load(Ordering::SeqCst) > 10);
    assert_eq!(pair.sayer.begun.load(Ordering::SeqCst), 1);
}

#[test]
fn input_arrives_whole_however_often_the_connection_breaks() {
    let pair = pair(300_000);
    let call = pair.link.call(Side::Bottle, &Verb::Policy).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bytes: Vec<u8> = (0..MUCH).map(byte).collect();
            call.send(&bytes).unwrap();
            call.end().unwrap();
        });
        hear_all(&call, MUCH);
    });
    assert!(pair.made.load(Ordering::SeqCst) > 10);
    assert_eq!(pair.sayer.begun.load(Ordering::SeqCst), 1);
}

#[test]
fn calls_at_once_do_not_hold_each_other_up() {
    let pair = pair(usize::MAX);
    // Nothing takes what this one says.
    let stuck = pair.link.call(Side::Bottle, &Verb::Log { from: 0, follow: true }).unwrap();
    for _ in 0..3 {
        hear_all(&pair.link.call(Side::Bottle, &Verb::Log { from: 0, follow: true }).unwrap(), MUCH);
    }
    hear_all(&stuck, MUCH);
}

#[test]
fn a_call_that_is_dropped_is_closed_on_the_other_side() {
    let pair = pair(usize::MAX);
    let (closed, hears) = channel();
    *pair.sayer.closed.lock().unwrap() = Some(closed);
    let call = pair.link.call(Side::Bottle, &Verb::Halt).unwrap();
    call.next().unwrap();
    drop(call);
    hears.recv().unwrap();
}

#[test]
fn a_call_that_nothing_shows_is_closed_after_a_while() {
    let pair = pair(usize::MAX);
    let (closed, hears): (Sender<()>, Receiver<()>) = channel();
    *pair.sayer.closed.lock().unwrap() = Some(closed);
    let exec = crate::protocol::Exec {
        command: Vec::new(),
        env: Vec::new(),
        directory: "/".to_owned(),
        terminal: None,
    };
    let call = pair.link.call(Side::Bottle, &Verb::Exec { exec, linger: 0 }).unwrap();
    call.next().unwrap();
    call.leave();
    // The other end of it sees it, and the next connection does not have the call.
    drop(pair.link);
    hears.recv().unwrap();
}

#[test]
fn another_process_takes_a_call_over() {
    let pair = pair(usize::MAX);
    let call = pair.link.call(Side::Bottle, &Verb::Policy).unwrap();
    call.send(b"one").unwrap();
    assert_eq!(call.next().unwrap(), Said::Out(b"one".to_vec()));
    let dial = Breaking {
        server: pair.server.clone(),
        after: usize::MAX,
        made: Arc::default(),
        last: Arc::default(),
    };
    let other = Link::open(dial, Hello { version: VERSION, grace: None }).unwrap();
    let taken = other.attach(call.leave()).unwrap();
    taken.send(b"two").unwrap();
    taken.end().unwrap();
    let said =
        std::iter::from_fn(|| Some(taken.next().unwrap())).find(|said| *said != Said::Out(b"one".to_vec()));
    assert_eq!(said, Some(Said::Out(b"two".to_vec())));
    assert_eq!(taken.next().unwrap(), Said::Result(Outcome::Done));
}

#[test]
fn a_pod_that_is_gone_ends_the_call() {
    let sayer = Arc::<Sayer>::default();
    let server = Server::new(sayer).unwrap();
    let is_gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let gone = Arc::clone(&is_gone);
    let far = Arc::<Mutex<Option<UnixStream>>>::default();
    let kept = Arc::clone(&far);
    let dial = move || {
        if gone.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (near, far) = UnixStream::pair()?;
        server.show(far)?;
        *kept.lock().unwrap() = Some(near.try_clone()?);
        let reader = near.try_clone()?;
        Ok(Wire { reader: Box::new(reader), writer: Box::new(near), close: Box::new(|| ()) })
    };
    let link = Link::open(dial, Hello { version: VERSION, grace: Some(3600) }).unwrap();
    let call = link.call(Side::Bottle, &Verb::Halt).unwrap();
    call.next().unwrap();
    is_gone.store(true, Ordering::SeqCst);
    far.lock().unwrap().take().unwrap().shutdown(Shutdown::Both).unwrap();
    assert_eq!(call.next().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(link.call(Side::Bottle, &Verb::Halt).is_err());
}

/// It takes a few beats of a connection.
#[test]
fn a_connection_without_a_welcome_is_given_up_for_another() {
    let server = Server::new(Arc::<Sayer>::default()).unwrap();
    let silent = Arc::<Mutex<Vec<UnixStream>>>::default();
    let kept = Arc::clone(&silent);
    let dial = move || {
        let (near, far) = UnixStream::pair()?;
        let mut kept = kept.lock().unwrap();
        if kept.is_empty() {
            kept.push(far);
        } else {
            server.show(far)?;
        }
        let (reader, ends) = (near.try_clone()?, near.try_clone()?);
        let close = move || drop(ends.shutdown(Shutdown::Both));
        Ok(Wire { reader: Box::new(reader), writer: Box::new(near), close: Box::new(close) })
    };
    let link = Link::open(dial, Hello { version: VERSION, grace: None }).unwrap();
    assert!(link.welcome().is_some());
    assert_eq!(silent.lock().unwrap().len(), 1);
}

#[test]
fn a_connection_that_breaks_the_rules_ends_and_no_call_with_it() {
    let pair = pair(usize::MAX);
    let call = pair.link.call(Side::Bottle, &Verb::Policy).unwrap();
    call.send(b"one").unwrap();
    assert_eq!(call.next().unwrap(), Said::Out(b"one".to_vec()));
    let bad = [
        Frame::about(Kind::Out, 2, 1),
        Frame::about(Kind::Welcome, 0, 0),
        Frame::about(Kind::Input, call.id(), u64::MAX),
        Frame::about(Kind::Ack, call.id(), u64::MAX),
        Frame::about(Kind::Resume, call.id(), u64::MAX),
    ];
    for frame in bad {
        let (near, far) = UnixStream::pair().unwrap();
        pair.server.show(far).unwrap();
        if matches!(frame.kind, Kind::Input | Kind::Ack) {
            frame::write(&mut &near, &Frame::about(Kind::Resume, call.id(), 0)).unwrap();
        }
        frame::write(&mut &near, &frame).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        while let Some(answer) = frame::read(&mut &near).unwrap_or(None) {
            assert!(matches!(answer.kind, Kind::Resumed | Kind::Ack | Kind::Out), "{frame:?}: {answer:?}");
        }
    }
    // The host's own connection is made again, and has the call.
    let last = pair.last.lock().unwrap().take().unwrap();
    last.shutdown(Shutdown::Both).unwrap();
    call.end().unwrap();
    assert_eq!(call.next().unwrap(), Said::Result(Outcome::Done));
}
