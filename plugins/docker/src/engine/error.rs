//! What an engine's refusal means.

use std::io;
use std::path::PathBuf;

use claude_bottle_plugin_api::FailureKind;
use thiserror::Error;

use super::ssh::{Ended, SshHost};
use super::tls;

/// What an engine, and a program in a container, passes on of the system's ENOSPC.
const DISK_FULL: &str = "no space left on device";
/// What an engine says of a name that two networks have.
const AMBIGUOUS: &str = "is ambiguous";

/// An engine that could not be asked, or that refused.
#[derive(Debug, Error)]
pub(crate) enum EngineError {
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
pub(crate) struct SshFailure {
    address: String,
    said: String,
    hint: String,
}

/// An engine that does not prove who it is.
#[derive(Debug)]
pub(crate) struct UntrustedEngine {
    pub(super) address: String,
    /// Where the user's certificates are.
    pub(super) files: PathBuf,
    pub(super) why: String,
}

impl EngineError {
    /// Returns what the host does next.
    pub(crate) fn kind(&self) -> FailureKind {
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

    /// Returns what may mend it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "start the engine (`systemctl start docker`, or Docker Desktop), or name another one in DOCKER_HOST"
                    .to_owned(),
            ),
            Self::Gone { .. } => Some(
                "claude-bottle cleanup   # once the engine runs again (`systemctl start docker`, or Docker Desktop)"
                    .to_owned(),
            ),
            Self::Ssh(failure) => Some(failure.hint.clone()),
            Self::MissingProgram { .. } => {
                Some("install claude-bottle again: that program comes with it".to_owned())
            }
            Self::Lost { .. } => Some(
                "claude-bottle cleanup   # once that machine is reached again; it saves the work of bottles that are left there"
                    .to_owned(),
            ),
            Self::Certificate { .. } => Some(
                "export DOCKER_CERT_PATH=DIR   # with the engine's authority as ca.pem, and the user's cert.pem and key.pem"
                    .to_owned(),
            ),
            Self::Untrusted(engine) => Some(format!(
                "put the authority that made the engine's certificate into `{}`",
                engine.files.join("ca.pem").display()
            )),
            Self::ClientRefused { .. } => Some(
                "put cert.pem and key.pem of a user that the engine knows into the directory that DOCKER_CERT_PATH names"
                    .to_owned(),
            ),
            Self::Refused { message, .. } | Self::Failed { message } => {
                disk_full_hint(message).or_else(|| runtime_hint(message))
            }
            Self::Denied { .. } => {
                Some("sudo usermod -aG docker \"$USER\"   # and log in again".to_owned())
            }
            _ => None,
        }
    }

    /// Says whether the thing does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Turns a conflict about anything but a network's name into a plain failure: another name would not help.
    pub(crate) fn unless_ambiguous(self) -> Self {
        match self {
            Self::Conflict { message } if !message.contains(AMBIGUOUS) => Self::Failed { message },
            other => other,
        }
    }

    /// Makes the error of an engine that cannot be reached by ssh.
    pub(super) fn ssh(host: &SshHost, said: String) -> Self {
        Self::Ssh(Box::new(SshFailure { address: host.to_string(), hint: host.hint(&said), said }))
    }

    pub(super) fn protocol(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        ended(source.as_ref()).unwrap_or(Self::Protocol { source })
    }

    pub(crate) fn io(source: io::Error) -> Self {
        ended(&source).unwrap_or(Self::Io { source })
    }
}

/// Returns what helps when words of the engine, or of a program in a container, tell of a full disk.
pub(crate) fn disk_full_hint(said: &str) -> Option<String> {
    let full = said.to_ascii_lowercase().contains(DISK_FULL);
    full.then(|| {
        "docker system df   # the engine's disk is full; `docker system prune` frees what nothing uses"
            .to_owned()
    })
}

/// Returns what helps when words of the engine tell of a runtime that does not work: containerd's and the runtimes' own
/// words, and the engine's before it starts one.
fn runtime_hint(said: &str) -> Option<String> {
    let hint = "docker info --format '{{json .Runtimes}}'   # repair the runtime, or take it out of the engine's settings";
    said.contains("OCI runtime").then(|| hint.to_owned())
}

/// Returns the error of a connection that ended before its time, could not be made, or was refused; `None` for any other error.
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

/// Says why a connection ended before its time, or could not be made; `None` for any other error.
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

/// Says what bollard's error means.
pub(super) fn understand(error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(status_code, message),
        Error::DockerStreamError { error } => EngineError::Failed { message: error },
        Error::RequestTimeoutError => EngineError::Timeout,
        Error::IOError { err } => match err.downcast::<EngineError>() {
            Ok(error) => error,
            Err(err) => EngineError::io(err),
        },
        other => EngineError::protocol(other),
    }
}

/// Says what a status other than success means.
pub(super) fn refused(status: u16, message: String) -> EngineError {
    match status {
        404 => EngineError::NotFound { message },
        // Somebody else is removing the container.
        _ if message.contains("dead or marked for removal") => EngineError::NotFound { message },
        409 => EngineError::Conflict { message },
        // Engines before 25 answer 409 for a container's name and 403 or 500 for some others.
        _ if message.contains("already exists") || message.contains("already in use by") => {
            EngineError::Conflict { message }
        }
        // Engines before 25 check a network's name and then take it: two runs at once can both be told it is free.
        _ if message.contains(AMBIGUOUS) => EngineError::Conflict { message },
        _ => EngineError::Refused { status, message },
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
            assert!(error.hint().unwrap().starts_with("claude-bottle cleanup"));
            let wrapped = EngineError::protocol(io::Error::other(io::Error::from(kind)));
            assert!(matches!(wrapped, EngineError::Gone { .. }), "{wrapped}");
        }
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidData] {
            assert!(matches!(EngineError::io(kind.into()), EngineError::Io { .. }));
            assert!(matches!(EngineError::protocol(io::Error::from(kind)), EngineError::Protocol { .. }));
        }
    }

    #[test]
    fn a_full_disk_is_told_with_what_helps() {
        let message = "mkdir /data/x: no space left on device".to_owned();
        for error in
            [EngineError::Refused { status: 500, message: message.clone() }, EngineError::Failed { message }]
        {
            assert!(error.hint().unwrap().starts_with("docker system df"));
        }
        assert_eq!(EngineError::Failed { message: "no such image".to_owned() }.hint(), None);
    }
}
