//! The variables of a program that no setting of the container has.

use claude_bottle_kit::{key, proxy_variables};
use claude_bottle_plugin_api::{ExecRequest, Failure, FailureKind, Result};

use crate::engine::{Engine, Kind};
use crate::error::DockerError;
use crate::link::LOOPBACK;
use crate::plan::{BottleState, role};

/// Returns the proxy's URL, asking the engine when the record does not say it.
pub(super) async fn proxy(engine: &impl Engine, state: &BottleState) -> Result<String> {
    if let Some(proxy) = &state.proxy {
        return Ok(proxy.clone());
    }
    let failed = |source| DockerError::ListLeftovers { name: state.names.agent.clone(), source };
    let first = async |kind, role| {
        let found = engine.list(kind, &state.part(role)).await.map_err(failed)?;
        Ok::<_, DockerError>(found.into_iter().next())
    };
    // Without a sidecar the agent's own container says the port, which is on its own loopback.
    let agent = first(Kind::Container, role::AGENT).await?;
    if let Some(port) = agent.and_then(|found| found.labels.get(key::PORT).cloned()) {
        return Ok(format!("http://{LOOPBACK}:{port}"));
    }
    let sidecar = first(Kind::Container, role::SIDECAR).await?;
    let Some((sidecar, port)) =
        sidecar.and_then(|found| Some((found.id, found.labels.get(key::PORT)?.clone())))
    else {
        let message = format!("bottle `{}` has no sidecar", state.names.agent);
        return Err(Failure::new(FailureKind::NotFound, message));
    };
    // Without a network between them the agent has its end of the link on its own loopback.
    let Some(internal) = first(Kind::Network, role::INTERNAL).await? else {
        return Ok(format!("http://{LOOPBACK}:{port}"));
    };
    let found = engine.inspect_container(&sidecar).await.map_err(failed)?;
    match found.addresses.get(&internal.id) {
        Some(address) => Ok(format!("http://{address}:{port}")),
        None => Err(Failure::new(
            FailureKind::NotFound,
            format!("the sidecar of bottle `{}` does not run", state.names.agent),
        )),
    }
}

/// Returns the variables of a program that no setting of the container has.
pub(super) fn of(proxy: &str, state: &BottleState, request: &ExecRequest) -> Vec<(String, String)> {
    let proxy = proxy_variables(proxy).into_iter();
    let term = request.tty.then(|| ("TERM", request.term.as_deref().unwrap_or("xterm-256color")));
    let own = request.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(term);
    // What the bottle was given wins.
    let own = own.filter(|(name, _)| !state.variables.iter().any(|variable| variable == name));
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    proxy.map(|(name, value)| (name.to_owned(), value)).chain(own).collect()
}
