//! The server behind every proxy, within TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::guard::upstream::answer_all;

/// Serves on a free port of loopback until the runtime ends.
pub(super) async fn serve(config: Arc<ServerConfig>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let acceptor = acceptor.clone();
            // A proxy may break off as it likes; what matters is seen on the client's side.
            tokio::spawn(async move { answer_all(acceptor.accept(stream).await?).await });
        }
    });
    Ok(address)
}
