//! A server of the kit's own that a bottle's proxy can reach, wherever it runs on this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{EgressSpec, Spec};

use super::bench::{Check, Stop};

/// What it answers.
pub(super) const ANSWER: &str = "kit-reached";

/// The name that is allowed.
pub(super) const HOST: &str = "allowed.kit.test";

/// The server; it ends with this value.
pub(super) struct Upstream {
    pub(super) port: u16,
    asked: Arc<AtomicUsize>,
    /// The heads of all requests.
    heads: Arc<Mutex<String>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// Starts it on every address of this machine: a proxy in a container reaches another one than a proxy next to it.
    pub(super) fn start() -> Check<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (asked, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, over) = (Arc::clone(&asked), Arc::clone(&is_over));
        let heads = Arc::<Mutex<String>>::default();
        let noted = Arc::clone(&heads);
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        drop(answer(stream, &noted));
                    }
                    // There is no event that also says when to end.
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        Ok(Self { port, asked, heads, is_over, thread: Some(thread) })
    }

    /// Returns how many connections came.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Returns `true` if this stood in the head of a request since the last time that it was looked for.
    pub(super) fn was_told(&self, text: &str) -> bool {
        std::mem::take(&mut *self.heads.lock().unwrap_or_else(PoisonError::into_inner)).contains(text)
    }

    /// Lets a run reach this server by [`HOST`], and nothing else.
    ///
    /// # Errors
    /// Skips the case when the kit was given no guard.
    pub(super) fn allow(&self, spec: &mut Spec) -> Check {
        if spec.bottle.egress.guard.is_none() {
            return Err(Stop::Skip("the kit was given no egress guard: fill in `Options::spec`".to_owned()));
        }
        let addresses = addresses();
        let private =
            addresses.iter().map(|address| json!({ "host": HOST, "range": format!("{address}/32") }));
        let policy = json!({
            "rules": [{ "rule": format!("{HOST}:{}", self.port) }],
            "hosts": { HOST: addresses },
            "private": private.collect::<Vec<Value>>(),
        });
        let config = json!({ "version": 1, "bottle": spec.id, "listen": "127.0.0.1:1", "policy": policy });
        spec.bottle.egress = EgressSpec {
            hosts: vec![format!("{HOST}:{}", self.port)],
            // JSON is YAML.
            config: config.to_string(),
            config_json: config,
            ..spec.bottle.egress.clone()
        };
        Ok(())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: std::net::TcpStream, heads: &Mutex<String>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = [0; 4096];
    let length = stream.read(&mut head)?;
    if length == 0 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&head[..length]);
    heads.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
    let length = ANSWER.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{ANSWER}")
}

/// Returns the IPv4 addresses of this machine, as the kernel's table of routes has them (proc(5), `fib_trie`).
pub(super) fn addresses() -> Vec<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let lines: Vec<_> = table.lines().map(str::trim).collect();
    let local = lines.windows(2).filter(|pair| pair[1].ends_with("/32 host LOCAL"));
    let mut found: Vec<Ipv4Addr> =
        local.filter_map(|pair| pair[0].strip_prefix("|-- ")?.parse().ok()).collect();
    found.push(Ipv4Addr::LOCALHOST);
    found.sort();
    found.dedup();
    found
}
