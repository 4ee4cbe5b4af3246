//! TLS to a host whose tunnel was opened: always verified, and the reason when it fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use claude_bottle_egress_policy::{Code, HostOrIp};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError};

use super::admit::Denial;
use super::state::Snapshot;

/// Speaks TLS with the host over a connection to it, which may choose among these protocols.
pub(super) async fn connect(
    snapshot: &Snapshot,
    host: &HostOrIp,
    (stream, protocols): (TcpStream, Vec<Vec<u8>>),
) -> Result<TlsStream<TcpStream>, Denial> {
    let broken = || Denial::new(Code::Internal, "a tunnel was opened without authorities for its host");
    let mut config = ClientConfig::clone(snapshot.tls.as_ref().ok_or_else(broken)?);
    config.alpn_protocols = protocols;
    let config = Arc::new(config);
    let name = match host {
        HostOrIp::Name(name) => ServerName::try_from(name.as_str().to_owned()),
        HostOrIp::Ip(address) => Ok(ServerName::IpAddress((*address).into())),
    };
    let name = name.map_err(|error| Denial::new(Code::BadHost, error.to_string()))?;
    let limit = Duration::from_secs(snapshot.config.limits.connect_timeout_seconds);
    match timeout(limit, TlsConnector::from(config).connect(name, stream)).await {
        Ok(connected) => connected.map_err(|error| failed(&error)),
        Err(_) => Err(Denial::new(Code::UpstreamTls, "the host did not end its TLS handshake in time")),
    }
}

fn failed(error: &io::Error) -> Denial {
    let denial = match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(error)) => {
            let reason = format!("the host's certificate is not accepted: {}", fault(error));
            Denial::new(Code::UpstreamCertificate, reason)
        }
        Some(TlsError::NoCertificatesPresented) => {
            Denial::new(Code::UpstreamCertificate, "the host shows no certificate")
        }
        _ => Denial::new(Code::UpstreamTls, "the TLS handshake with the host failed"),
    };
    denial.detail(error.to_string())
}

/// Says what is wrong with a certificate without a word from it, since the client is told.
fn fault(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::UnknownIssuer => "no trusted authority has made it",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::Revoked => "it was revoked",
        CertificateError::BadSignature => "its signature is wrong",
        _ => "it is malformed, or made in a way that is not accepted",
    }
}
