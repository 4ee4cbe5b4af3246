//! The agent's container: what it may, what it may not, and what it sees.

use bollard::models::{ContainerCreateBody, HostConfig};
use claude_bottle_backend_shared::Labels;
use claude_bottle_plugin_api::{EnvValue, Spec};

use crate::plan::{PlanState, RUN_DIR, USER, USER_IDS, labels, role};
use crate::provision::environment;

/// A name server nobody is: the container's own loopback address.
///
/// The engine's resolver at 127.0.0.11 would otherwise forward names to the host's servers, on some engines also from an
/// internal network (CVE-2024-29018). With this it asks inside the container's own network, where nothing answers.
const NO_RESOLVER: &str = "127.0.0.1";

/// Describes the agent's container, which is linked to its sidecar and to nothing else. The agent is not its main process; it is run in it later.
///
/// The main process reads its secrets from a standard input that is open once.
pub(super) fn agent(plan: &PlanState, owner: &Labels, name: &str) -> ContainerCreateBody {
    let (uid, gid) = USER_IDS;
    let tmpfs = [
        (RUN_DIR, format!("rw,noexec,nosuid,nodev,size=4m,mode=0700,uid={uid},gid={gid}")),
        ("/tmp", "rw,exec,nosuid,nodev,size=1g,mode=1777".to_owned()),
    ];
    let mut host = HostConfig {
        init: Some(true),
        runtime: plan.runtime.clone(),
        dns: Some(vec![NO_RESOLVER.to_owned()]),
        ipc_mode: Some("private".to_owned()),
        tmpfs: Some(tmpfs.map(|(path, options)| (path.to_owned(), options)).into()),
        ..HostConfig::default()
    };
    plan.bounds.apply(&mut host);
    let hostname = hostname(name);
    let networking_config = plan.link.join(&plan.spec.id, owner, &hostname, &mut host);
    let last = plan.link.last_words(plan.port);
    ContainerCreateBody {
        hostname: Some(hostname),
        image: Some(plan.image.reference().to_owned()),
        user: Some(USER.to_owned()),
        env: Some(literal_env(&plan.spec)),
        entrypoint: Some(environment::command(&plan.home, &plan.workspace(), &last)),
        cmd: Some(Vec::new()),
        open_stdin: Some(true),
        stdin_once: Some(true),
        working_dir: Some(plan.workspace()),
        labels: labels(owner, role::AGENT),
        host_config: Some(host),
        networking_config,
        ..ContainerCreateBody::default()
    }
}

/// Returns a container's name as the kernel takes it for a host's: 63 bytes of it.
fn hostname(name: &str) -> String {
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.', '_']).to_owned()
}

/// Returns the variables whose values may be seen. Invariant: a secret is never among them, since `inspect` shows them.
fn literal_env(spec: &Spec) -> Vec<String> {
    let literal = |variable: &claude_bottle_plugin_api::EnvVar| match &variable.value {
        EnvValue::Literal { value } => Some(format!("{}={value}", variable.name)),
        _ => None,
    };
    spec.bottle.env.iter().filter_map(literal).collect()
}
