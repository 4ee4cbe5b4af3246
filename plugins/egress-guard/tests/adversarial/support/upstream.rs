//! Upstreams on loopback that remember what reached them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio_rustls::rustls::{self, ServerConfig, ServerConnection};

use super::PATIENCE;

/// How a host agrees to a WebSocket.
const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Noted when an upstream that floods can send no more.
const BLOCKED: &str = "blocked";

/// Time without room after which every buffer on the way is full.
const FULL: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Seen {
    bytes: Mutex<Vec<Vec<u8>>>,
    changed: Condvar,
}

/// A running upstream.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    seen: Arc<Seen>,
}

impl Upstream {
    /// Answers each request head, once it has come, with these bytes.
    pub(crate) fn http(answer: &'static str) -> Self {
        Self::start(move |stream, seen, index| {
            answer_all(stream, answer, seen, index);
        })
    }

    /// Answers each request within TLS, or the first when the answer says that the connection ends. What is remembered are the requests.
    pub(crate) fn tls(config: Arc<ServerConfig>, answer: &'static str) -> Self {
        Self::start(move |stream, seen, index| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, stream);
            answer_all(&mut tls, answer, seen, index);
        })
    }

    /// Answers each request within TLS with what is made of it, piece by piece. The next piece goes when the pieces before it have been
    /// written, or when `next` is told, if it is given.
    pub(crate) fn tls_answering(
        config: Arc<ServerConfig>,
        answer: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static,
        next: Option<Receiver<()>>,
    ) -> Self {
        let next = Mutex::new(next);
        Self::start(move |stream, seen, index| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, stream);
            while let Some(request) = next_request(&mut tls, seen, index) {
                for (number, piece) in answer(&request).iter().enumerate() {
                    if let Some(next) = next.lock().unwrap().as_ref().filter(|_| number > 0) {
                        next.recv().unwrap();
                    }
                    if tls.write_all(piece).and_then(|()| tls.flush()).is_err() {
                        return;
                    }
                }
            }
        })
    }

    /// Agrees to a WebSocket, says these bytes, and sends each frame of its client back as its own. What is remembered are the
    /// request and what frames carry.
    pub(crate) fn websocket(config: Arc<ServerConfig>, says: &'static [u8]) -> Self {
        Self::start(move |stream, seen, index| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, stream);
            if next_request(&mut tls, seen, index).is_none() {
                return;
            }
            let mut answer = AGREES.as_bytes().to_vec();
            answer.extend_from_slice(says);
            tls.write_all(&answer).and_then(|()| tls.flush()).unwrap();
            while let Some((head, payload)) = client_frame(&mut tls) {
                seen.bytes.lock().unwrap()[index].extend_from_slice(&payload);
                seen.changed.notify_all();
                if tls.write_all(&[head, payload].concat()).and_then(|()| tls.flush()).is_err() {
                    return;
                }
            }
        })
    }

    /// A proxy that leads every tunnel to a port of loopback. What is remembered is what it is asked, and what goes up.
    pub(crate) fn tunnels_to(port: u16) -> Self {
        Self::start(move |stream, seen, index| {
            let mut piece = [0; 65536];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(1) = stream.read(&mut piece[..1]) else { return };
                head.push(piece[0]);
            }
            seen.bytes.lock().unwrap()[index].extend_from_slice(&head);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut from, mut to) = (far.try_clone().unwrap(), stream.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                seen.bytes.lock().unwrap()[index].extend_from_slice(&piece[..count]);
                if far.write_all(&piece[..count]).is_err() {
                    return;
                }
            }
            far.shutdown(std::net::Shutdown::Both).ok();
        })
    }

    /// Answers the first bytes that come with these, whatever they are, and leaves.
    pub(crate) fn once(answer: Vec<u8>) -> Self {
        Self::start(move |stream, seen, index| {
            let mut piece = [0; 65536];
            let count = stream.read(&mut piece).unwrap_or(0);
            seen.bytes.lock().unwrap()[index].extend_from_slice(&piece[..count]);
            stream.write_all(&answer).ok();
        })
    }

    /// Answers with a body `ok` and keeps the connection.
    pub(crate) fn ok() -> Self {
        Self::http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// Sends back what comes.
    pub(crate) fn echo() -> Self {
        Self::start(|stream, seen, index| {
            let mut piece = [0; 65536];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                seen.bytes.lock().unwrap()[index].extend_from_slice(&piece[..count]);
                seen.changed.notify_all();
                if stream.write_all(&piece[..count]).is_err() {
                    return;
                }
            }
        })
    }

    /// Speaks first, then sends back what comes.
    pub(crate) fn greeting(text: &'static str) -> Self {
        Self::start(move |stream, _, _| {
            stream.write_all(text.as_bytes()).ok();
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                stream.write_all(&piece[..count]).ok();
            }
        })
    }

    /// Sends without an end, and reads nothing.
    pub(crate) fn flood() -> Self {
        Self::start(|stream, seen, index| {
            stream.set_write_timeout(Some(FULL)).unwrap();
            loop {
                match stream.write(&[b'x'; 65536]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        seen.bytes.lock().unwrap()[index].extend_from_slice(BLOCKED.as_bytes());
                        seen.changed.notify_all();
                    }
                    Err(_) => return,
                }
            }
        })
    }

    /// Waits until a flood has filled every buffer on its way.
    pub(crate) fn wait_until_blocked(&self) {
        self.wait_for(BLOCKED);
    }

    fn start(serve: impl Fn(&mut TcpStream, &Seen, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Seen>::default();
        let (serve, remembered) = (Arc::new(serve), Arc::clone(&seen));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&remembered));
                let index = {
                    let mut bytes = seen.bytes.lock().unwrap();
                    bytes.push(Vec::new());
                    bytes.len() - 1
                };
                std::thread::spawn(move || serve(&mut stream, &seen, index));
            }
        });
        Self { port, seen }
    }

    /// Number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.bytes.lock().unwrap().len()
    }

    /// What came over all connections, as text.
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.seen.bytes.lock().unwrap().concat()).into_owned()
    }

    /// Waits until what came holds `part`.
    pub(crate) fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = self.seen.bytes.lock().unwrap();
        while !String::from_utf8_lossy(&bytes.concat()).contains(part) {
            let left = deadline
                .checked_duration_since(Instant::now())
                .unwrap_or_else(|| panic!("{part:?} never came"));
            bytes = self.seen.changed.wait_timeout(bytes, left).unwrap().0;
        }
    }
}

