//! What can go wrong with Podman, and what advice goes with it.

use std::path::PathBuf;

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
    #[error("Podman does not answer in time")]
    Silent,
    #[error("cannot talk to Podman")]
    Talk { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot read what Podman says of {what}")]
    ReadAnswer { what: &'static str },
    #[error("Podman refuses: {said}")]
    Refused { status: u16, said: String },
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
    /// Makes it of an error of the connection.
    pub(crate) fn talk(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Talk { source: source.into() }
    }

    /// Returns `true` if what was asked about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::ReadAddress { .. } => FailureKind::Invalid,
            Self::FindPodman | Self::TooOld { .. } => FailureKind::Missing,
            Self::Reach { .. } | Self::Talk { .. } | Self::ServiceNotReady { .. } => FailureKind::Unreachable,
            Self::OtherUser { .. } | Self::HasNetwork { .. } | Self::WithoutFilter => FailureKind::Denied,
            Self::Silent => FailureKind::Timeout,
            Self::Refused { status: 404, .. } => FailureKind::NotFound,
            Self::Refused { status: 409, .. } => FailureKind::Conflict,
            Self::StartService { .. }
            | Self::ReadAnswer { .. }
            | Self::Refused { .. }
            | Self::StartContainer { .. } => FailureKind::Internal,
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

    /// Returns what the other side said.
    fn said(&self) -> Option<String> {
        match self {
            Self::ServiceNotReady { said } | Self::StartContainer { said, .. } => Some(said.clone()),
            Self::Reach { source, .. } | Self::StartService { source } => Some(source.to_string()),
            Self::Talk { source } => Some(source.to_string()),
            _ => None,
        }
    }
}

impl From<PodmanError> for Failure {
    fn from(error: PodmanError) -> Self {
        let mut failure = Self::new(error.kind(), error.to_string());
        failure.causes.extend(error.said().filter(|said| !said.is_empty()));
        error.hint().into_iter().fold(failure, Self::hint)
    }
}
