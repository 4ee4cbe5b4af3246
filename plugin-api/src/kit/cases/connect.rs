//! Connect: a descriptor of the host's, joined to a port of the bottle's loopback.

use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::abi::host::CallHost;
use crate::kit::bench::{Bench, Caller, Check, Session, Stop, call, caller, ensure};
use crate::kit::program::script;
use crate::{Bottle, ConnectRequest, Connected, ExecRequest, ExecRole, FailureKind, Result};

/// How long a byte or an end may take to the other side.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much is sent each way, which no buffer on the way holds.
const LARGE: usize = 4 << 20;
/// A port at which nothing listens: tcpmux, <https://www.rfc-editor.org/rfc/rfc1078>.
const UNUSED: u16 = 1;

/// Starts a server with what there is in the bottle, which prints its port.
const SERVER: &str = "if command -v python3 >/dev/null; then exec python3 -c \"$1\"; \
    elif command -v perl >/dev/null; then exec perl -e \"$2\"; else echo none; fi";

/// After an `e` it sends everything back once its client has ended; after another letter it ends first, and prints how much
/// still comes.
const PYTHON: &str = r#"
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(16)
print(s.getsockname()[1], flush=True)
def rest(c):
    while True:
        try:
            some = c.recv(65536)
        except OSError:
            some = b""
        if not some:
            return
        yield some
while True:
    c, _ = s.accept()
    if c.recv(1) == b"e":
        c.sendall(b"".join(rest(c)))
    else:
        c.sendall(b"bye")
        c.shutdown(socket.SHUT_WR)
        print(sum(map(len, rest(c))), flush=True)
    c.close()
"#;

/// The same in Perl.
const PERL: &str = r#"
use Socket;
$| = 1;
socket(S, PF_INET, SOCK_STREAM, 0) or die;
bind(S, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die;
listen(S, 16) or die;
print +(unpack_sockaddr_in(getsockname(S)))[0], "\n";
while (accept(C, S)) {
    sysread(C, $kind, 1);
    if ($kind eq "e") {
        $all = "";
        while (sysread(C, $some, 65536)) { $all .= $some }
        while (length $all) { $n = syswrite(C, $all) or last; substr($all, 0, $n) = "" }
    } else {
        syswrite(C, "bye");
        shutdown(C, 1);
        $n = 0;
        while ($m = sysread(C, $some, 65536)) { $n += $m }
        print "$n\n";
    }
    close C;
}
"#;

/// Runs a server in the bottle for as long as `body` does, which is given its port and what it prints.
fn serving<T>(
    session: &Session<'_>,
    bottle: &Bottle,
    body: impl FnOnce(u16, &mut BufReader<&PipeReader>) -> Check<T>,
) -> Check<T> {
    let (stdin, _feed) = std::io::pipe()?;
    let (out, stdout) = std::io::pipe()?;
    let mut request = ExecRequest::new(script(SERVER, &[PYTHON, PERL]), ExecRole::Command);
    request.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stdout.as_raw_fd()];
    let caller = caller(usize::MAX);
    let call: Arc<dyn CallHost> = Arc::<Caller>::clone(&caller);
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            let ended = session.opened.exec(&call, bottle, &request);
            // For a reader that waits for a server which never ran.
            drop((&stdout).write_all(b"\n"));
            ended
        });
        let mut lines = BufReader::new(&out);
        let done = port(&mut lines).and_then(|port| body(port, &mut lines));
        caller.cancel();
        drop(running.join());
        done
    })
}

fn port(lines: &mut impl BufRead) -> Check<u16> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    match line.trim() {
        "none" => Err(Stop::Skip("there is no `python3` or `perl` in the bottle".to_owned())),
        text => text.parse().map_err(|_| Stop::Fail(format!("a server in the bottle prints {text:?}"))),
    }
}

