//! A client inside an opened tunnel, and what it trusts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Answer, read_answer};

/// TLS with whatever is at the other end of a tunnel.
pub(crate) type Inside = StreamOwned<ClientConnection, TcpStream>;

/// Speaks TLS in a tunnel, as a client that trusts this authority alone and offers these protocols.
pub(crate) fn handshake(
    mut stream: TcpStream,
    (trusted, name): (&str, &str),
    protocols: &[&str],
) -> io::Result<Inside> {
    let config = client_config(trusted, protocols);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// A client that trusts this authority alone and offers these protocols.
pub(crate) fn client_config(trusted: &str, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Sends a request and reads its answer.
pub(crate) fn ask(inside: &mut Inside, request: &str) -> Answer {
    inside.write_all(request.as_bytes()).unwrap();
    inside.flush().unwrap();
    read_answer(inside)
}

/// Reads to the end, and tells whether the other side said that it was one.
pub(crate) fn read_to_end(inside: &mut Inside) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let ended = inside.read_to_end(&mut bytes);
    (bytes, ended.is_ok())
}
