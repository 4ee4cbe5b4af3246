//! What can go wrong with an engine: it is not reached, it goes away, or it refuses.

use std::io;
use std::path::PathBuf;

use claude_bottle_plugin_api::FailureKind;
use thiserror::Error;

use crate::ssh::Ended;
use crate::{Address, SshHost, tls};

/// An engine that could not be asked, or that refused.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the message of each says what it is")]
#[non_exhaustive]
pub enum EngineError {
    #[error("no engine answers at `{address}`")]
    Unreachable { address: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the engine's socket `{address}` may not be used by this user")]
    Denied { address: String },
    #[error("cannot reach the engine at `{}` by ssh: {}", .0.address, .0.said)]
    Ssh(Box<SshFailure>),
    #[error("{message}")]
    MissingProgram { message: String },
    #[error("cannot use {file}")]
    Certificate { file: String },
    #[error("the certificate of the engine at `{}` is not accepted: {}", .0.address, .0.why)]
    Untrusted(Box<UntrustedEngine>),
    #[error("the engine does not accept this user's certificate, or wants one: {alert}")]
    ClientRefused { alert: String },
    #[error("the engine went away: {reason}")]
    Gone { reason: String },
    #[error("the connection to the engine was lost: {reason}")]
    Lost { reason: String },
    #[error("the engine did not answer in time")]
    Timeout,
    #[error("{message}")]
    NotFound { message: String },
    #[error("{message}")]
    Conflict { message: String },
    #[error("the engine answered {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("{message}")]
    Failed { message: String },
    #[error("lost the connection to the engine")]
    Io { source: io::Error },
    #[error("unexpected answer from the engine")]
    Protocol { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the program in the container did not end after its streams had")]
    NeverEnded,
}

/// An engine that `ssh` does not lead to.
#[derive(Debug)]
pub struct SshFailure {
    address: String,
    said: String,
    /// What may help.
    pub hint: String,
}

/// An engine that does not prove who it is.
#[derive(Debug)]
pub struct UntrustedEngine {
    pub(crate) address: String,
    /// The directory with the user's certificates.
    pub files: PathBuf,
    pub(crate) why: String,
}

impl EngineError {
    /// Returns what the host does next.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. }
            | Self::Ssh(_)
            | Self::Gone { .. }
            | Self::Lost { .. }
            | Self::Io { .. } => FailureKind::Unreachable,
            Self::Denied { .. } | Self::Untrusted(_) | Self::ClientRefused { .. } => FailureKind::Denied,
            Self::MissingProgram { .. } | Self::Certificate { .. } => FailureKind::Missing,
            Self::Timeout | Self::NeverEnded => FailureKind::Timeout,
            Self::NotFound { .. } => FailureKind::NotFound,
            Self::Conflict { .. } => FailureKind::Conflict,
            Self::Refused { .. } | Self::Failed { .. } | Self::Protocol { .. } => FailureKind::Internal,
        }
    }

    /// Returns `true` if what was asked about does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Makes the error of the first request to an engine: whatever ended it, nothing answers at the address.
    #[must_use]
    pub fn at(self, address: &Address) -> Self {
        let address = address.to_string();
        match self {
            Self::Io { source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::Denied { address }
            }
            Self::Gone { reason } => Self::Unreachable { address, source: reason.into() },
            Self::Protocol { source } => Self::Unreachable { address, source },
            Self::Io { source } => Self::Unreachable { address, source: source.into() },
            other => other,
        }
    }

    /// Makes the error of a status that is not success.
    pub fn refused(status: u16, message: String) -> Self {
        match status {
            404 => Self::NotFound { message },
            409 => Self::Conflict { message },
            _ => Self::Refused { status, message },
        }
    }

    /// Makes the error of an engine that cannot be reached by ssh.
    pub(crate) fn ssh(host: &SshHost, said: String) -> Self {
        Self::Ssh(Box::new(SshFailure { address: host.to_string(), hint: host.hint(&said), said }))
    }

    /// Makes the error of an answer that cannot be read, or of one that did not come because the connection has ended.
    pub fn protocol(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        ended(source.as_ref()).unwrap_or(Self::Protocol { source })
    }

    /// Makes the error of a connection that fails.
    pub fn io(source: io::Error) -> Self {
        ended(&source).unwrap_or(Self::Io { source })
    }
}

/// Returns the error of a connection that ended early, could not be made, or was refused; `None` for any other error.
fn ended(error: &(dyn std::error::Error + 'static)) -> Option<EngineError> {
    let mut chain = std::iter::successors(Some(error), |error| below(*error));
    let told = chain.find_map(|error| {
        if let Some(ended) = error.downcast_ref::<Ended>() {
            return Some(EngineError::Lost { reason: ended.reason.clone() });
        }
        let alert = tls::refusal(error.downcast_ref::<io::Error>()?)?;
        Some(EngineError::ClientRefused { alert })
    });
    told.or_else(|| lost(error).map(|reason| EngineError::Gone { reason }))
}

/// Returns why a connection ended early, or could not be made; `None` for any other error.
fn lost(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        NetworkUnreachable, NotConnected, NotFound, TimedOut, UnexpectedEof,
    };
    let is_lost = |error: &(dyn std::error::Error + 'static)| {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // The file that is not found is the engine's socket.
            return matches!(
                io.kind(),
                NotFound
                    | TimedOut
                    | HostUnreachable
                    | NetworkUnreachable
                    | ConnectionRefused
                    | ConnectionReset
                    | ConnectionAborted
                    | NotConnected
                    | BrokenPipe
                    | UnexpectedEof
            );
        }
        let http = error.downcast_ref::<hyper::Error>();
        http.is_some_and(|http| http.is_incomplete_message() || http.is_closed() || http.is_canceled())
    };
    let chain = || std::iter::successors(Some(error), |error| below(*error));
    chain().any(is_lost).then(|| chain().last().map(ToString::to_string).unwrap_or_default())
}

/// Returns what an error was made of. An error of the system that wraps another one passes over it as its source.
fn below<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a (dyn std::error::Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_off_is_an_engine_that_went_away() {
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof]
        {
            let error = EngineError::io(kind.into());
            assert!(matches!(error, EngineError::Gone { .. }), "{error}");
            let wrapped = EngineError::protocol(io::Error::other(io::Error::from(kind)));
            assert!(matches!(wrapped, EngineError::Gone { .. }), "{wrapped}");
        }
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidData] {
            assert!(matches!(EngineError::io(kind.into()), EngineError::Io { .. }));
            assert!(matches!(EngineError::protocol(io::Error::from(kind)), EngineError::Protocol { .. }));
        }
    }
}
