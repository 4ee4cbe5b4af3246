//! A store of trusted certificates as every Java reads it: the format `JKS`, version 2.
//!
//! It is described by the program that reads it alone:
//! <https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/sun/security/provider/JavaKeyStore.java>.

use sha1::{Digest, Sha1};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject as _};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a trusted certificate.
const TRUSTED: u32 = 2;
const KIND: &str = "X.509";

/// What JDKs have as the password of theirs. It protects nothing: the store holds no secret.
const PASSWORD: &str = "changeit";
/// What the digest at the end begins with, behind the password.
const SALT: &str = "Mighty Aphrodite";

/// Returns the store of the certificates of a text in PEM.
///
/// # Errors
/// Fails when one of them cannot be read.
pub(crate) fn store(pem: &str) -> Result<Vec<u8>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let mut store = Vec::with_capacity(pem.len());
    for number in [MAGIC, VERSION, length(certificates.len())] {
        store.extend(number.to_be_bytes());
    }
    for (index, certificate) in certificates.iter().enumerate() {
        store.extend(TRUSTED.to_be_bytes());
        text(&mut store, &format!("authority-{index}"));
        // When it was added, which nothing looks at.
        store.extend(0_u64.to_be_bytes());
        text(&mut store, KIND);
        store.extend(length(certificate.len()).to_be_bytes());
        store.extend_from_slice(certificate);
    }
    let mut digest = Sha1::new();
    PASSWORD.encode_utf16().for_each(|unit| digest.update(unit.to_be_bytes()));
    digest.update(SALT);
    digest.update(&store);
    store.extend_from_slice(&digest.finalize());
    Ok(store)
}

/// Adds a short text, which is ASCII here, behind its length.
fn text(store: &mut Vec<u8>, text: &str) {
    store.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    store.extend_from_slice(text.as_bytes());
}

/// Returns a length as the format has it. Certificates come from a text of a few megabytes at most.
fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::Policy;

    use super::*;
    use crate::tls::authority::Authority;

    #[test]
    fn it_has_each_certificate_whole_and_ends_with_its_digest() {
        let authorities = ["one", "two"].map(|name| Authority::new(name, &Policy::default()).unwrap());
        let pem = authorities.each_ref().map(Authority::pem).concat();
        let store = store(&pem).unwrap();
        assert_eq!(store[..12], [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 2]);
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap) {
            assert!(store.windows(certificate.len()).any(|window| window == certificate.as_ref()));
        }
        let (data, digest) = store.split_at(store.len() - 20);
        let mut expected = Sha1::new_with_prefix(b"\0c\0h\0a\0n\0g\0e\0i\0tMighty Aphrodite");
        expected.update(data);
        assert_eq!(digest, expected.finalize().as_slice());
        assert!(super::store("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
    }
}
