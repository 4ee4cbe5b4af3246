//! Authorities and certificates of hosts outside, good and bad ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// An authority for hosts outside.
pub(crate) struct Roots {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Roots {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // Two of one name would be told apart by their signatures alone.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number} outside"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// Returns a server with a certificate for one name.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_of(&params(name))
    }

    /// Returns a server with a certificate for several names.
    pub(crate) fn server_for(&self, names: &[&str]) -> Arc<ServerConfig> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.server_of(&CertificateParams::new(names).unwrap())
    }

    /// Returns a server whose certificate has expired.
    pub(crate) fn expired(&self, name: &str) -> Arc<ServerConfig> {
        let mut params = params(name);
        params.not_after = (SystemTime::now() - Duration::from_secs(60)).into();
        self.server_of(&params)
    }

    /// Returns a server that asks for a certificate of this authority, and what a client of it has to show.
    pub(crate) fn mutual(
        &self,
        name: &str,
    ) -> (Arc<ServerConfig>, CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), Arc::clone(&provider))
            .build()
            .unwrap();
        let (certificate, key) = self.signed(name, ExtendedKeyUsagePurpose::ServerAuth);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let (certificate, key) = self.signed("client.test", ExtendedKeyUsagePurpose::ClientAuth);
        (Arc::new(config), certificate, key)
    }

    /// Returns a server that shows this many certificates, the first of which is its own.
    pub(crate) fn server_with_chain(&self, name: &str, count: usize) -> Arc<ServerConfig> {
        let (certificate, key) = self.signed(name, ExtendedKeyUsagePurpose::ServerAuth);
        let others = (1..count).map(|_| self.signed("other.test", ExtendedKeyUsagePurpose::ServerAuth).0);
        let chain = std::iter::once(certificate).chain(others).collect();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }

    fn signed(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }

    fn server_of(&self, params: &CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        server(certificate.der().clone(), &key)
    }
}

/// Returns a server whose certificate nobody has signed.
pub(crate) fn self_signed(name: &str) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name).self_signed(&key).unwrap();
    server(certificate.der().clone(), &key)
}

/// Returns a server of a certificate and a key that another program has made.
pub(crate) fn read_server(certificate: &str, key: &str) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    Arc::new(config)
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn server(
    certificate: tokio_rustls::rustls::pki_types::CertificateDer<'static>,
    key: &KeyPair,
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
