//! probe: whether bottles can be made here and, if not, what fixes it.

use claude_bottle_plugin_api::{Failure, Probe};

use crate::backend::Kubernetes;
use crate::cluster::{Cluster, Place, asked};
use crate::error::KubernetesError;
use crate::rights;

/// From this on an exec says the end of a stream, and sidecars are native; before, everything works without.
const USUAL: (u32, u32) = (1, 30);

/// The oldest server that is asked at all.
const OLDEST: (u32, u32) = (1, 20);

/// What a server says it is.
pub(crate) struct Version {
    pub(crate) text: String,
    /// Its major and minor number, as far as they can be read.
    pub(crate) numbers: (u32, u32),
}

/// Asks a server what it is.
pub(crate) async fn version(cluster: &Cluster) -> Result<Version, KubernetesError> {
    let said = asked("read the server's version", cluster.client.apiserver_version()).await?;
    let numbers = numbers(&said.git_version);
    if numbers < OLDEST {
        return Err(KubernetesError::TooOld { version: said.git_version });
    }
    Ok(Version { text: said.git_version.trim_start_matches('v').to_owned(), numbers })
}

/// Reads `v1.36.3-gke.1` as 1 and 36.
fn numbers(text: &str) -> (u32, u32) {
    let mut parts = text.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Looks at the first place, where new bottles are made.
pub(crate) fn probe(backend: &Kubernetes) -> Probe {
    let place = backend.config.places.first().cloned().unwrap_or_default();
    match backend.run(look(&place)) {
        Err(error) => {
            let failure = Failure::from(error);
            let remedy = failure.hints.first().cloned().unwrap_or_default();
            let causes = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
            Probe::unusable(format!("{}{causes}", failure.message), remedy)
        }
        Ok((cluster, version)) => {
            let mut probe =
                Probe::usable().fact("kubernetes", version.text).fact("place", cluster.place.to_string());
            if version.numbers < USUAL {
                probe.warnings.push("this server is older than 1.30".to_owned());
            }
            probe
        }
    }
}

async fn look(place: &Place) -> Result<(Cluster, Version), KubernetesError> {
    let cluster = Cluster::of(place).await?;
    let version = version(&cluster).await?;
    rights::check(&cluster).await?;
    Ok((cluster, version))
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_of_providers_are_read() {
        assert_eq!(numbers("v1.36.3"), (1, 36));
        assert_eq!(numbers("v1.20.2-gke.1500"), (1, 20));
        assert_eq!(numbers("unknown"), (0, 0));
    }
}
