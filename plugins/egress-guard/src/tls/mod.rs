//! TLS as the guard sees it: the beginning of a client's side, and both ends of an opened tunnel.

pub mod authority;
pub mod hello;
mod jks;
pub(crate) mod leaf;
pub(crate) mod roots;
pub(crate) mod trust;

use std::sync::{Arc, LazyLock};

use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::version::{TLS12, TLS13};

/// Protocols that are spoken in opened tunnels, <https://www.iana.org/assignments/tls-extensiontype-values>.
pub(crate) const HTTP11: &[u8] = b"http/1.1";
/// The other one.
pub(crate) const HTTP2: &[u8] = b"h2";

/// The versions that are spoken on both sides.
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Returns the cryptography for both sides.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}
