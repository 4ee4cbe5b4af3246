//! The environment of every program of a bottle: its variables, and the way to the guard.

use std::collections::BTreeMap;

use bottle_guest::protocol::Relay;
use claude_bottle_kit::{profile_variables, proxy_variables, trust};
use claude_bottle_plugin_api::{Call, EnvValue, ForwardSpec, Result, Spec};

use crate::inside::{GUARD_DIR, GUARD_SOCKET, SSH_SOCKET};

/// The port inside when the spec has none.
const DEFAULT_PORT: u16 = 8888;

/// Returns the port on the bottle's loopback that leads to the guard.
pub fn port(spec: &Spec) -> u16 {
    match spec.bottle.egress.port {
        0 => DEFAULT_PORT,
        port => port,
    }
}

/// Returns the ways from the bottle's loopback to the guard.
pub fn relay(spec: &Spec) -> Relay {
    let forward = |forward: &ForwardSpec| (forward.port, format!("{}:{}", forward.host, forward.host_port));
    Relay {
        port: port(spec),
        guard: GUARD_SOCKET.into(),
        forward: spec.bottle.forward.iter().map(forward).collect(),
        names: true,
        proves: false,
    }
}

/// Returns the environment of every program: a basis, the way out, what the backend grants, and then what the manifest says.
///
/// # Errors
/// Fails when a secret cannot be had.
pub fn of(
    spec: &Spec,
    call: &Call,
    basis: impl IntoIterator<Item = (String, String)>,
    granted: &[(String, String)],
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut env: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut add = |name: String, value: Vec<u8>| drop(env.insert(name, value));
    basis.into_iter().for_each(|(name, value)| add(name, value.into_bytes()));
    let proxy = proxy_variables(&format!("http://127.0.0.1:{}", port(spec)));
    proxy.into_iter().for_each(|(name, value)| add(name.to_owned(), value.into_bytes()));
    if trust::is_needed(spec) {
        let variables = trust::variables(GUARD_DIR);
        variables.into_iter().for_each(|(name, value)| add(name.to_owned(), value.into_bytes()));
    }
    profile_variables(spec).for_each(|(name, value)| add(name.to_owned(), value.as_bytes().to_vec()));
    if !spec.bottle.ssh.is_empty() {
        // ssh has its own configuration; `ssh-add` and git's signing look here.
        add("SSH_AUTH_SOCK".to_owned(), SSH_SOCKET.as_bytes().to_vec());
    }
    granted.iter().for_each(|(name, value)| add(name.clone(), value.clone().into_bytes()));
    for variable in &spec.bottle.env {
        let value = match &variable.value {
            EnvValue::Literal { value } => value.clone().into_bytes(),
            _ => call.secret(&variable.name)?.expose().to_vec(),
        };
        add(variable.name.clone(), value);
    }
    Ok(env.into_iter().collect())
}