/// Answers each request, once it has come.
fn answer_all(stream: &mut (impl Read + Write), answer: &str, seen: &Seen, index: usize) {
    let mut piece = [0; 65536];
    let mut from = 0;
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        let mut bytes = seen.bytes.lock().unwrap();
        bytes[index].extend_from_slice(&piece[..count]);
        let complete = is_complete(&bytes[index][from..]);
        if complete {
            from = bytes[index].len();
        }
        drop(bytes);
        seen.changed.notify_all();
        if complete && (stream.write_all(answer.as_bytes()).is_err() || stream.flush().is_err()) {
            return;
        }
        if complete && answer.contains("Connection: close") {
            return;
        }
    }
}

/// Reads a client's frame: the head that a server gives it, and what it carries.
fn client_frame(stream: &mut impl Read) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut read = |count: usize| {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    let mut head = read(2)?;
    head[1] &= 0x7f;
    let more = match head[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let digits = read(more)?;
    let short = usize::from(head[1]);
    let length =
        if more == 0 { short } else { digits.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) };
    let key = read(4)?;
    let payload = read(length)?.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some(([head, digits].concat(), payload))
}

/// Reads one request, and remembers it.
fn next_request(stream: &mut impl Read, seen: &Seen, index: usize) -> Option<String> {
    let (mut request, mut piece) = (Vec::new(), [0; 65536]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&piece[..count]);
        seen.bytes.lock().unwrap()[index].extend_from_slice(&piece[..count]);
        seen.changed.notify_all();
        if is_complete(&request) {
            return Some(String::from_utf8_lossy(&request).into_owned());
        }
    }
}

/// Tells whether a head and the body it announces are there.
fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}
