//! Connections by the guest program's own code, between real sockets.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use claude_bottle_plugin_api::{CallServices, Event, Owner, Secret};
use serde_json::Value;

use super::*;

/// A port at which nothing listens: tcpmux, <https://www.rfc-editor.org/rfc/rfc1078>.
const UNUSED: u16 = 1;

/// A host that can be suspended, and can cancel.
struct Host {
    cancelled: PipeReader,
}

impl CallServices for Host {
    fn event(&self, _event: &Event) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn cancel_fd(&self) -> Option<OwnedFd> {
        self.cancelled.try_clone().ok().map(OwnedFd::from)
    }
    fn secret(&self, name: &str) -> Result<Secret> {
        Err(Failure::new(FailureKind::NotFound, name))
    }
    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
    fn service(&self, _name: &str, _payload: &Value) -> Result<Value> {
        Ok(Value::Null)
    }
}

/// Returns a call, and what cancels it when it is dropped.
fn host() -> (Call, PipeWriter) {
    let (cancelled, cancel) = io::pipe().unwrap();
    (Call::new(Arc::new(Host { cancelled })), cancel)
}

/// What a backend does, without a bottle: it runs the guest program's own code, to its end or that of the call.
fn run_guest(call: &Call, request: &ExecRequest) -> Result<ExitStatus> {
    assert_eq!(request.command[..2], ["guest", "join"]);
    let io = request.io()?;
    let port = request.command[2].parse().unwrap();
    let (done, end) = io::pipe().unwrap();
    let cancelled = call.cancel_fd().unwrap();
    thread::spawn(move || {
        let mut words = File::from(io.stderr);
        if let Err(error) = bottle_guest::join::join(port, io.stdin, io.stdout, &mut words) {
            writeln!(words, "bottle-guest: {error}").ok();
        }
        drop(end);
    });
    use rustix::event::{PollFd, PollFlags, poll};
    let mut waited = [PollFd::new(&done, PollFlags::IN), PollFd::new(&cancelled, PollFlags::IN)];
    poll(&mut waited, None).unwrap();
    if waited[0].revents().is_empty() { Err(Failure::cancelled()) } else { Ok(ExitStatus::code(0)) }
}

/// Joins one end of a pair of sockets to a port, and returns the other end.
fn joined(port: u16) -> (UnixStream, thread::JoinHandle<Result<Connected>>) {
    let (client, stream) = UnixStream::pair().unwrap();
    let joining = thread::spawn(move || {
        let request = ConnectRequest::new(port, stream.as_raw_fd());
        let (call, _cancel) = host();
        by_program(&call, &request, "guest", run_guest)
    });
    (client, joining)
}

fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn all(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn every_byte_arrives_in_both_directions_at_once() {
    let (listener, port) = server();
    let (client, joining) = joined(port);
    let server = listener.accept().unwrap().0;
    let bytes: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&bytes).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            (&server).write_all(&bytes).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
        });
        let at_server = scope.spawn(|| all(&server));
        assert!(all(&client) == bytes && at_server.join().unwrap() == bytes);
    });
    assert_eq!(joining.join().unwrap(), Ok(Connected::whole()));
}

#[test]
fn a_servers_end_is_heard_while_the_client_still_sends() {
    let (listener, port) = server();
    let (mut client, joining) = joined(port);
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"bye").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&client), b"bye");
    client.write_all(b"still here").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&server), b"still here");
    assert_eq!(joining.join().unwrap(), Ok(Connected::whole()));
}

