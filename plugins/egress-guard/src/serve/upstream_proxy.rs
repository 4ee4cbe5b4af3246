//! The way through a proxy above the guard. The guard's own policy has decided before; names are looked up by that proxy.
//!
//! A tunnel is asked for by CONNECT. A plain request goes in absolute form, since such proxies open tunnels to 443 alone.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claude_bottle_egress_policy::{
    Code, GuardConfig, GuardSecrets, HostOrIp, Scheme, UpstreamProxy, vet_addresses,
};
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode, Uri};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::admit::{self, Denial};
use super::state::Snapshot;
use super::upstream::Body;
use crate::error::GuardError;
use crate::http::destination::Destination;
use crate::net::ask_tunnel;

/// Returns the proxy by which a destination is reached; `None` when it is reached without one.
pub(super) fn of<'s>(snapshot: &'s Snapshot, wanted: &Destination) -> Option<&'s UpstreamProxy> {
    let proxy = snapshot.config.upstream_proxy.as_ref()?;
    (!proxy.goes_direct(&snapshot.config.policy, &wanted.host)).then_some(proxy)
}

/// Returns the header by which the proxy knows the user.
///
/// # Errors
/// Fails when the secret that the configuration names is not there, or cannot be a header.
pub(super) fn authorization(
    config: &GuardConfig,
    secrets: &GuardSecrets,
) -> Result<Option<HeaderValue>, GuardError> {
    let Some(name) = config.upstream_proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) else {
        return Ok(None);
    };
    let missing = || GuardError::NoProxyCredentials { name: name.clone() };
    let secret = secrets.entries.iter().find(|secret| secret.name == *name).ok_or_else(missing)?;
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&secret.value)));
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| missing())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Connects to the proxy, and through it when the destination is for a tunnel.
pub(super) async fn connect(
    snapshot: &Snapshot,
    proxy: &UpstreamProxy,
    wanted: &Destination,
) -> Result<TcpStream, Denial> {
    if let HostOrIp::Ip(address) = &wanted.host {
        vet_addresses(&wanted.host, &[*address], &snapshot.config.policy)
            .map_err(|refusal| Denial::new(refusal.code(), refusal.to_string()))?;
    }
    let place = &proxy.address;
    let addresses = admit::resolve(snapshot, &place.host).await.map_err(|denial| {
        failed("the name of the upstream proxy cannot be looked up").detail(denial.reason)
    })?;
    let connected = admit::dial(snapshot, &addresses, place.port).await;
    let mut stream = connected
        .map_err(|error| failed("the upstream proxy cannot be reached").detail(error.to_string()))?;
    if wanted.scheme != Scheme::Http {
        let limit = Duration::from_secs(snapshot.config.limits.connect_timeout_seconds);
        let asked = timeout(limit, open_tunnel(&mut stream, snapshot, wanted)).await;
        asked.map_err(|_| failed("the upstream proxy did not answer in time"))??;
    }
    Ok(stream)
}

/// Addresses a plain request to the proxy, when it goes that way.
pub(super) fn address(
    request: &mut Request<Body>,
    snapshot: &Snapshot,
    wanted: &Destination,
) -> Result<(), Denial> {
    if wanted.scheme != Scheme::Http || of(snapshot, wanted).is_none() {
        return Ok(());
    }
    let target = format!("http://{}{}", wanted.host_header(), request.uri());
    *request.uri_mut() = Uri::try_from(target)
        .map_err(|_| Denial::new(Code::BadRequest, "the URL cannot be handed to the upstream proxy"))?;
    if let Some(value) = &snapshot.proxy_authorization {
        request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
    }
    Ok(())
}

/// Refuses what the proxy says to the guard and not to the client: that it wants to know who asks.
pub(super) fn check(status: StatusCode, snapshot: &Snapshot, wanted: &Destination) -> Result<(), Denial> {
    match of(snapshot, wanted) {
        Some(_) if wanted.scheme == Scheme::Http && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(unauthorized())
        }
        _ => Ok(()),
    }
}

async fn open_tunnel(
    stream: &mut TcpStream,
    snapshot: &Snapshot,
    wanted: &Destination,
) -> Result<(), Denial> {
    let place = format!("{}:{}", wanted.host, wanted.port);
    let authorization = snapshot.proxy_authorization.as_ref().map(HeaderValue::as_bytes);
    let broken =
        |error: io::Error| failed("the upstream proxy broke the connection").detail(error.to_string());
    match ask_tunnel::ask(stream, &place, authorization).await.map_err(broken)? {
        Some(200..=299) => Ok(()),
        Some(407) => Err(unauthorized()),
        Some(status) => Err(failed(&format!("the upstream proxy answered {status}"))),
        None => Err(failed("the upstream proxy did not answer in HTTP")),
    }
}

fn unauthorized() -> Denial {
    failed("the upstream proxy wants a user and a password, or others than it was given (407)")
}

fn failed(reason: &str) -> Denial {
    Denial::new(Code::UpstreamProxyFailed, reason)
}
