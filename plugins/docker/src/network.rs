//! The networks of a bottle: the sidecar's way out, and the inner one without a way out when agent and sidecar need one.

use std::fs;
use std::path::Path;

use bollard::models::NetworkCreateRequest;
use claude_bottle_kit::Labels;
use serde::{Deserialize, Serialize};

use crate::engine::{EngineFacts, Network};
use crate::names::PREFIX;
use crate::plan::{labels, role};

/// How the engine keeps the host's own addresses out of the inner network.
///
/// An internal network of an engine still gives the bridge an address of the host, at which every service that listens on
/// 0.0.0.0 is reachable from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// The bridge gets no address: an option of the bridge driver, tried on 20.10 and 26.1.
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

/// Returns `true` if the host's own addresses are out of reach from a network that was made.
///
/// A driver that does not know an option takes it and does nothing, so where the bridge is on this machine its address is
/// looked for among the machine's own. From a remote engine there is only its word.
pub(crate) fn is_closed(network: &Network, isolation: Isolation, id: &str) -> bool {
    let (name, value) = isolation.option();
    if !network.internal || network.ipv6 || network.options.get(&name) != Some(&value) {
        return false;
    }
    let here = id.get(..12).is_some_and(|id| Path::new(&format!("/sys/class/net/br-{id}")).exists());
    !here || fs::read_to_string(ADDRESSES).is_ok_and(|table| !has_address(&table, &network.gateways))
}

/// The kernel's table of IPv4 addresses and ranges.
const ADDRESSES: &str = "/proc/net/fib_trie";

/// Returns `true` if one of these is an address of the machine itself, which the table marks `host LOCAL`.
fn has_address(table: &str, addresses: &[String]) -> bool {
    let mut last = "";
    table.lines().map(str::trim).any(|line| {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        }
        line == "/32 host LOCAL" && addresses.iter().any(|address| address == last)
    })
}

/// Returns the inner network's name; a run's identifier is in it, so that no two want the same.
pub(crate) fn internal_name(run: &str) -> String {
    format!("{PREFIX}net-{run}")
}

/// Returns the name of the sidecar's way out.
pub(crate) fn egress_name(run: &str) -> String {
    format!("{PREFIX}egress-{run}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_machine_is_found_and_a_range_is_none() {
        let table = fs::read_to_string(ADDRESSES).unwrap();
        assert!(has_address(&table, &["127.0.0.1".to_owned()]));
        assert!(!has_address(&table, &["127.0.0.0".to_owned()]));
        assert!(!has_address(&table, &[]));
    }

    #[test]
    fn a_network_is_closed_only_as_it_was_asked_for() {
        let isolation = Isolation::InhibitIpv4;
        let closed = Network { internal: true, options: [isolation.option()].into(), ..Network::default() };
        assert!(is_closed(&closed, isolation, "0123456789abcdef"));
        assert!(!is_closed(&closed, Isolation::Isolated, "0123456789abcdef"));
        for open in [Network { internal: false, ..closed.clone() }, Network { ipv6: true, ..closed }] {
            assert!(!is_closed(&open, isolation, "0123456789abcdef"));
        }
    }
}
