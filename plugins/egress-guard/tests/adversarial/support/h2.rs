//! HTTP/2 by a library that is not under test: a host that remembers what came, and a client inside a tunnel.

use std::convert::Infallible;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request, Response, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::inside::client_config;

/// A body of any kind.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// One request or answer, whole.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// `METHOD URL` of a request, the status of an answer.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: HeaderMap,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn trailer(&self, name: &str) -> &str {
        self.trailers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A host that speaks HTTP/2 alone.
pub(crate) struct Host {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Message>>>,
    connections: Arc<Mutex<usize>>,
}

impl Host {
    /// Answers each request with what is made of it; `/stream` with what comes, as it comes.
    pub(crate) fn start(
        config: &Arc<ServerConfig>,
        answer: impl Fn(&Message) -> Message + Send + Sync + 'static,
    ) -> Self {
        let mut config = ServerConfig::clone(config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let (seen, connections) = (Arc::<Mutex<Vec<Message>>>::default(), Arc::<Mutex<usize>>::default());
        let served = (Arc::clone(&seen), Arc::clone(&connections), Arc::new(answer));
        std::thread::spawn(move || {
            runtime().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let acceptor = TlsAcceptor::from(Arc::new(config));
                let (seen, connections, answer) = served;
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(stream) = acceptor.accept(stream).await else { continue };
                    *connections.lock().unwrap() += 1;
                    let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                    let service = service_fn(move |request| {
                        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                        async move { Ok::<_, Infallible>(serve(request, &seen, &*answer).await) }
                    });
                    let builder = server::conn::http2::Builder::new(TokioExecutor::new());
                    tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
                }
            });
        });
        Self { port, seen, connections }
    }

    /// What came, in the order of its ends.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// Everything that came, as one text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.seen())
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

async fn serve(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Message>>,
    answer: &(dyn Fn(&Message) -> Message + Send + Sync),
) -> Response<AnyBody> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/stream" {
        let body = body.map_err(|_| -> Infallible { panic!("the body was cut off") });
        return Response::new(body.boxed_unsync());
    }
    let line = format!("{} {}", parts.method, parts.uri);
    let Some(message) = whole(line, parts.headers, body).await else { return Response::new(full("")) };
    let reply = answer(&message);
    seen.lock().unwrap().push(message);
    let trailers = async move { Some(Ok(reply.trailers)) };
    let body = Full::new(Bytes::from(reply.body)).with_trailers(trailers);
    let mut response = Response::new(body.boxed_unsync());
    *response.headers_mut() = reply.headers;
    response
}

/// Reads a message to its end; nothing when it breaks off.
async fn whole(line: String, headers: HeaderMap, body: Incoming) -> Option<Message> {
    let collected = body.collect().await.ok()?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let body = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
    Some(Message { line, headers, body, trailers })
}

pub(crate) fn full(text: &str) -> AnyBody {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client in an opened tunnel.
pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<AnyBody>,
}

impl Client {
    /// Speaks HTTP/2 in a tunnel, as a client that trusts this authority alone.
    pub(crate) fn new(tunnel: TcpStream, (trusted, name): (&str, &str)) -> Self {
        let runtime = runtime();
        let config = Arc::new(client_config(trusted, &["h2"]));
        tunnel.set_nonblocking(true).unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(tunnel).unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Asks, and reads the whole answer; nothing when it is broken off.
    pub(crate) fn ask(&mut self, request: Request<AnyBody>) -> Option<Message> {
        self.runtime.block_on(async {
            let response = self.sender.send_request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            whole(parts.status.as_str().to_owned(), parts.headers, body).await
        })
    }

    /// Begins a request whose frames are sent one by one.
    pub(crate) fn begin(&mut self, request: Request<()>) -> Exchange<'_> {
        let (sender, body) = Channel::new(4);
        let request = request.map(|()| body.boxed_unsync());
        let response = self.runtime.block_on(self.sender.send_request(request)).unwrap();
        Exchange { runtime: &self.runtime, sender, body: response.into_body() }
    }
}

/// A request and its answer, both under way.
pub(crate) struct Exchange<'a> {
    runtime: &'a Runtime,
    sender: Sender<Bytes, Infallible>,
    body: Incoming,
}

impl Exchange<'_> {
    /// Sends bytes, and waits for bytes.
    pub(crate) fn send(&mut self, text: &'static str) -> String {
        self.runtime.block_on(async {
            self.sender.send_data(Bytes::from_static(text.as_bytes())).await.unwrap();
            let frame = self.body.frame().await.unwrap().unwrap();
            String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
        })
    }

    /// Ends with trailers, and waits for trailers.
    pub(crate) fn end(mut self, trailers: HeaderMap) -> hyper::Result<HeaderMap> {
        self.runtime.block_on(async {
            self.sender.send_trailers(trailers).await.unwrap();
            drop(self.sender);
            Ok(self.body.frame().await.unwrap()?.into_trailers().unwrap())
        })
    }
}
