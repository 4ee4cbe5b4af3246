//! What can go wrong with Podman, and what advice goes with it.

use std::path::PathBuf;

use claude_bottle_engine::EngineError;
use claude_bottle_kit::bwrap::install_hint;
use claude_bottle_plugin_api::{Failure, FailureKind};

/// An error of this backend's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PodmanError {
    #[error("`{address}` is not an address of Podman that this backend can use (unix:// is)")]
    ReadAddress { address: String },
    #[error("the program `podman` is missing, and no socket of its service answers")]
    FindPodman,
    #[error("Podman does not answer at `{}`", socket.display())]
    Reach { socket: PathBuf, source: std::io::Error },
    #[error("the Podman at `{}` is another user's ({uid})", socket.display())]
    OtherUser { socket: PathBuf, uid: u32 },
    #[error("cannot start a service of Podman")]
    StartService { source: std::io::Error },
    #[error("the service of Podman does not listen")]
    ServiceNotReady { said: String },
    #[error("Podman did not do what was asked")]
    Ask {
        #[from]
        source: EngineError,
    },
    #[error("cannot read what Podman says of {what}")]
    ReadAnswer { what: &'static str },
    #[error("Podman {version} is too old; 4.3 or later is needed")]
    TooOld { version: String },
    #[error("this Podman filters no system calls")]
    WithoutFilter,
    #[error("the container `{name}` ended before it was ready")]
    StartContainer { name: String, said: String },
    #[error("the container `{name}` has a network, and was to have none")]
    HasNetwork { name: String },
}

impl PodmanError {
    /// Returns `true` if what was asked about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Ask { source } if source.is_not_found())
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::ReadAddress { .. } => FailureKind::Invalid,
            Self::FindPodman | Self::TooOld { .. } => FailureKind::Missing,
            Self::Reach { .. } | Self::ServiceNotReady { .. } => FailureKind::Unreachable,
            Self::OtherUser { .. } | Self::HasNetwork { .. } | Self::WithoutFilter => FailureKind::Denied,
            Self::Ask { source } => source.kind(),
            Self::StartService { .. } | Self::ReadAnswer { .. } | Self::StartContainer { .. } => {
                FailureKind::Internal
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::FindPodman | Self::TooOld { .. } => Some(install_hint("podman")),
            Self::ReadAddress { .. } | Self::OtherUser { .. } => Some("unset CONTAINER_HOST".to_owned()),
            Self::Reach { .. } => Some("systemctl --user start podman.socket".to_owned()),
            Self::ServiceNotReady { .. } => Some("podman info".to_owned()),
            _ => None,
        }
    }

    /// Returns the other side's message.
    fn said(&self) -> &str {
        match self {
            Self::ServiceNotReady { said } | Self::StartContainer { said, .. } => said,
            _ => "",
        }
    }
}

impl From<PodmanError> for Failure {
    fn from(error: PodmanError) -> Self {
        let mut failure = Self::new(error.kind(), error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            failure = failure.caused_by(source);
        }
        failure.causes.extend(Some(error.said().to_owned()).filter(|said| !said.is_empty()));
        error.hint().into_iter().fold(failure, Self::hint)
    }
}
