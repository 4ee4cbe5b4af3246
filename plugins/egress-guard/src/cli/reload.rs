//! Another policy, or another value for a held secret, while the guard runs: by lines on standard input, or by a line on the control socket.
//!
//! Each line is answered by a line of JSON, on standard error or on the socket. A line that is cut off, too long or wrong
//! changes nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{
    Listen, MOST_RELOAD_BYTES, Reload, ReloadAnswer, ReloadLine, SecretReload, SocketAccess,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::channel;

use super::chain;
use super::source::Documents;
use crate::error::GuardError;
use crate::log::event;
use crate::net::listen::{self, Listener};
use crate::net::stream::Stream;
use crate::serve::Server;

/// How long a client of the control socket may take for its line.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes the lines that follow the configuration on standard input, until its end.
pub(super) fn watch_input(mut input: Documents, server: Arc<Server>) -> Result<(), GuardError> {
    let (sender, mut lines) = channel(1);
    // A read of standard input cannot be cut short, so it has a thread that may be left behind.
    let read = move || {
        while let Ok(Some(line)) = input.line() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("input".to_owned()).spawn(read);
    thread.map_err(|source| GuardError::Process { source })?;
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if !line.is_empty() {
                tell(&apply(&server, &line).await);
            }
        }
    });
    Ok(())
}

/// Opens the control socket, for its owner alone.
pub(super) async fn listen(path: &Path) -> Result<Listener, GuardError> {
    let place = Listen::Unix(path.to_owned());
    let listening = listen::listen(&place, SocketAccess::Owner).await;
    listening.map_err(|source| GuardError::Listen { place, source })
}

/// Serves the control socket, one client after the other, until the server stops.
pub(super) async fn serve(listener: Listener, server: Arc<Server>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stopped() => return,
        };
        if let Ok((stream, _)) = accepted
            && let Ok(Some(line)) = tokio::time::timeout(PATIENCE, read_line(&stream)).await
        {
            let answer = apply(&server, &line).await;
            tell(&answer);
            let mut text = json!(answer).to_string();
            text.push('\n');
            tokio::time::timeout(PATIENCE, stream.write_all(text.as_bytes())).await.ok();
        }
    }
}

/// Reads until the end of a line; nothing when the client leaves before it, or says too much.
async fn read_line(stream: &Stream) -> Option<BytesMut> {
    let mut buffer = BytesMut::new();
    while buffer.len() <= MOST_RELOAD_BYTES {
        let seen = buffer.len();
        if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
            return None;
        }
        if let Some(end) = memchr::memchr(b'\n', &buffer[seen..]) {
            buffer.truncate(seen + end);
            return Some(buffer);
        }
    }
    None
}

pub(super) async fn apply(server: &Server, line: &[u8]) -> ReloadAnswer {
    let (name, applied) = match ReloadLine::read(line) {
        Ok(ReloadLine::Policy(Reload { name, policy })) => (name, server.set_policy(policy).await),
        Ok(ReloadLine::Secret(SecretReload { name, secret })) => (name, server.set_secret(secret).await),
        Err(answer) => return answer,
    };
    match applied {
        Ok(()) => ReloadAnswer::Reloaded { reload: name },
        Err(error) => ReloadAnswer::ReloadFailed { reload: name, error: chain(&error) },
    }
}

fn tell(answer: &ReloadAnswer) {
    let mut fields = json!(answer);
    if let Some(Value::String(name)) = fields.as_object_mut().and_then(|fields| fields.remove("event")) {
        event(&name, &fields);
    }
}
