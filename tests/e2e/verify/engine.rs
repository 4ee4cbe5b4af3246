//! A server between the program and the engine, which changes what the engine is asked to make of the agent's container.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

/// Where the engine listens.
const ENGINE: &str = "/var/run/docker.sock";

type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// What the server does with requests about one container.
#[derive(Clone)]
struct Rules {
    container: String,
    /// Whether the container is put on a network with a way out before the first program but its own runs in it.
    leads_out: bool,
    edit: Edit,
}

/// The server; its threads end with their connections.
pub(super) struct Between {
    pub(super) socket: PathBuf,
}

impl Between {
    pub(super) fn start(
        socket: &Path,
        agent: &str,
        leads_out: bool,
        edit: impl Fn(&mut Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let rules = Rules { container: format!("claude-bottle-{agent}"), leads_out, edit: Arc::new(edit) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let rules = rules.clone();
                std::thread::spawn(move || serve(client, &rules));
            }
        });
        Self { socket: socket.to_owned() }
    }
}

fn serve(client: UnixStream, rules: &Rules) -> io::Result<()> {
    let engine = UnixStream::connect(ENGINE)?;
    let (mut from, mut to) = (engine.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Both).ok();
    });
    let passed = pass(&mut BufReader::new(client), &engine, rules);
    engine.shutdown(Shutdown::Write)?;
    passed
}

/// Passes requests on, one after the other.
fn pass(client: &mut BufReader<UnixStream>, mut engine: &UnixStream, rules: &Rules) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if client.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
        }
        let text = String::from_utf8_lossy(&head).to_lowercase();
        let line = text.lines().next().unwrap_or_default().to_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.unwrap_or(0);
        if line.contains("/containers/create") && line.contains(&format!("name={}", rules.container)) {
            let mut body = vec![0; length];
            client.read_exact(&mut body)?;
            let mut body: Value = serde_json::from_slice(&body)?;
            (rules.edit)(&mut body);
            let body = body.to_string();
            let others =
                text.lines().skip(1).filter(|line| !line.starts_with("content-length:") && !line.is_empty());
            // The path as it came: names are in lower case, and so is what the program asks with.
            let first = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
            let lines: Vec<_> = [first.as_str()].into_iter().chain(others).collect();
            write!(engine, "{}\r\ncontent-length: {}\r\n\r\n{body}", lines.join("\r\n"), body.len())?;
            continue;
        }
        if rules.leads_out && line.contains("/exec ") {
            lead_out(&rules.container);
        }
        if text.contains("\nupgrade:") {
            // At once, as it came: the engine takes what arrives after the head for the stream.
            let begin = head.len();
            head.resize(begin + length, 0);
            client.read_exact(&mut head[begin..])?;
            engine.write_all(&head)?;
            return io::copy(client, &mut engine).map(drop);
        }
        engine.write_all(&head)?;
        if text.contains("transfer-encoding: chunked") {
            pass_chunks(client, engine)?;
        } else {
            io::copy(&mut client.take(length as u64), &mut engine)?;
        }
    }
}

fn pass_chunks(client: &mut BufReader<UnixStream>, mut engine: &UnixStream) -> io::Result<()> {
    loop {
        let mut line = String::new();
        client.read_line(&mut line)?;
        engine.write_all(line.as_bytes())?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        // The line feed behind it belongs to it.
        io::copy(&mut client.take(length + 2), &mut engine)?;
        if length == 0 {
            return Ok(());
        }
    }
}

/// Connects a container that runs to the engine's own network; again is nothing.
fn lead_out(container: &str) {
    for words in [["network", "disconnect", "none"], ["network", "connect", "bridge"]] {
        drop(Command::new("docker").args(words).arg(container).output());
    }
}
