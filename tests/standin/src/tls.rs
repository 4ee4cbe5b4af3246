//! A certificate authority for one run, and a certificate of its making. The authority's key is never written.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::Tls;
use crate::authority::Authority;
use crate::error::StandinError;

/// Makes the authority and the certificate, and writes the authority where clients find it.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, StandinError> {
    let authority = Authority::new("claude-bottle stand-in authority")
        .map_err(|source| StandinError::MakeCertificate { source })?;
    let key = KeyPair::generate().map_err(|source| StandinError::MakeCertificate { source })?;
    let leaf = leaf_params(&tls.names)
        .and_then(|params| params.signed_by(&key, &authority.issuer))
        .map_err(|source| StandinError::MakeCertificate { source })?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![leaf.der().clone()], key))
        .map_err(|source| StandinError::ConfigureTls { source })?;
    write_ca(&tls.ca_file, &authority.pem)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn leaf_params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "claude-bottle stand-in");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn write_ca(path: &Path, pem: &str) -> Result<(), StandinError> {
    std::fs::write(path, pem).map_err(|source| StandinError::WriteFile { path: path.to_owned(), source })
}
