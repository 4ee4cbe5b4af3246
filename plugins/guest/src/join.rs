//! Joins standard input and output to a port of the bottle's own loopback, for a connection that the host makes.
//!
//! Standard error tells the backend what a pipe cannot, a word a line: `joined`, `refused REASON`, and `ended N` once the server
//! has ended after N bytes, while the other direction goes on.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::Builder;
use std::time::Duration;

use crate::GuestError;
use crate::error::StepExt;

/// The exit code when nothing takes the connection.
const REFUSED: u8 = 1;

/// Where a server of the bottle is looked for.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// How long a server may take to take a connection: one whose queue is full lets it wait.
const PATIENCE: Duration = Duration::from_secs(10);

const BUFFER: usize = 64 * 1024;
const STACK: usize = 64 * 1024;

/// Joins the streams of this process.
///
/// # Errors
/// Fails when the server breaks off.
pub fn run(port: &OsStr) -> Result<u8, GuestError> {
    let port = port.to_str().and_then(|port| port.parse().ok()).ok_or(GuestError::ReadCommandLine)?;
    // The standard library's output keeps what has no line end.
    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().step(|| "use the streams");
    let (input, output) = (own(io::stdin().as_fd())?, own(io::stdout().as_fd())?);
    join(port, input, output, &mut io::stderr())
}

/// Joins these streams, and says how it goes.
///
/// # Errors
/// Fails when the server breaks off.
pub fn join(port: u16, input: OwnedFd, output: OwnedFd, words: &mut impl Write) -> Result<u8, GuestError> {
    let server = match connect(port) {
        Ok(server) => server,
        Err(error) => {
            writeln!(words, "refused {error}").step(|| "say what was refused")?;
            return Ok(REFUSED);
        }
    };
    writeln!(words, "joined").step(|| "say that it is joined")?;
    let upward = server.try_clone().step(|| "use the connection")?;
    let up = Builder::new().stack_size(STACK).spawn(move || carry_up(File::from(input), upward));
    let up = up.step(|| "start a thread")?;
    let Some(count) = carry_down(server, File::from(output))? else { return Ok(0) };
    writeln!(words, "ended {count}").step(|| "say that the server has ended")?;
    // A thread that panicked carries nothing either.
    up.join().ok();
    Ok(0)
}

/// Connects to a server on either loopback address. The reason is that of the first, which every bottle has.
fn connect(port: u16) -> io::Result<TcpStream> {
    let [first, second] = LOOPBACK.map(|address| SocketAddr::new(address, port));
    let connected = TcpStream::connect_timeout(&first, PATIENCE)
        .or_else(|error| TcpStream::connect_timeout(&second, PATIENCE).map_err(|_| error))?;
    connected.set_nodelay(true)?;
    Ok(connected)
}

/// Carries to the server, to the client's end.
fn carry_up(mut input: File, mut server: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            // A server that reads no more may still send.
            Ok(length) if server.write_all(&buffer[..length]).is_err() => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => break,
            _ => {}
        }
    }
    // It may be gone already.
    server.shutdown(Shutdown::Write).ok();
}

/// Carries from the server, and returns how much it was until its end; nothing once nobody takes it any more.
fn carry_down(mut server: TcpStream, mut output: File) -> Result<Option<u64>, GuestError> {
    let (mut buffer, mut count) = (vec![0; BUFFER], 0);
    loop {
        match server.read(&mut buffer) {
            Ok(0) => return Ok(Some(count)),
            Ok(length) if output.write_all(&buffer[..length]).is_err() => return Ok(None),
            Ok(length) => count += length as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).step(|| "read from the server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    /// Joins a pair of pipes to a port, and returns what is sent, what comes, what is said, and the exit code.
    fn joined(port: u16) -> (io::PipeWriter, io::PipeReader, thread::JoinHandle<(String, Option<u8>)>) {
        let ((input, feed), (out, output)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let joining = thread::spawn(move || {
            let mut words = Vec::new();
            let code = join(port, input.into(), output.into(), &mut words).ok();
            (String::from_utf8(words).unwrap(), code)
        });
        (feed, out, joining)
    }

    #[test]
    fn each_direction_ends_by_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut feed, mut out, joining) = joined(listener.local_addr().unwrap().port());
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"bye").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        let mut said = [0; 3];
        out.read_exact(&mut said).unwrap();
        feed.write_all(b"still here").unwrap();
        drop(feed);
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!((&said, rest.as_str()), (b"bye", "still here"));
        assert_eq!(joining.join().unwrap(), ("joined\nended 3\n".to_owned(), Some(0)));
    }

    #[test]
    fn a_server_on_the_other_loopback_is_found() {
        // Not every machine has it.
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
        let (feed, mut out, joining) = joined(listener.local_addr().unwrap().port());
        listener.accept().unwrap().0.write_all(b"six").unwrap();
        drop(feed);
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        assert_eq!((said.as_str(), joining.join().unwrap().0.as_str()), ("six", "joined\nended 3\n"));
    }

    #[test]
    fn a_port_that_refuses_is_no_empty_connection() {
        // That of tcpmux, which nothing serves.
        let (_feed, _out, joining) = joined(1);
        let (said, code) = joining.join().unwrap();
        assert!(said.starts_with("refused ") && said.lines().count() == 1, "{said}");
        assert_eq!(code, Some(REFUSED));
    }

    #[test]
    fn a_client_that_left_ends_it_and_a_server_that_broke_off_is_not_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (feed, out, joining) = joined(port);
        let mut server = listener.accept().unwrap().0;
        drop(out);
        server.write_all(b"for a client that is gone").unwrap();
        assert_eq!(joining.join().unwrap(), ("joined\n".to_owned(), Some(0)));
        drop((feed, server));

        let (mut feed, _out, joining) = joined(port);
        let server = listener.accept().unwrap().0;
        feed.write_all(b"unread").unwrap();
        // Closed with something unread, it is reset.
        while server.peek(&mut [0; 6]).unwrap() < 6 {}
        drop(server);
        assert_eq!(joining.join().unwrap(), ("joined\n".to_owned(), None));
    }
}
