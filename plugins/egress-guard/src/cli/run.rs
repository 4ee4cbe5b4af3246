//! `run`: serves until told to stop.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_bottle_egress_policy::{GuardConfig, Listen};
use rustix::process::DumpableBehavior;
use secret_scan::rules;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::source::{Documents, Source};
use super::{chain, reload};
use crate::error::GuardError;
use crate::log::{self, event};
use crate::net::listen::{self, Listener};
use crate::serve::{Server, Snapshot, accept_all, end_rules};
use crate::tls::authority::Authority;
use crate::tls::trust;

/// Time for open connections to write their last log line.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Threads of the event loop; a proxy for one bottle needs no more.
const MAX_THREADS: usize = 4;

/// Serve the bottle's requests
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file; `-` is standard input: the configuration, a line `...`, the secrets, if any, and, behind another
    /// line `...`, policies as they change
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Socket to open, by which another policy can be given
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let source = Source::new(&args.config);
    let (snapshot, input) = source.read()?;
    let (logger, writer) = log::open(&snapshot.config.log)?;
    warm_up()?;
    let runtime = runtime()?;
    let server = Starting { snapshot, logger, control: args.control.as_deref() };
    runtime.block_on(serve(source, input, server))?;
    // Tasks hold the last senders of the log; they go with the runtime.
    runtime.shutdown_timeout(GRACE);
    writer.finish(GRACE);
    Ok(ExitCode::SUCCESS)
}

/// Compiles the credential rules beside the start, so that listening does not wait for them and no request either.
pub(super) fn warm_up() -> Result<(), GuardError> {
    let compile = || drop(rules::builtin());
    let thread = std::thread::Builder::new().name("rules".to_owned()).spawn(compile);
    thread.map(drop).map_err(|source| GuardError::Process { source })
}

pub(super) fn runtime() -> Result<Runtime, GuardError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|source| GuardError::Process { source })
}

/// What a server is made of.
struct Starting<'a> {
    snapshot: Snapshot,
    logger: log::Logger,
    control: Option<&'a Path>,
}

async fn serve(source: Source, input: Option<Documents>, start: Starting<'_>) -> Result<(), GuardError> {
    let Starting { snapshot, logger, control } = start;
    let stopping = stop_signal()?;
    let bottle = snapshot.config.bottle.clone();
    let Listening { server, listener, ready } = begin(snapshot, logger).await?;
    watch_reload(source, Arc::clone(&server))?;
    if let Some(path) = control {
        tokio::spawn(reload::serve(reload::listen(path).await?, Arc::clone(&server)));
    }
    if let Some(input) = input {
        reload::watch_input(input, Arc::clone(&server))?;
    }
    event("listening", &ready);
    let accepting = tokio::spawn(accept(Arc::clone(&server), listener));
    stopping.await;
    server.stop();
    accepting.await.ok();
    drain(&server).await;
    event("stopped", &json!({ "bottle": bottle, "open_connections": server.clients() }));
    Ok(())
}

/// A guard that listens and takes nobody yet.
pub(super) struct Listening {
    pub(super) server: Arc<Server>,
    pub(super) listener: Listener,
    /// What it says of itself.
    pub(super) ready: Value,
}

/// Opens the socket, and shows what is to be trusted next to it.
pub(super) async fn begin(snapshot: Snapshot, logger: log::Logger) -> Result<Listening, GuardError> {
    let place = snapshot.config.listen.clone();
    let listening = listen::listen(&place, snapshot.config.socket_access).await;
    let listener = listening.map_err(|source| GuardError::Listen { place, source })?;
    let bottle = snapshot.config.bottle.clone();
    let server = Arc::new(Server::new(snapshot, logger, listener.tcp_address())?);
    let mut ready = json!({ "bottle": bottle, "address": listener.to_string() });
    if server.authority().is_some() || !server.snapshot().config.policy.secrets.is_empty() {
        hide_memory()?;
    }
    if let Some(authority) = server.authority() {
        write_trust(&server.snapshot().config, authority)?;
        (ready["ca"], ready["ca_sha256"]) = (authority.pem().into(), authority.fingerprint().into());
    }
    Ok(Listening { server, listener, ready })
}

/// Takes clients until the server stops.
pub(super) async fn accept(server: Arc<Server>, listener: Listener) {
    tokio::spawn(end_rules(Arc::clone(&server)));
    accept_all(server, listener).await;
}

/// Keeps the authority's key and held secrets out of core files, and out of the reach of other processes of the same user.
pub(super) fn hide_memory() -> Result<(), GuardError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| GuardError::Process { source: error.into() })
}

/// Writes the trust files next to the socket. A guard without one has no directory that it shares with the bottle.
fn write_trust(config: &GuardConfig, authority: &Authority) -> Result<(), GuardError> {
    let Listen::Unix(socket) = &config.listen else { return Ok(()) };
    let directory = socket.parent().unwrap_or(socket);
    trust::write(directory, authority.pem(), &config.roots)
        .map_err(|source| GuardError::WriteTrust { directory: directory.to_owned(), source })
}

/// Waits a moment for connections to end, so that their last line is in the log.
pub(super) async fn drain(server: &Server) {
    let deadline = Instant::now() + GRACE;
    while server.clients() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, GuardError> {
    let wrap = |source| GuardError::Process { source };
    let mut terminate = signal(SignalKind::terminate()).map_err(wrap)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrap)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Reads the configuration again on SIGHUP; a wrong one changes nothing.
fn watch_reload(source: Source, server: Arc<Server>) -> Result<(), GuardError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(|source| GuardError::Process { source })?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let replaced = match source.read_again() {
                Ok(next) => server.replace(next).await,
                Err(error) => Err(error),
            };
            match replaced {
                Ok(()) => event("reloaded", &json!({})),
                Err(error) => event("reload_failed", &json!({ "error": chain(&error) })),
            }
        }
    });
    Ok(())
}
