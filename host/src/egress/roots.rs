//! Authorities that a bottle's guard trusts for hosts: those of this machine, and the files that the manifest names.

use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::manifest::{AuthorityFile, open_regular};

/// Largest file of authorities that is read; a bundle of all public ones has a quarter of it.
const MAX_FILE: u64 = 1024 * 1024;

/// Bytes of base64 on a line: <https://www.rfc-editor.org/rfc/rfc7468#section-2>.
const LINE: usize = 64;

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// A file that was right when the manifest was read.
    #[error("{place}: cannot read the authorities in `{}`", path.display())]
    Read {
        /// File and line.
        place: String,
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// This machine has none.
    #[error("this machine trusts no authority for HTTPS, so the guard cannot look into it")]
    None,
}

impl RootsError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::None => Some(
                "install `ca-certificates`, or name a file of authorities in SSL_CERT_FILE or in `egress.authorities`"
                    .to_owned(),
            ),
            Self::Read { .. } => None,
        }
    }
}

/// Returns the authorities as one text in PEM: those of `SSL_CERT_FILE`, or else of the system, and those of the files.
///
/// # Errors
/// Fails when a file cannot be read, and when there is none.
pub fn find(files: &[AuthorityFile]) -> Result<String, RootsError> {
    // What of it cannot be used is no reason to do without the rest.
    let mut found = of_this_machine();
    found.retain(is_authority);
    for file in files {
        let failed =
            |source| RootsError::Read { place: file.origin.to_string(), path: file.path.clone(), source };
        found.extend(read(&file.path).map_err(failed)?);
    }
    found.sort_by(|one, two| one.as_ref().cmp(two.as_ref()));
    found.dedup();
    if found.is_empty() { Err(RootsError::None) } else { Ok(found.iter().map(pem).collect()) }
}

/// Returns what the user's variables name, or what is in the one file where a distribution keeps all of them. The directory
/// beside it has the same ones in some hundred files, and is read where the file is missing or empty.
fn of_this_machine() -> Vec<CertificateDer<'static>> {
    let is_named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    if !is_named && let Some(bundle) = openssl_probe::probe().cert_file {
        let found = rustls_native_certs::load_certs_from_paths(Some(&bundle), None).certs;
        if !found.is_empty() {
            return found;
        }
    }
    rustls_native_certs::load_native_certs().certs
}

/// Reads the certificates of a file in PEM.
///
/// # Errors
/// Fails when there is none, or one that no host can be trusted by.
pub fn read(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut text = Vec::new();
    open_regular(path)?.0.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| io::Error::other(format!("it is not valid PEM: {error}")))?;
    if found.is_empty() {
        return Err(io::Error::other("it has no certificate in PEM"));
    }
    if found.iter().all(is_authority) {
        Ok(found)
    } else {
        Err(io::Error::other("one of its certificates cannot be trusted as an authority"))
    }
}

fn is_authority(certificate: &CertificateDer<'static>) -> bool {
    webpki::anchor_from_trusted_cert(certificate).is_ok()
}

fn pem(certificate: &CertificateDer<'static>) -> String {
    let text = STANDARD.encode(certificate);
    let mut lines = String::with_capacity(text.len() + text.len() / LINE + 64);
    lines.push_str("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(LINE) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines.push_str("-----END CERTIFICATE-----\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let bytes: Vec<u8> = (0..=255).collect();
        let certificate = CertificateDer::from(bytes);
        let text = pem(&certificate);
        assert!(text.lines().all(|line| line.len() <= LINE));
        let read: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, [certificate]);
    }

    #[test]
    fn a_file_without_an_authority_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.pem");
        let not = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (text, reason) in [
            ("", "no certificate"),
            ("words", "no certificate"),
            (not, "cannot be trusted"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "not valid PEM"),
            (&"x".repeat(MAX_FILE as usize + 1), "larger"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(read(dir.path()).is_err());
    }
}