/// Joins one end of a pair of sockets to a port, while `body` has the other one.
fn joined<T: Send>(
    session: &Session<'_>,
    bottle: &Bottle,
    (call, port): (&Arc<dyn CallHost>, u16),
    body: impl FnOnce(&UnixStream) -> Check<T>,
) -> Check<(Result<Connected>, T)> {
    let (here, there) = UnixStream::pair()?;
    here.set_read_timeout(Some(PATIENCE))?;
    here.set_write_timeout(Some(PATIENCE))?;
    let (sender, ended) = channel();
    thread::scope(|scope| {
        let connecting = scope.spawn(move || {
            let request = ConnectRequest::new(port, there.as_raw_fd());
            // The other end is closed with the connection.
            let connected = session.opened.connect(call, bottle, &request);
            // Nobody waits for it any more when the case has failed.
            sender.send(()).ok();
            connected
        });
        let done = body(&here);
        // A connection that does not end by itself is broken off.
        if done.is_err() || ended.recv_timeout(PATIENCE).is_err() {
            drop(here.shutdown(Shutdown::Both));
        }
        let connected = connecting.join().map_err(|_| Stop::Fail("`connect` panicked".to_owned()))?;
        Ok((connected, done?))
    })
}

fn rest(mut stream: &UnixStream) -> Check<Vec<u8>> {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    ensure!(read.is_ok(), "the end does not come after {} bytes: {read:?}", all.len());
    Ok(all)
}

pub(super) fn bytes(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let sent: Vec<u8> = (0..=255_u8).cycle().take(LARGE).collect();
    let exchange = |mut here: &UnixStream| -> Check<Vec<u8>> {
        here.write_all(b"e")?;
        here.write_all(&sent)?;
        here.shutdown(Shutdown::Write)?;
        rest(here)
    };
    serving(&session, &bottle, |port, _| {
        let (connected, back) = joined(&session, &bottle, (&call(), port), exchange)?;
        let cut = connected?.cut;
        ensure!(back == sent, "{} of {LARGE} bytes came back, or other ones", back.len());
        ensure!(!cut, "a connection that ended is called cut");
        Ok(())
    })
}

pub(super) fn ends(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let exchange = |mut here: &UnixStream| -> Check<Vec<u8>> {
        here.write_all(b"f")?;
        let said = rest(here)?;
        here.write_all(&[b'x'; 1000])?;
        here.shutdown(Shutdown::Write)?;
        Ok(said)
    };
    serving(&session, &bottle, |port, lines| {
        let (connected, said) = joined(&session, &bottle, (&call(), port), exchange)?;
        ensure!(said == b"bye", "before its end the server says {:?}", String::from_utf8_lossy(&said));
        let mut line = String::new();
        lines.read_line(&mut line)?;
        ensure!(line.trim() == "1000", "after its own end the server reads {line:?}, and not 1000 bytes");
        ensure!(!connected?.cut, "a connection that ended is called cut");
        Ok(())
    })
}

pub(super) fn refused(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let (mut here, there) = UnixStream::pair()?;
    let request = ConnectRequest::new(UNUSED, there.as_raw_fd());
    let connected = session.opened.connect(&call(), &bottle, &request);
    let kind = connected.as_ref().err().map(|failure| failure.kind);
    ensure!(
        kind == Some(FailureKind::Unreachable),
        "where nothing listens it comes to {:?}",
        connected.map_err(|failure| failure.kind)
    );
    here.set_nonblocking(true)?;
    let read = here.read(&mut [0]).map_err(|error| error.kind());
    ensure!(read == Err(std::io::ErrorKind::WouldBlock), "and its caller reads {read:?}");
    Ok(())
}

pub(super) fn cancelled(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let caller = caller(usize::MAX);
    let call: Arc<dyn CallHost> = Arc::<Caller>::clone(&caller);
    let exchange = |mut here: &UnixStream| -> Check<()> {
        here.write_all(b"f")?;
        here.read_exact(&mut [0; 3])?;
        caller.cancel();
        Ok(())
    };
    serving(&session, &bottle, |port, lines| {
        let (connected, ()) = joined(&session, &bottle, (&call, port), exchange)?;
        let kind = connected.err().map(|failure| failure.kind);
        ensure!(kind == Some(FailureKind::Cancelled), "cancelled, it comes to {kind:?}");
        let mut line = String::new();
        lines.read_line(&mut line)?;
        ensure!(line.trim() == "0", "cancelled, the server reads {line:?}");
        Ok(())
    })
}

pub(super) fn closed(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    session.opened.close(&call(), &bottle)?;
    let (_here, there) = UnixStream::pair()?;
    let connected = session.opened.connect(&call(), &bottle, &ConnectRequest::new(UNUSED, there.as_raw_fd()));
    let kind = connected.err().map(|failure| failure.kind);
    ensure!(kind == Some(FailureKind::NotFound), "in a closed bottle it comes to {kind:?}");
    Ok(())
}
