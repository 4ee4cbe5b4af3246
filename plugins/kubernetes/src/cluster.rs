//! Clusters: which of the user's a place names, and the connection to it.
//!
//! What a user's kubeconfig says is said as `kubectl` reads it. A program that gives credentials runs without the terminal: the agent's
//! session has that. TLS is checked always.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use crate::error::KubernetesError;

/// How long the server may take to answer what is not a stream.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long it may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Where bottles are: a context of the user's kubeconfig and a namespace there. What is not named is as `kubectl` has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_current = |name: &Option<String>| name.clone().unwrap_or_else(|| "(current)".to_owned());
        write!(f, "{}/{}", or_current(&self.context), or_current(&self.namespace))
    }
}

/// A namespace of a cluster that can be asked.
#[derive(Clone)]
pub(crate) struct Cluster {
    /// The place with nothing left open: the context's name is kept, so that another process finds the same cluster later.
    pub(crate) place: Place,
    pub(crate) namespace: String,
    /// The API server's name or address, and its port.
    pub(crate) server: (String, u16),
    pub(crate) client: Client,
}

impl Cluster {
    /// Reads the user's configuration, and asks nothing yet.
    pub(crate) async fn of(place: &Place) -> Result<Self, KubernetesError> {
        let (mut config, context) = match read_kubeconfig() {
            Ok(kubeconfig) => from_kubeconfig(kubeconfig, place).await?,
            Err(source) if place.context.is_none() => match kube::Config::incluster() {
                Ok(config) => (config, None),
                Err(_) => return Err(KubernetesError::FindCluster { source }),
            },
            Err(source) => return Err(KubernetesError::FindCluster { source }),
        };
        if config.accept_invalid_certs {
            return Err(KubernetesError::WithoutTls { place: place.to_string() });
        }
        if config.cluster_url.scheme_str() != Some("https") {
            return Err(KubernetesError::WithoutTls { place: place.to_string() });
        }
        config.connect_timeout = Some(CONNECT);
        if let Some(exec) = config.auth_info.exec.as_mut() {
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let server = (host, config.cluster_url.port_u16().unwrap_or(443));
        let client = Client::try_from(config).map_err(|source| KubernetesError::ask("connect", source))?;
        let place = Place { context, namespace: Some(namespace.clone()) };
        Ok(Self { place, namespace, server, client })
    }

    /// Returns the Pods of the namespace.
    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Looks at a Pod, if there is one.
    pub(crate) async fn look(&self, name: &str) -> Result<Option<Pod>, KubernetesError> {
        let pods = self.pods();
        twice(|| asked("look at the Pod", pods.get_opt(name))).await
    }
}

/// Asks once more for what may be asked twice: the server may have closed a connection that was kept.
pub(crate) async fn twice<T, A: Future<Output = Result<T, KubernetesError>>>(
    ask: impl Fn() -> A,
) -> Result<T, KubernetesError> {
    match ask().await {
        Err(KubernetesError::Reach { .. }) => ask().await,
        answer => answer,
    }
}

fn read_kubeconfig() -> Result<Kubeconfig, KubeconfigError> {
    let kubeconfig = Kubeconfig::read()?;
    match kubeconfig.clusters.is_empty() {
        true => Err(KubeconfigError::CurrentContextNotSet),
        false => Ok(kubeconfig),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    place: &Place,
) -> Result<(kube::Config, Option<String>), KubernetesError> {
    let context = place.context.clone().or_else(|| kubeconfig.current_context.clone());
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    Ok((config.map_err(|source| KubernetesError::FindCluster { source })?, context))
}

/// Waits for an answer of the server's, but not for ever.
pub(crate) async fn asked<T>(
    what: &'static str,
    answer: impl Future<Output = kube::Result<T>>,
) -> Result<T, KubernetesError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|source| KubernetesError::ask(what, source)),
        Err(_) => Err(KubernetesError::Silent { what }),
    }
}
