//! The two networks of a bottle: the inner one without a way out, and the sidecar's way out.

use bollard::models::NetworkCreateRequest;
use claude_bottle_backend_shared::Labels;
use serde::{Deserialize, Serialize};

use crate::engine::EngineFacts;
use crate::plan::{labels, role};

/// How the engine keeps the host's own addresses out of the inner network.
///
/// An internal network of an engine still gives the bridge an address of the host, at which every service that listens on
/// 0.0.0.0 is reachable from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// The bridge gets no address: an option of the bridge driver, measured on 20.10.
    InhibitIpv4,
    /// Gateway mode "isolated", engine 28 and later:
    /// <https://docs.docker.com/engine/network/drivers/bridge/#options>.
    Isolated,
}

/// The API version of engine 28.0: <https://docs.docker.com/reference/api/engine/version-history/>.
const API_OF_ENGINE_28: (usize, usize) = (1, 48);

impl Isolation {
    /// Chooses what this engine knows.
    pub(crate) fn of(facts: &EngineFacts) -> Self {
        if facts.api >= API_OF_ENGINE_28 { Self::Isolated } else { Self::InhibitIpv4 }
    }

    fn option(self) -> (String, String) {
        let (name, value) = match self {
            Self::InhibitIpv4 => ("com.docker.network.bridge.inhibit_ipv4", "true"),
            Self::Isolated => ("com.docker.network.bridge.gateway_mode_ipv4", "isolated"),
        };
        (name.to_owned(), value.to_owned())
    }
}

/// Describes the network between agent and sidecar.
pub(crate) fn internal(name: &str, isolation: Isolation, owner: &Labels) -> NetworkCreateRequest {
    NetworkCreateRequest {
        internal: Some(true),
        options: Some([isolation.option()].into()),
        ..bridge(name, owner, role::INTERNAL)
    }
}

/// Describes the sidecar's way out. A bridge of our own, since the engine's default one has no name service.
pub(crate) fn egress(name: &str, owner: &Labels) -> NetworkCreateRequest {
    bridge(name, owner, role::EGRESS)
}

fn bridge(name: &str, owner: &Labels, role: &str) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(false),
        labels: labels(owner, role),
        ..NetworkCreateRequest::default()
    }
}
