//! `relay`: joins a TCP port to a Unix socket, for a bottle that has no network but loopback.
//!
//! It decides nothing: whatever it carries is decided by the guard behind the socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use claude_bottle_egress_policy::{Listen, SocketAccess};
use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use super::say;
use crate::error::GuardError;
use crate::net::listen::{self, Listener};
use crate::net::splice::{Activity, Pair, join};
use crate::net::stream::Stream;

/// Connections at once; the guard has a limit of its own.
const MAX_CONNECTIONS: usize = 1024;

/// The guard's own limit comes first; this one only ends what the guard has forgotten.
const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Join a TCP port to a guard's Unix socket
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// TCP address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8888")]
    listen: SocketAddr,

    /// Socket of the guard, written `unix:/path`
    #[arg(long, value_name = "SOCKET")]
    to: Listen,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let Listen::Unix(path) = &args.to else {
        return Err(GuardError::Url { url: args.to.to_string() });
    };
    // One thread: it lives in the bottle, whose processes are counted, and does no more than carry.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| GuardError::Process { source })?;
    runtime.block_on(serve(args.listen, path.clone()))
}

async fn serve(address: SocketAddr, path: PathBuf) -> Result<ExitCode, GuardError> {
    let place = Listen::Tcp(address);
    let listener = listen::listen(&place, SocketAccess::default()).await;
    let listener = listener.map_err(|source| GuardError::Listen { place, source })?;
    // Whoever started the relay reads this line to know when the port is there.
    say(&format!("listening {listener}"));
    accept_all(&listener, &path.into()).await
}

async fn accept_all(listener: &Listener, path: &Arc<std::path::Path>) -> Result<ExitCode, GuardError> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(ExitCode::FAILURE) };
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let path = Arc::clone(path);
        tokio::spawn(async move {
            carry(&client, &path).await;
            drop(place);
        });
    }
}

async fn carry(client: &Stream, path: &std::path::Path) {
    // Without a guard the connection ends; there is no other way out.
    let Ok(guard) = UnixStream::connect(path).await.map(Stream::Unix) else { return };
    let opening = std::future::ready(Ok::<_, std::convert::Infallible>(BytesMut::new()));
    join(Pair { client, upstream: &guard }, &Activity::default(), IDLE, opening).await.ok();
}