#[test]
fn a_port_that_refuses_is_unreachable_with_the_reason_and_says_nothing_to_the_client() {
    let (mut client, stream) = UnixStream::pair().unwrap();
    let request = ConnectRequest::new(UNUSED, stream.as_raw_fd());
    let (call, _cancel) = host();
    let failure = by_program(&call, &request, "guest", run_guest).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert_eq!(failure.message, "cannot connect to port 1 in the bottle");
    assert!(failure.causes[0].contains("refused"), "{failure}");
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Closes a connection with something unread, which resets it.
fn reset(server: TcpStream) {
    assert!(server.peek(&mut [0]).unwrap() > 0);
    drop(server);
}

#[test]
fn a_server_that_breaks_off_is_cut_and_its_end_is_not_said() {
    let (listener, port) = server();
    let (mut client, stream) = UnixStream::pair().unwrap();
    let joining = {
        let stream = stream.try_clone().unwrap();
        let (call, _cancel) = host();
        thread::spawn(move || {
            let _cancel = _cancel;
            by_program(&call, &ConnectRequest::new(port, stream.as_raw_fd()), "guest", run_guest)
        })
    };
    client.write_all(b"unread").unwrap();
    reset(listener.accept().unwrap().0);
    assert_eq!(joining.join().unwrap(), Ok(Connected::cut()));
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_client_that_left_ends_the_connection_inside() {
    let (listener, port) = server();
    let (client, joining) = joined(port);
    let mut server = listener.accept().unwrap().0;
    drop(client);
    // Sent until it is refused: by then the connection is gone inside.
    while server.write_all(&[b'x'; 4096]).is_ok() {}
    assert_eq!(joining.join().unwrap(), Ok(Connected::whole()));
}

#[test]
fn a_cancelled_call_ends_it_and_the_program() {
    let (listener, port) = server();
    let (client, stream) = UnixStream::pair().unwrap();
    let (call, cancel) = host();
    let joining = thread::spawn(move || {
        by_program(&call, &ConnectRequest::new(port, stream.as_raw_fd()), "guest", run_guest)
    });
    let _server = listener.accept().unwrap().0;
    drop(cancel);
    assert_eq!(joining.join().unwrap().unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(all(&client), b"");
}

#[test]
fn a_program_of_a_connection_suspends_nothing() {
    let (call, _cancel) = host();
    assert!(call.suspend());
    let (_client, stream) = UnixStream::pair().unwrap();
    let request = ConnectRequest::new(1, stream.as_raw_fd());
    let failure = by_program(&call, &request, "guest", |call, _| {
        assert!(!call.suspend() && !call.cancelled());
        Err(crate::closed("guest"))
    });
    assert_eq!(failure.unwrap_err().kind, FailureKind::NotFound);
}

#[test]
fn a_program_that_fails_is_told_of_in_its_own_words_escaped() {
    let (call, _cancel) = host();
    let (_client, stream) = UnixStream::pair().unwrap();
    let request = ConnectRequest::new(80, stream.as_raw_fd());
    let failing = |said: &'static str| {
        let run = |_: &Call, request: &ExecRequest| {
            write!(File::from(request.io()?.stderr), "{said}").unwrap();
            Ok(ExitStatus::code(125))
        };
        by_program(&call, &request, "guest", run).unwrap_err()
    };
    let failure = failing("bottle-guest: no \x1b[2J\n");
    assert_eq!(
        (failure.kind, &failure.causes[..]),
        (FailureKind::Internal, &["bottle-guest: no \\u{1b}[2J".to_owned()][..])
    );
    assert_eq!(failing("").causes, ["exit code 125"]);
    assert_eq!(failing("refused \x1b[2J").causes, ["\\u{1b}[2J"]);
}

#[test]
fn sockets_are_joined_in_the_same_way() {
    let (listener, port) = server();
    let inside = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut client, stream) = UnixStream::pair().unwrap();
    let (call, _cancel) = host();
    let joining = thread::spawn(move || {
        let _cancel = _cancel;
        by_socket(&call, &ConnectRequest::new(port, stream.as_raw_fd()), inside.into())
    });
    let mut server = listener.accept().unwrap().0;
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&server), b"question");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(all(&client), b"answer");
    assert_eq!(joining.join().unwrap(), Ok(Connected::whole()));
}
