//! A small stand-in for the Messages API and those of other agents: answers the real agent CLI with a fixed text and records every
//! request.
//!
//! Tests start it in their own process ([`Standin::start`]); `make demo` runs the binary `standin`. It is a fixture: it
//! asks for no credential, and what it records includes the credentials it was sent.
//!
//! Beside it is what several test programs need to know of the machine: [`bridge_address`], [`descendants`], [`as_by_hand`]; and an
//! [`Authority`] for servers that speak TLS.

mod authority;
mod bridge;
mod building;
mod error;
mod mcp;
mod others;
mod process;
mod record;
mod reply;
mod server;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use crate::authority::{Authority, Pair};
pub use crate::bridge::{TEST_NETWORK, bridge_address, bridge_address_at};
pub use crate::building::as_by_hand;
pub use crate::error::StandinError;
pub use crate::process::descendants;
pub use crate::record::Recorded;
pub use crate::reply::{Script, ToolCall};

use crate::record::Recorder;
use crate::reply::Answers;
use crate::server::Service;

/// What a stand-in listens on, answers and writes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The file that gets one JSON line a request; `None` keeps them in memory only.
    pub record: Option<PathBuf>,
    /// What a message is answered with.
    pub script: Script,
    /// Tools that the agent is told to call after that of the script, one a message.
    pub more: Vec<ToolCall>,
    /// The one credential that a message may come with, when present; another is answered with 401.
    pub accepts: Option<String>,
    /// Serves HTTPS with a certificate of its own authority, when present.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            record: None,
            script: Script::default(),
            more: Vec::new(),
            accepts: None,
            tls: None,
        }
    }
}

/// The names a certificate is made for, and where its authority goes.
#[derive(Debug, Clone)]
pub struct Tls {
    /// DNS names or IP addresses that clients call the stand-in by.
    pub names: Vec<String>,
    /// The file that gets the authority's certificate as PEM, for `NODE_EXTRA_CA_CERTS`.
    pub ca_file: PathBuf,
}

/// A running stand-in; dropping it stops it.
#[derive(Debug)]
pub struct Standin {
    address: SocketAddr,
    scheme: &'static str,
    recorder: Recorder,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Starts a stand-in on a thread of its own and returns once it accepts connections.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or the record or the certificate cannot be made.
    pub fn start(config: Config) -> Result<Self, StandinError> {
        let recorder = Recorder::open(config.record.as_deref())?;
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let answers = Answers { script: config.script, more: config.more };
        let service = Service { answers, accepts: config.accepts, recorder: recorder.clone(), acceptor };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StandinError::StartRuntime { source })?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(config.listen))
            .map_err(|source| StandinError::Bind { address: config.listen, source })?;
        let address =
            listener.local_addr().map_err(|source| StandinError::Bind { address: config.listen, source })?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || runtime.block_on(server::run(listener, service, stopped)));
        Ok(Self { address, scheme, recorder, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns the bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL, for `ANTHROPIC_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Returns every request seen so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests()
    }

    /// Returns the requests for a message so far: `POST /v1/messages`, whatever its query.
    #[must_use]
    pub fn messages(&self) -> Vec<Recorded> {
        self.requests().into_iter().filter(Recorded::is_message).collect()
    }

    /// Waits until a request satisfies `wanted` and returns it, or `None` after `timeout`.
    #[must_use]
    pub fn wait_for(&self, timeout: Duration, wanted: impl Fn(&Recorded) -> bool) -> Option<Recorded> {
        self.recorder.wait_for(timeout, wanted)
    }

    /// Serves until the process ends.
    pub fn serve_forever(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic of the server thread was printed by the panic hook; there is nothing to add to it.
            thread.join().ok();
        }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone only when the server has ended already.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests;
