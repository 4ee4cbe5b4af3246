//! What can go wrong with a cluster, and what advice goes with it.

use claude_bottle_plugin_api::{Failure, FailureKind};
use kube::config::KubeconfigError;
use kube::core::Status;

/// An error of this backend's own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KubernetesError {
    #[error("cannot find a cluster in the kubeconfig")]
    FindCluster { source: KubeconfigError },
    #[error("the cluster at `{place}` is not reached by TLS that is checked")]
    WithoutTls { place: String },
    #[error("the cluster does not answer in time: {what}")]
    Silent { what: &'static str },
    #[error("cannot {what}: the cluster cannot be reached")]
    Reach { what: &'static str, source: Box<kube::Error> },
    #[error("cannot {what}")]
    Refused { what: &'static str, status: Box<Status> },
    #[error("Kubernetes {version} is too old; 1.20 or later is needed")]
    TooOld { version: String },
    #[error("the namespace `{namespace}` allows no bottle: `{missing}` is missing from the rights")]
    MissingRights { namespace: String, missing: String },
    #[error("the cluster changes the Pod of a bottle: {what}")]
    Changed { what: String },
    #[error("the Pod `{name}` does not start: {why}")]
    Start { name: String, why: String },
    #[error("the Pod `{name}` is gone")]
    Gone { name: String },
    #[error("the agent's program `{program}` is not in the image")]
    NoProgram { program: String },
    #[error("the bottle `{name}` does not answer: {what}")]
    Talk { name: String, what: String },
    #[error("the bottle `{name}` has no wall: {what}")]
    NoWall { name: String, what: String },
}

impl KubernetesError {
    /// Makes it of what the client says.
    pub(crate) fn ask(what: &'static str, source: kube::Error) -> Self {
        match source {
            kube::Error::Api(status) => Self::Refused { what, status },
            source => Self::Reach { what, source: Box::new(source) },
        }
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Returns `true` if what was asked about is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// Returns `true` if something of that name is there, or has another identity than was said.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409)
    }

    fn kind(&self) -> FailureKind {
        match self {
            Self::FindCluster { .. } | Self::TooOld { .. } | Self::NoProgram { .. } => FailureKind::Missing,
            Self::WithoutTls { .. }
            | Self::MissingRights { .. }
            | Self::Changed { .. }
            | Self::NoWall { .. } => FailureKind::Denied,
            Self::Silent { .. } => FailureKind::Timeout,
            Self::Reach { .. } | Self::Talk { .. } => FailureKind::Unreachable,
            Self::Gone { .. } => FailureKind::NotFound,
            Self::Start { .. } => FailureKind::Internal,
            Self::Refused { status, .. } => match status.code {
                400 | 422 => FailureKind::Invalid,
                401 | 403 => FailureKind::Denied,
                404 => FailureKind::NotFound,
                409 => FailureKind::Conflict,
                _ => FailureKind::Internal,
            },
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::FindCluster { .. } => Some("kubectl config get-contexts"),
            Self::WithoutTls { .. } => Some("give the cluster's certificate-authority in the kubeconfig"),
            Self::Reach { .. } | Self::Silent { .. } => Some("kubectl version"),
            Self::MissingRights { .. } => Some("claude-bottle cluster manifest | kubectl apply -f -"),
            Self::Refused { status, .. } if status.code == 403 => Some("kubectl auth can-i --list"),
            _ => None,
        }
    }

    /// Returns what the other side said, which names a quota, a policy or a right.
    fn said(&self) -> Vec<String> {
        match self {
            Self::FindCluster { source } => vec![source.to_string()],
            Self::Refused { status, .. } => vec![claude_bottle_kit::printable(&status.message)],
            Self::Reach { source, .. } => {
                let mut said = Vec::new();
                let mut next: Option<&dyn std::error::Error> = Some(source.as_ref());
                while let Some(error) = next {
                    let text = claude_bottle_kit::printable(&error.to_string());
                    if said.last() != Some(&text) {
                        said.push(text);
                    }
                    next = error.source();
                }
                said
            }
            _ => Vec::new(),
        }
    }
}

impl From<KubernetesError> for Failure {
    fn from(error: KubernetesError) -> Self {
        let mut failure = Self::new(error.kind(), error.to_string());
        failure.causes.extend(error.said().into_iter().filter(|said| !said.is_empty()));
        error.hint().into_iter().fold(failure, Self::hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refuses_is_said_in_its_own_words() {
        let refused = |code: u16| {
            let status = Status { code, message: "exceeded quota: team".to_owned(), ..Status::default() };
            Failure::from(KubernetesError::Refused { what: "make the Pod", status: Box::new(status) })
        };
        for (code, kind) in [
            (403, FailureKind::Denied),
            (404, FailureKind::NotFound),
            (409, FailureKind::Conflict),
            (422, FailureKind::Invalid),
            (500, FailureKind::Internal),
        ] {
            let failure = refused(code);
            assert_eq!(failure.kind, kind, "{code}");
            assert_eq!(failure.causes, ["exceeded quota: team"]);
        }
    }
}
