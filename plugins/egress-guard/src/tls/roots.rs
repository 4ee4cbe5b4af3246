//! Whom the guard trusts for hosts outside, and how it speaks TLS to them. Nothing here is switched off by a setting.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::error::GuardError;

/// Returns a client that trusts these authorities, certificates in PEM, and no other.
///
/// # Errors
/// Fails when one of them is not a certificate of an authority, or there is none.
pub(crate) fn client(pem: &str) -> Result<Arc<ClientConfig>, GuardError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let wrong = |reason: String| GuardError::Root { number: index + 1, reason };
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(GuardError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(super::VERSIONS)
        .map_err(|source| GuardError::ConfigureTls { source })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::Policy;

    use super::*;
    use crate::tls::authority::Authority;

    #[test]
    fn what_is_not_an_authority_is_an_error() {
        let authority = Authority::new("test", &Policy::default()).unwrap();
        let pem = authority.pem();
        assert!(client(&format!("a comment\n{pem}{pem}")).is_ok());
        let check = |text: &str, expected: &str| {
            let error = client(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        };
        check("", "no authority");
        check("words", "no authority");
        check(&pem.replacen("BEGIN", "BEGUN", 1), "no authority");
        check(&pem[..pem.len() / 2], "authority 1");
        check("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "authority 1");
    }
}
