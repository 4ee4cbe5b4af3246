//! A service on all addresses of this machine that no bottle may reach, and which knows everyone who did.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What each connection is sent again and again, after the head of a response.
pub(crate) const TICK: &str = "tick\n";

/// A TCP and a UDP service on the same port.
///
/// A connection gets an HTTP response without an end, whatever it asks for.
pub(crate) struct Canary {
    tcp: SocketAddr,
    udp: SocketAddr,
    visitors: Mutex<Receiver<SocketAddr>>,
}

impl Canary {
    /// Listens on all addresses, IPv6 and IPv4.
    pub(crate) fn open() -> Self {
        let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let (listener, socket) = (TcpListener::bind((any, 0)).unwrap(), UdpSocket::bind((any, 0)).unwrap());
        let (tcp, udp) = (listener.local_addr().unwrap(), socket.local_addr().unwrap());
        let (sender, visitors) = channel();
        let datagrams = sender.clone();
        std::thread::spawn(move || greet(&listener, &sender));
        std::thread::spawn(move || echo(&socket, &datagrams));
        Self { tcp, udp, visitors: Mutex::new(visitors) }
    }

    /// Returns the port for TCP.
    pub(crate) fn tcp(&self) -> u16 {
        self.tcp.port()
    }

    /// Returns the port for UDP.
    pub(crate) fn udp(&self) -> u16 {
        self.udp.port()
    }

    /// Returns who has come since the last call.
    ///
    /// It visits itself at last, so that nobody who came before is missed.
    pub(crate) fn visitors(&self) -> Vec<IpAddr> {
        let loopback = IpAddr::from(Ipv6Addr::LOCALHOST);
        let stream = TcpStream::connect((loopback, self.tcp())).unwrap();
        let socket = UdpSocket::bind((loopback, 0)).unwrap();
        socket.send_to(b"last", (loopback, self.udp())).unwrap();
        let mut last = vec![stream.local_addr().unwrap(), socket.local_addr().unwrap()];
        let mut came = Vec::new();
        while !last.is_empty() {
            let visitor = self
                .visitors
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(60))
                .expect("the canary lives");
            match last.iter().position(|own| *own == visitor) {
                Some(own) => drop(last.remove(own)),
                None => came.push(visitor.ip().to_canonical()),
            }
        }
        came
    }
}

fn greet(listener: &TcpListener, visitors: &Sender<SocketAddr>) {
    while let Ok((stream, from)) = listener.accept() {
        if visitors.send(from).is_err() {
            return;
        }
        std::thread::spawn(move || stream_without_end(stream));
    }
}

/// Answers what a client says first; an answer before the question is none to an HTTP client.
fn stream_without_end(mut stream: TcpStream) {
    if !matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
        return;
    }
    let mut text = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{TICK}");
    // The pause paces a stream; nothing waits for it.
    while stream.write_all(text.as_bytes()).is_ok() {
        TICK.clone_into(&mut text);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn echo(socket: &UdpSocket, visitors: &Sender<SocketAddr>) {
    let mut bytes = [0; 512];
    while let Ok((_, from)) = socket.recv_from(&mut bytes) {
        if visitors.send(from).is_err() {
            return;
        }
        socket.send_to(TICK.as_bytes(), from).ok();
    }
}
