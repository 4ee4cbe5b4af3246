//! The agent's container: its rights, its limits and its mounts.

use bollard::models::{ContainerCreateBody, HostConfig, Mount};
use claude_bottle_kit::{Labels, hostname, key, profile_variables, trust};
use claude_bottle_plugin_api::{EnvValue, Spec};

use crate::hardening;
use crate::image::guard::{GUEST, SOCKET_DIR};
use crate::link::Link;
use crate::plan::{Planned, labels, place, role};
use crate::volumes;

/// The name server: the container's own loopback address, where process 1 answers when there is no network, and nothing does
/// when there is one.
///
/// The engine's resolver at 127.0.0.11 would otherwise forward names to the host's servers, on some engines also from an
/// internal network (CVE-2024-29018). With this it asks inside the container's own network.
const NAME_SERVER: &str = "127.0.0.1";

/// No domain is put behind a name. Otherwise the engine takes the host's.
const NO_SEARCH: &str = ".";

/// Describes the agent's container, which is linked to its sidecar and to nothing else. The agent is not its main process; it is run in it later.
///
/// `name` comes with what the container has of this machine. The main process reads what the bottle is, with its secrets, from a standard input that is open once.
pub(super) fn agent(
    plan: &Planned,
    owner: &Labels,
    (name, shared): (&str, Vec<Mount>),
) -> ContainerCreateBody {
    let tmpfs = [("/tmp".to_owned(), "rw,exec,nosuid,nodev,size=1g,mode=1777".to_owned())];
    let mut host = HostConfig {
        // The program for the inside is process 1.
        init: Some(false),
        runtime: plan.runtime.clone(),
        dns: Some(vec![NAME_SERVER.to_owned()]),
        dns_search: Some(vec![NO_SEARCH.to_owned()]),
        ipc_mode: Some("private".to_owned()),
        tmpfs: Some(tmpfs.into()),
        ..HostConfig::default()
    };
    plan.bounds.apply(&mut host);
    hardening::apply(plan, &mut host);
    let hostname = hostname(name);
    let mut all = labels(owner, role::AGENT).unwrap_or_default();
    if plan.link == Link::HostSocket {
        // There is no sidecar whose label has it.
        all.insert(key::PORT.to_owned(), plan.port.to_string());
    }
    let networking_config = plan.link.join(&plan.spec.id, owner, (&hostname, shared), &mut host);
    let volumes = volumes::mounts(plan, owner);
    if !volumes.is_empty() {
        host.mounts.get_or_insert_default().extend(volumes);
    }
    ContainerCreateBody {
        hostname: Some(hostname),
        image: Some(plan.image.reference().to_owned()),
        user: Some(plan.user.engine.clone()),
        env: Some(
            home(plan).into_iter().chain(trust_env(&plan.spec)).chain(literal_env(&plan.spec)).collect(),
        ),
        entrypoint: Some(vec![GUEST.to_owned(), "container".to_owned()]),
        cmd: Some(Vec::new()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        working_dir: Some(place(plan).start),
        labels: Some(all),
        host_config: Some(host),
        networking_config,
        ..ContainerCreateBody::default()
    }
}

/// Returns the variable of the agent's home, where an image of the user's own may say another one.
fn home(plan: &Planned) -> Option<String> {
    let is_set = plan.spec.bottle.env.iter().any(|variable| variable.name == "HOME");
    (!plan.user.is_own && !is_set).then(|| format!("HOME={}", plan.user.home))
}

/// Returns the variables by which programs trust the guard, where that opens tunnels. The manifest's own of the same name win.
fn trust_env(spec: &Spec) -> Vec<String> {
    if !trust::is_needed(spec) {
        return Vec::new();
    }
    let is_own = |name: &str| spec.bottle.env.iter().any(|variable| variable.name == name);
    let variables = trust::variables(SOCKET_DIR).into_iter().filter(|(name, _)| !is_own(name));
    variables.map(|(name, value)| format!("{name}={value}")).collect()
}

/// Returns the variables whose values may be seen. Invariant: a secret is never among them, since `inspect` shows them.
fn literal_env(spec: &Spec) -> Vec<String> {
    let literal = |variable: &claude_bottle_plugin_api::EnvVar| match &variable.value {
        EnvValue::Literal { value } => Some(format!("{}={value}", variable.name)),
        _ => None,
    };
    let is_own = |name: &str| spec.bottle.env.iter().any(|variable| variable.name == name);
    let profile = profile_variables(spec).filter(|(name, _)| !is_own(name));
    let profile = profile.map(|(name, value)| format!("{name}={value}"));
    profile.chain(spec.bottle.env.iter().filter_map(literal)).collect()
}
