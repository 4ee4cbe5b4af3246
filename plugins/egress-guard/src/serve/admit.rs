//! From a destination to an open connection: policy, then one lookup, then vetting, then the vetted address.

use std::net::IpAddr;
use std::time::Duration;

use claude_bottle_egress_policy::{Asked, Code, Decision, HostOrIp, Scheme, vet_addresses};
use tokio::net::TcpStream;

use super::state::{Server, Snapshot};
use super::upstream_proxy;
use crate::http::destination::Destination;
use crate::net::dial;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    pub(crate) code: Code,
    /// What the client is told. Holds no address.
    pub(crate) reason: String,
    /// What only the log says in addition.
    pub(crate) detail: Option<String>,
    pub(crate) rule: Option<String>,
    pub(crate) origin: Option<String>,
}

impl Denial {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), detail: None, rule: None, origin: None }
    }

    /// Says what the policy says.
    pub(super) fn of(decision: &Decision) -> Self {
        Self::new(decision.code, decision.reason.clone()).after(decision)
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the rule that had allowed the request.
    pub(crate) fn after(mut self, decision: &Decision) -> Self {
        self.rule.clone_from(&decision.rule);
        self.origin.clone_from(&decision.origin);
        self
    }
}

/// Asks the policy. No name is looked up before this says yes.
pub(crate) fn decide(snapshot: &Snapshot, wanted: &Destination, method: &str) -> Result<Decision, Denial> {
    let Destination { scheme, host, port, path } = wanted;
    let decision = match scheme {
        Scheme::Connect => snapshot.config.policy.decide(host, *port, snapshot.config.tunnel(host, *port)),
        Scheme::Http | Scheme::Https => {
            snapshot.config.policy.decide_request(host, *port, *scheme, Asked { method, target: path })
        }
    };
    if decision.is_allowed() {
        return Ok(decision);
    }
    Err(Denial::of(&decision))
}

/// Asks another policy than the one by which a destination was allowed, also about the address that was dialled.
pub(crate) fn decide_again(
    snapshot: &Snapshot,
    (wanted, method): (&Destination, &str),
    address: Option<IpAddr>,
) -> Result<(), Denial> {
    let decision = decide(snapshot, wanted, method)?;
    let vetted = address.map(|address| vet_addresses(&wanted.host, &[address], &snapshot.config.policy));
    match vetted {
        Some(Err(refusal)) => Err(Denial::new(refusal.code(), refusal.to_string()).after(&decision)),
        _ => Ok(()),
    }
}

/// Returns the address that a destination was looked up to; `None` when a proxy above this one did that.
pub(crate) fn dialled(snapshot: &Snapshot, wanted: &Destination, stream: &TcpStream) -> Option<IpAddr> {
    if upstream_proxy::of(snapshot, wanted).is_some() {
        return None;
    }
    stream.peer_addr().ok().map(|address| address.ip().to_canonical())
}

/// Connects to an allowed destination.
pub(crate) async fn connect(
    server: &Server,
    snapshot: &Snapshot,
    wanted: &Destination,
) -> Result<TcpStream, Denial> {
    if let Some(proxy) = upstream_proxy::of(snapshot, wanted) {
        return upstream_proxy::connect(snapshot, proxy, wanted).await;
    }
    let addresses = resolve(snapshot, &wanted.host).await?;
    let vetted = vet_addresses(&wanted.host, &addresses, &snapshot.config.policy).map_err(|refusal| {
        let detail = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Denial::new(refusal.code(), refusal.to_string()).detail(detail)
    })?;
    if vetted.iter().any(|address| dial::is_self(*address, wanted.port, server.own_address)) {
        return Err(Denial::new(Code::SelfConnect, "the destination is the proxy itself"));
    }
    dial(snapshot, &vetted, wanted.port).await.map_err(|error| {
        Denial::new(Code::ConnectFailed, "the host did not accept the connection").detail(error.to_string())
    })
}

/// Connects to one of these addresses, in the time that the configuration gives.
pub(super) async fn dial(snapshot: &Snapshot, addresses: &[IpAddr], port: u16) -> std::io::Result<TcpStream> {
    let limit = Duration::from_secs(snapshot.config.limits.connect_timeout_seconds);
    dial::dial(addresses, port, limit).await
}

/// Returns all addresses of a host: static ones, or those of one lookup.
pub(super) async fn resolve(snapshot: &Snapshot, host: &HostOrIp) -> Result<Vec<IpAddr>, Denial> {
    if let Some(addresses) = snapshot.config.policy.static_addresses(host) {
        return Ok(addresses);
    }
    let Some(name) = host.name() else {
        return Err(Denial::new(Code::Internal, "an address without addresses"));
    };
    let timeout = Duration::from_secs(snapshot.config.limits.resolve_timeout_seconds);
    snapshot
        .resolver
        .lookup(name, timeout)
        .await
        .map_err(|error| Denial::new(error.code(), error.to_string()))
}
