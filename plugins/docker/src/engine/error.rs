//! What an engine's refusal means.

use std::io;

use claude_bottle_plugin_api::FailureKind;
use thiserror::Error;

/// An engine that could not be asked, or that refused.
#[derive(Debug, Error)]
pub(crate) enum EngineError {
    #[error("no engine answers at `{address}`")]
    Unreachable { address: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the engine's socket `{address}` may not be used by this user")]
    Denied { address: String },
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
    #[error("talk to the engine")]
    Io { source: io::Error },
    #[error("understand the engine")]
    Protocol { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the program in the container did not end after its streams had")]
    NeverEnded,
}

impl EngineError {
    /// Returns what the host does next.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. } | Self::Io { .. } => FailureKind::Unreachable,
            Self::Denied { .. } => FailureKind::Denied,
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
            Self::Conflict { message } if !message.contains(super::api::AMBIGUOUS) => {
                Self::Failed { message }
            }
            other => other,
        }
    }

    pub(super) fn protocol(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Protocol { source: source.into() }
    }
}
