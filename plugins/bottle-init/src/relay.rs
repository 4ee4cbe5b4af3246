//! `127.0.0.1:PORT` in the bottle, which is the guard's Unix socket outside.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

/// Connections at once; each takes two threads of the bottle's process limit.
const MAX_CONNECTIONS: usize = 256;

/// The stack of a copying thread, which holds one buffer.
const STACK: usize = 64 * 1024;

const BUFFER: usize = 16 * 1024;

/// Starts relaying. The port accepts connections when this returns.
pub(crate) fn start(port: u16, guard: &Path) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let (guard, open) = (guard.to_path_buf(), Arc::new(AtomicUsize::new(0)));
    Builder::new().name("relay".to_owned()).stack_size(STACK).spawn(move || {
        for client in listener.incoming() {
            let slot = Slot::take(&open);
            if let (Ok(client), Some(slot)) = (client, slot) {
                // A connection that cannot be served is closed by being dropped.
                serve(client, guard.clone(), slot).ok();
            }
        }
    })?;
    Ok(())
}

/// One of the connections that may be open.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::Relaxed) < MAX_CONNECTIONS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(client: TcpStream, guard: PathBuf, slot: Slot) -> io::Result<()> {
    Builder::new().stack_size(STACK).spawn(move || {
        let _slot = slot;
        let Ok(server) = UnixStream::connect(guard) else { return };
        let (Ok(client_copy), Ok(server_copy)) = (client.try_clone(), server.try_clone()) else { return };
        let up = Builder::new().stack_size(STACK).spawn(move || {
            copy(&client_copy, &server_copy);
            server_copy.shutdown(Shutdown::Write).ok();
        });
        copy(&server, &client);
        client.shutdown(Shutdown::Write).ok();
        if let Ok(up) = up {
            up.join().ok();
        }
    })?;
    Ok(())
}

/// Copies until the end or an error; either way there is nothing more to be had.
pub(crate) fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
