//! TLS to an engine: its certificate is always verified, against the authority that the user has for it and no other.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use zeroize::Zeroizing;

use crate::error::UntrustedEngine;
use crate::{EngineError, Result, TlsAddress};

/// The authority that made the engine's certificate.
const AUTHORITY: &str = "ca.pem";
/// The user's certificate, and its key.
const OWN: [&str; 2] = ["cert.pem", "key.pem"];

/// Reads the files of a directory, named as docker names them. The user's own certificate may be missing.
pub(crate) fn config(files: &Path) -> Result<Arc<ClientConfig>> {
    let authority = files.join(AUTHORITY);
    let pem = read(&authority)?.ok_or_else(|| unusable(&authority, &io::ErrorKind::NotFound))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&authority, &pem)? {
        roots.add(certificate).map_err(|error| unusable(&authority, &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(EngineError::protocol)?
        .with_root_certificates(roots);
    let [certificate, key] = OWN.map(|name| files.join(name));
    let config = match (read(&certificate)?, read(&key)?) {
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => return Err(unusable(&key, &io::ErrorKind::NotFound)),
        (None, Some(_)) => return Err(unusable(&certificate, &io::ErrorKind::NotFound)),
        (Some(pem), Some(secret)) => {
            let chain = certificates(&certificate, &pem)?;
            let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| unusable(&key, &error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| unusable(&key, &error))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unusable(path, &error))?;
    if found.is_empty() { Err(unusable(path, &"it has no certificate")) } else { Ok(found) }
}

/// Reads a file; `None` if there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(Zeroizing::new(other.map_err(|error| unusable(path, &error))?))),
    }
}

fn unusable(path: &Path, why: &dyn Display) -> EngineError {
    EngineError::Certificate { file: format!("`{}`: {why}", path.display()) }
}

/// Speaks TLS over a connection.
pub(crate) async fn connect(
    config: Arc<ClientConfig>,
    address: &TlsAddress,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let host = address.authority.rsplit_once(':').map_or(address.authority.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(EngineError::protocol)?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|error| match of(&error) {
        Some(TlsError::InvalidCertificate(fault)) => EngineError::Untrusted(Box::new(UntrustedEngine {
            address: format!("tcp://{}", address.authority),
            files: address.files.clone(),
            why: why(fault),
        })),
        _ => EngineError::protocol(error),
    })
}

/// Returns the error of TLS that an error of the system was made of.
pub(crate) fn of(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// Returns the engine's alert when it refuses this user's certificate, or the lack of one.
pub(crate) fn refusal(error: &io::Error) -> Option<String> {
    match of(error)? {
        TlsError::AlertReceived(alert) => Some(format!("{alert:?}")),
        _ => None,
    }
}

fn why(fault: &CertificateError) -> String {
    let known = match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::UnknownIssuer => "another authority has made it",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::BadSignature => "its signature is wrong",
        other => return other.to_string(),
    };
    known.to_owned()
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
