//! This machine, as a bottle must not reach it: TCP and UDP on all of its addresses, for as long as the probe runs.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};

/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(100);
/// Ports that are tried until one is free for both.
const TRIES: usize = 20;

/// Listens until it is dropped.
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) token: String,
    arrived: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Begins to listen, and makes sure that it would hear.
    pub(super) fn start(token: String) -> anyhow::Result<Self> {
        let (tcp, udp) = bind().context("cannot listen on this machine")?;
        let port = tcp.local_addr()?.port();
        let (arrived, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut listener = Self { port, token, arrived, is_over, threads: Vec::new() };
        listener.greet(tcp)?;
        listener.receive(udp)?;
        listener.hears().context("what listens on this machine does not hear itself")?;
        Ok(listener)
    }

    /// Returns the addresses that this machine has.
    pub(super) fn addresses() -> Vec<IpAddr> {
        let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        all.extend(own_addresses());
        all
    }

    /// Returns how many datagrams of the bottle's have arrived.
    pub(super) fn arrived(&self) -> usize {
        // The one of the beginning is this program's own.
        self.arrived.load(Ordering::SeqCst).saturating_sub(1)
    }

    fn greet(&mut self, tcp: TcpListener) -> anyhow::Result<()> {
        tcp.set_nonblocking(true)?;
        let is_over = Arc::clone(&self.is_over);
        let thread = std::thread::Builder::new().name("verify-tcp".to_owned()).spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                match tcp.accept() {
                    Ok((mut stream, _)) => drop(stream.write_all(b"HTTP/1.1 200 reached\r\n\r\n")),
                    Err(_) => std::thread::sleep(TICK),
                }
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    fn receive(&mut self, udp: UdpSocket) -> anyhow::Result<()> {
        udp.set_read_timeout(Some(TICK))?;
        let (is_over, arrived, token) =
            (Arc::clone(&self.is_over), Arc::clone(&self.arrived), self.token.clone());
        let thread = std::thread::Builder::new().name("verify-udp".to_owned()).spawn(move || {
            let mut datagram = [0; 256];
            while !is_over.load(Ordering::SeqCst) {
                if let Ok(length) = udp.recv(&mut datagram)
                    && datagram[..length] == *token.as_bytes()
                {
                    arrived.fetch_add(1, Ordering::SeqCst);
                }
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// A listener that cannot be reached from here would say nothing about a bottle.
    fn hears(&self) -> anyhow::Result<()> {
        let here = SocketAddr::from(([127, 0, 0, 1], self.port));
        TcpStream::connect_timeout(&here, 50 * TICK)?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(self.token.as_bytes(), here)?;
        for _ in 0..50 {
            if self.arrived.load(Ordering::SeqCst) > 0 {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
        bail!("no datagram arrived at {here}")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn bind() -> std::io::Result<(TcpListener, UdpSocket)> {
    let mut last = std::io::Error::other("no port is free");
    for _ in 0..TRIES {
        let tcp = TcpListener::bind("0.0.0.0:0")?;
        match UdpSocket::bind(tcp.local_addr()?) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads this machine's own IPv4 addresses: <https://docs.kernel.org/networking/fib_trie.html>.
fn own_addresses() -> Vec<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines() {
        let line = line.trim_start_matches(['|', '+', '-', ' ']);
        if let Ok(address) = line.split(['/', ' ']).next().unwrap_or_default().parse::<Ipv4Addr>() {
            last = Some(address);
        }
        let own = last.filter(|address| line.starts_with("/32 host LOCAL") && !address.is_loopback());
        found.extend(own.map(IpAddr::V4).filter(|address| !found.contains(address)));
    }
    found
}
