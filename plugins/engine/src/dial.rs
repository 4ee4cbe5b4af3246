//! Connections to the engine, whichever way it is reached, and requests over them: each has a connection of its own.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claude_bottle_kit::companions::guest_program;
use hyper::body::Body;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, OnceCell};
use tokio_rustls::rustls::ClientConfig;

use crate::ssh::{Carried, Tunnel};
use crate::{Address, Answer, EngineError, Result, SshHost, tls};

/// How long another machine may take to take a connection, and how long to agree on TLS.
const CONNECTING: Duration = Duration::from_secs(10);
/// When a connection of which nothing comes is tried, how often, and how many times: a dead one is known to be within a minute.
const ALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(15), 3);

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// What connects to an engine.
pub struct Dialer {
    address: Address,
    /// The program for the inside, where the user named it: it ties `ssh` to this process.
    guest: Option<String>,
    tls: OnceCell<Arc<ClientConfig>>,
    tunnel: Mutex<Option<Arc<Tunnel>>>,
}

impl Dialer {
    /// Names the engine, and does not reach for it. `guest` is the program for the inside, where the user named it.
    pub fn new(address: Address, guest: Option<String>) -> Self {
        Self { address, guest, tls: OnceCell::new(), tunnel: Mutex::new(None) }
    }

    /// Returns where the engine is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connects.
    ///
    /// # Errors
    /// Fails when the engine is not reached.
    pub async fn connect(&self) -> Result<Box<dyn Stream>> {
        Ok(match &self.address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(EngineError::io)?),
            Address::Tcp(authority) => Box::new(tcp(authority).await.map_err(EngineError::io)?),
            Address::Tls(address) => {
                let config = self.tls.get_or_try_init(|| async { tls::config(&address.files) }).await?;
                let stream = tcp(&address.authority).await.map_err(EngineError::io)?;
                let secured = tls::connect(Arc::clone(config), address, stream);
                let secured = tokio::time::timeout(CONNECTING, secured).await;
                Box::new(secured.map_err(|_| EngineError::Timeout)??)
            }
            Address::Ssh(host) => Box::new(self.by_ssh(host).await?),
        })
    }

    /// Connects through `ssh`, which is started when it does not run, or not any more.
    async fn by_ssh(&self, host: &SshHost) -> Result<Carried> {
        let mut tunnel = self.tunnel.lock().await;
        if let Some(open) = tunnel.as_ref().filter(|open| !open.has_ended()) {
            match Carried::connect(Arc::clone(open)).await {
                // It has just ended.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                other => return other.map_err(EngineError::io),
            }
        }
        *tunnel = None;
        let guest = self.guest()?;
        let host = host.clone();
        let opened = tokio::task::spawn_blocking(move || Tunnel::open(&host, &guest)).await;
        let open = tunnel.insert(Arc::new(opened.map_err(EngineError::protocol)??));
        Carried::connect(Arc::clone(open)).await.map_err(EngineError::io)
    }

    fn guest(&self) -> Result<PathBuf> {
        let found = guest_program(self.guest.as_deref(), None);
        found.map_err(|missing| EngineError::MissingProgram { message: missing.message })
    }

    /// Sends a request over a connection of its own, and returns the head of the answer.
    ///
    /// # Errors
    /// Fails when the engine is not reached, and when it goes away before it answers.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Answer>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        exchange(self.connect().await?, request).await
    }
}

/// Sends a request over a connection, and returns the head of the answer.
///
/// # Errors
/// Fails when the connection ends before the answer begins.
pub async fn exchange<B>(stream: impl Stream, mut request: Request<B>) -> Result<Answer>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(EngineError::protocol)?;
    let connection = tokio::spawn(connection.with_upgrades());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(EngineError::protocol)?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let answer = sender.send_request(request).await;
    drop(sender);
    match answer {
        // The connection ended before the request was sent; its task has the cause.
        Err(error) if error.is_canceled() => match connection.await {
            Ok(Err(cause)) => Err(EngineError::protocol(cause)),
            _ => Err(EngineError::protocol(error)),
        },
        answer => answer.map_err(EngineError::protocol),
    }
}

async fn tcp(authority: &str) -> io::Result<TcpStream> {
    let connected = tokio::time::timeout(CONNECTING, TcpStream::connect(authority)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let (idle, interval, count) = ALIVE;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, idle)?;
    sockopt::set_tcp_keepintvl(&stream, interval)?;
    sockopt::set_tcp_keepcnt(&stream, count)?;
    Ok(stream)
}
