//! Why a stand-in could not start or record.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What went wrong; the source says why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandinError {
    /// The address is taken, not this machine's, or needs privileges.
    #[error("listen on `{address}`")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The engine does not say where its containers reach this machine.
    #[error(
        "find the engine's network `{network}`, on whose bridge tests serve; make it again: docker network rm {network}"
    )]
    FindBridge {
        /// The network's name.
        network: &'static str,
        /// The engine's answer.
        source: std::io::Error,
    },
    /// No event loop could be made.
    #[error("start the event loop")]
    StartRuntime {
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could not be opened or written.
    #[error("write `{}`", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key or certificate could not be made, for a name that is none for example.
    #[error("make a certificate")]
    MakeCertificate {
        /// The reason.
        source: rcgen::Error,
    },
    /// The TLS library refused the certificate made.
    #[error("configure TLS")]
    ConfigureTls {
        /// The reason.
        source: tokio_rustls::rustls::Error,
    },
}
